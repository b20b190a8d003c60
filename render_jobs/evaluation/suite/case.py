# SPDX-License-Identifier: GPL-3.0-or-later
"""One prompt of a set in, the openings of all systems' mouths over its sounds out: a case study.

Systems that speak with the same sound share a panel; each other sound has its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.clip import Phone, load_clip
from exomni_core.errors import ExOmniError
from exomni_core.metrics.faces.face import opening
from exomni_core.metrics.faces.score import Options, Reader
from exomni_core.metrics.phone_files import bilabial_intervals, find_phones, read_phones
from exomni_core.metrics.resample import FPS, to_rate
from exomni_core.metrics.sources import Item
from exomni_core.retime import lip_gap
from render_jobs.evaluation.suite.cells import Cell
from render_jobs.evaluation.suite.plots import Curve, Panel
from render_jobs.evaluation.suite.run import Suite

LONGEST_S: Final = 5.0  # what a figure shows
_SAME_S: Final = 0.2  # lengths of faces without sound that may share a panel


@dataclass(frozen=True)
class Case:
    """The prompt that is shown, what is said in it, and its panels."""

    item_id: str
    text: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, eq=False)
class _Shown:
    label: str
    colour: int
    face: Curve
    reference: Curve | None
    phones: tuple[Phone, ...]
    sound: str
    seconds: float
    text: str


def case_of(suite: Suite, set_name: str) -> Case | None:
    """The case of a set: the one that its configuration names, else one with many closures.

    None if no clip of it can be shown.
    """
    cells = [cell for cell in suite.cells if cell.set_name == set_name]
    chosen = cells[0].prompts.config.case or _busiest(cells[0])
    shown: list[_Shown] = []
    for cell in cells:
        item = next((i for i in cell.items if i.id == chosen and i.path is not None), None)
        if item is None:
            continue
        try:
            shown.append(_shown(suite, cell, item))
        except (ExOmniError, OSError):
            continue  # it stands among the failures
    if not shown:
        return None
    panels = tuple(_panel(group, suite) for group in _by_sound(shown))
    return Case(chosen, next((s.text for s in shown if s.text), ""), panels)


def _busiest(cell: Cell) -> str:
    """The clip with the most p, b and m in its first seconds; of equals, the first by id."""
    best, name = -1, cell.items[0].id
    for item in cell.items:
        if item.path is None or item.path.suffix != ".clip":
            continue
        try:
            clip = load_clip(item.path)
        except (ExOmniError, OSError):
            continue
        count = sum(end < LONGEST_S for _, end in bilabial_intervals(clip.phones))
        if count > best:
            best, name = count, item.id
    return name


def _shown(suite: Suite, cell: Cell, item: Item) -> _Shown:
    assert item.path is not None
    reader = Reader(_options(suite))
    colour = [s.name for s in suite.config.systems].index(cell.system.name)
    series = reader.prediction(item)
    face = _curve(suite, cell.system.name, series.weights, series.fps, colour)
    ref_item = next((r for r in cell.references if r.id == item.id), None)
    reference = None
    if ref_item is not None and ref_item.path is not None:
        ref = reader.reference(ref_item)
        label = "synthetic reference" if cell.prompts.config.synthetic else "reference"
        reference = _curve(suite, label, ref.weights, ref.fps, None)
    phones: tuple[Phone, ...] = ()
    sound = text = ""
    if item.path.suffix == ".clip":
        clip = load_clip(item.path)
        phones, text = clip.phones, clip.text
        sound = hashlib.sha256(clip.audio.tobytes()).hexdigest()
    folder = cell.prompts.config.phones
    if folder and (path := find_phones(folder, item.id)):
        phones = read_phones(path)
    return _Shown(cell.system.name, colour, face, reference, phones, sound, series.duration_s, text)


def _options(suite: Suite) -> Options:
    chosen = suite.config.metrics.get("face")
    if chosen is None:
        return Options()
    return Options(clip01=chosen.clip == "01", ref_mouthclose=chosen.ref_mouthclose, fps=chosen.fps)


def _curve(
    suite: Suite, label: str, weights: npt.NDArray[Any], fps: float, colour: int | None
) -> Curve:
    even = to_rate(np.asarray(weights, np.float64), fps)
    if suite.head is not None and suite.head.basis.has_opening:
        values = opening(even, suite.head.basis)
    else:
        values = lip_gap(even.astype(np.float32)).astype(np.float64)
    times = np.arange(len(values)) / FPS
    return Curve(label, times.tolist(), values.tolist(), colour)


def _by_sound(shown: Sequence[_Shown]) -> list[list[_Shown]]:
    """Those with the same sound together; faces without one go with the first of their length."""
    groups: list[list[_Shown]] = []
    for one in shown:
        for group in groups:
            first = group[0]
            alike = abs(first.seconds - one.seconds) < _SAME_S
            if (one.sound and one.sound == first.sound) or (
                alike and not (one.sound and first.sound)
            ):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _panel(group: Sequence[_Shown], suite: Suite) -> Panel:
    references: list[Curve] = []
    for one in group:
        if one.reference and all(one.reference.values != r.values for r in references):
            references.append(one.reference)
    phones = next((one.phones for one in group if one.phones), ())
    in_mm = suite.head is not None and suite.head.basis.has_opening
    return Panel(
        curves=[*(one.face for one in group), *references],
        phones=phones,
        closures=bilabial_intervals(phones),
        seconds=min(LONGEST_S, max(one.seconds for one in group)),
        axis="opening of the inner lips (mm)" if in_mm else "jawOpen - mouthClose",
    )
