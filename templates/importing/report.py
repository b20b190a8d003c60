# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found out about a head in, a short report for a person or a script out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from exomni_core.arkit import ARKIT_52
from exomni_core.head_regions import ids_hash
from templates.importing.checks import Finding
from templates.importing.raw import Origin
from templates.importing.regions import opening
from templates.mesh import TemplateMesh

_MARKS: Final = {"bad": "BAD", "warning": "look", "note": "note"}


@dataclass(frozen=True)
class Report:
    """A head's report. missing: channels it can't show; stand_ins: shown by other shapes.

    lips_auto: the lips were found by a rule. opening_mm: how far the lips part at jawOpen, None
    where that can't be measured. unit: a sentence that says who said so.
    """

    name: str
    file: str
    format: str
    vertices: int
    faces: int
    parts: tuple[str, ...]
    unit: str
    axes: str
    shape_keys: int
    families: tuple[str, ...]
    coverage: int
    missing: tuple[str, ...]
    stand_ins: tuple[str, ...]
    lips: int
    lips_sha256: str
    lips_auto: bool
    landmarks: int
    aperture_pairs: int
    opening_mm: float | None
    derived: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def bad(self) -> tuple[Finding, ...]:
        """Findings that make results wrong."""
        return tuple(f for f in self.findings if f.level == "bad")

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """A few lines for a person."""
        kind = f"{self.format}; named as in {', '.join(self.families)}" if self.families else ""
        yield f"{'file':10} {self.file} ({kind or self.format})"
        stand_ins = f", {len(self.stand_ins)} of them by stand-ins" if self.stand_ins else ""
        yield f"{'shapes':10} {self.coverage} of {len(ARKIT_52)}{stand_ins}"
        counts = f"{self.vertices:,} vertices, {self.faces:,} faces, {len(self.parts)} parts"
        yield f"{'mesh':10} {counts}"
        yield f"{'unit':10} {self.unit}"
        if self.axes:
            yield f"{'axes':10} {self.axes}"
        if self.lips:
            how = "found by a rule (lips=auto)" if self.lips_auto else "as listed"
            yield f"{'lips':10} {self.lips} vertices, {how}, {self.lips_sha256[:12]}"
        if self.opening_mm is not None:
            yield f"{'mouth':10} opens by {self.opening_mm:.0f} mm at jawOpen"
        for finding in self.findings:
            yield f"{_MARKS[finding.level]:10} {finding.text}"


def make_report(
    mesh: TemplateMesh,
    *,
    name: str,
    file: str,
    origin: Origin,
    unit: str,
    axes: str,
    derived: tuple[str, ...],
    findings: list[Finding],
) -> Report:
    """The report about a head in metres."""
    opened = None
    if len(mesh.aperture_pairs):
        opened = round(float(opening(mesh, mesh.aperture_pairs, jawOpen=1.0).max()) * 1000, 1)
    return Report(
        name=name,
        file=file,
        format=origin.format,
        vertices=len(mesh.vertices),
        faces=len(mesh.polygons),
        parts=mesh.part_names,
        unit=unit,
        axes=axes,
        shape_keys=origin.keys,
        families=origin.families,
        coverage=len(ARKIT_52) - len(mesh.missing_shapes),
        missing=mesh.missing_shapes,
        stand_ins=origin.stand_ins,
        lips=len(mesh.lips),
        lips_sha256=ids_hash(np.unique(mesh.lips)) if len(mesh.lips) else "",
        lips_auto="lips" in derived,
        landmarks=len(mesh.landmarks68),
        aperture_pairs=len(mesh.aperture_pairs),
        opening_mm=opened,
        derived=derived,
        findings=tuple(findings),
    )
