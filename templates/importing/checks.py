# SPDX-License-Identifier: GPL-3.0-or-later
"""A head in metres in, what is wrong or odd about it out: one finding is one sentence.

The head is in our axes: x to the subject's left, y up, z forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from templates.importing import regions
from templates.importing.orient import centre_of
from templates.importing.raw import Origin
from templates.mesh import TemplateMesh

_DEAD_MM: Final = 0.1  # a shape that moves nothing further than this shows nothing
_ALIKE: Final = 0.02  # two shapes whose difference is smaller than this share of them are one
_OPENS_MM: Final = 8.0  # how far the lips of a talking head should part at jawOpen
_LARGE_SHARE: Final = 0.6  # of the face's size: no shape moves anything so far
_FEWEST: Final = 8
_MANY_VERTICES: Final = 60_000
_MOST_NAMED: Final = 6
_SIDED: Final = tuple(
    n for n in ARKIT_52 if n.endswith("Left") and n not in ("jawLeft", "mouthLeft")
)


@dataclass(frozen=True)
class Finding:
    """level: `bad` (results will be wrong), `warning` (look at it) or `note`. code: for scripts."""

    level: str
    code: str
    text: str


def drop_dead(mesh: TemplateMesh, unit_mm: float) -> tuple[TemplateMesh, tuple[str, ...]]:
    """The head with its dead shapes set to zero and called missing, and their names.

    unit_mm: millimetres per mesh unit.
    """
    travel = np.linalg.norm(mesh.shapes, axis=2).max(axis=1) * unit_mm
    dead = tuple(
        name for name, t in zip(ARKIT_52, travel, strict=True) if 0 < t < _DEAD_MM
    )  # what is zero all over was missing before
    if not dead:
        return mesh, dead
    shapes = mesh.shapes.copy()
    shapes[[CHANNEL_INDEX[name] for name in dead]] = 0
    missing = tuple(n for n in ARKIT_52 if n in {*mesh.missing_shapes, *dead})
    return replace(mesh, shapes=shapes, missing_shapes=missing), dead


def find(mesh: TemplateMesh, origin: Origin, derived: tuple[str, ...]) -> list[Finding]:
    """All findings about a head in metres, the worst first."""
    steps = (_coverage, _twins, _sides, _jaw, _size_of_shapes)
    found = [finding for step in steps for finding in step(mesh, origin)]
    found += list(_parts(mesh, derived))
    return sorted(found, key=lambda f: ("bad", "warning", "note").index(f.level))


def claire_close(mesh: TemplateMesh) -> bool:
    """Whether mouthClose opens the jaw, as in heads made for Audio2Face, instead of closing lips.

    There `mouthClose` holds `jawOpen` too.
    """
    if not mesh.shapes[CHANNEL_INDEX["jawOpen"]].any():
        return False
    rows = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
    jaw, close = (mesh.shapes[row].astype(np.float64) for row in rows)
    chin = np.linalg.norm(jaw, axis=1) > 0.7 * np.linalg.norm(jaw, axis=1).max()
    along = float((jaw[chin] * close[chin]).sum()) / max(float((jaw[chin] ** 2).sum()), 1e-12)
    return along > 0.5  # the chin goes down with it


def swapped_pairs(mesh: TemplateMesh) -> tuple[int, int]:
    """(pairs whose Left lies on the subject's right, pairs that can be told at all)."""
    wrong = told = 0
    for left in _SIDED:
        spots = [centre_of(mesh, [name]) for name in (left, mirror_of(left))]
        if spots[0] is None or spots[1] is None:
            continue
        apart = float(spots[0][0] - spots[1][0])
        if abs(apart) > 0.01:  # a centimetre
            told += 1
            wrong += apart < 0
    for left in ("jawLeft", "mouthLeft"):
        push = mesh.shapes[CHANNEL_INDEX[left], :, 0].astype(np.float64)
        if abs(push).max(initial=0) > 0:
            told += 1
            wrong += float((push * abs(push)).sum()) < 0
    return wrong, told


def _coverage(mesh: TemplateMesh, origin: Origin) -> Iterator[Finding]:
    there = len(ARKIT_52) - len(mesh.missing_shapes)
    if there < _FEWEST:
        text = f"only {there} of {len(ARKIT_52)} shapes are there, too few to talk with"
        yield Finding("bad", "few", text)
    if mesh.missing_shapes:
        names = ", ".join(mesh.missing_shapes)
        yield Finding("warning", "missing", f"missing, they stay at rest: {names}")
    if origin.stand_ins:
        made = (f"{channel} ({origin.recipe(channel)})" for channel in origin.stand_ins)
        yield Finding("note", "stand_ins", f"other shapes stand in for {', '.join(made)}")
    if origin.shared:
        names = ", ".join(left[:-4] for left, _ in origin.shared)
        yield Finding("note", "split", f"one shape for both sides, split down the middle: {names}")
    if origin.left_out:
        yield Finding("note", "left_out", f"not used: {_some(origin.left_out)}")


def _twins(mesh: TemplateMesh, origin: Origin) -> Iterator[Finding]:
    """Shapes that are nearly the same, which often means that one was copied over another."""
    flat = mesh.shapes.reshape(len(ARKIT_52), -1)
    gram = (flat @ flat.T).astype(np.float64)
    sizes = np.diag(gram)
    gaps = sizes[:, None] + sizes[None] - 2 * gram  # squared differences
    smaller = np.minimum(sizes[:, None], sizes[None])
    alike = (gaps < _ALIKE**2 * smaller) & (smaller > 0)
    pairs = [(ARKIT_52[i], ARKIT_52[j]) for i, j in np.argwhere(np.triu(alike, 1))]
    pairs = [pair for pair in pairs if not set(pair) & set(origin.stand_ins)]
    if pairs:
        shown = _some([f"{a} and {b}" for a, b in pairs])
        yield Finding("warning", "duplicates", f"the same shape under two names: {shown}")


def _sides(mesh: TemplateMesh, origin: Origin) -> Iterator[Finding]:  # noqa: ARG001 (one signature)
    wrong, told = swapped_pairs(mesh)
    if told and wrong > told / 2:
        text = "left and right are swapped: shapes named Left move the subject's right side; add "
        yield Finding("bad", "swapped", text + "--swap-sides to exchange them")
    elif wrong:
        text = f"{wrong} of {told} pairs of shapes have left and right swapped"
        yield Finding("warning", "swapped_some", text)


def _jaw(mesh: TemplateMesh, origin: Origin) -> Iterator[Finding]:  # noqa: ARG001 (one signature)
    if "jawOpen" in mesh.missing_shapes:
        yield Finding("bad", "no_jaw", "there is no jawOpen, so the mouth can't open")
        return
    if not len(mesh.aperture_pairs):
        text = "no inner lips found that part when the jaw opens, so opening can't be measured"
        yield Finding("warning", "no_pairs", text)
        return
    pairs = mesh.aperture_pairs
    opened = float(regions.opening(mesh, pairs, jawOpen=1.0).max() * 1000)
    if opened < _OPENS_MM:
        text = f"at jawOpen the lips part by only {opened:.1f} mm"
        yield Finding("warning", "jaw_small", text)
    if "mouthClose" in mesh.missing_shapes:
        return
    rest = float(np.median(regions.opening(mesh, pairs))) * 1000
    closed = float(np.median(regions.opening(mesh, pairs, jawOpen=0.3, mouthClose=0.3))) * 1000
    half = float(np.median(regions.opening(mesh, pairs, jawOpen=0.3))) * 1000
    if closed - rest > 0.35 * max(half - rest, 0.1):
        text = (
            f"at jawOpen = mouthClose = 0.3 the lips are still {closed:.1f} mm apart "
            f"({rest:.1f} mm at rest), so m, b and p may not close"
        )
        yield Finding("warning", "no_closure", text)


def _size_of_shapes(mesh: TemplateMesh, origin: Origin) -> Iterator[Finding]:  # noqa: ARG001
    travel = np.linalg.norm(mesh.shapes, axis=2)
    face = mesh.vertices[travel.max(axis=0) > 0]
    size = float(np.ptp(face, axis=0).max()) if len(face) else 1.0
    large = [
        name
        for name, most in zip(ARKIT_52, travel.max(axis=1), strict=True)
        if most > _LARGE_SHARE * size
    ]
    if large:
        text = f"shapes move parts further than half the face is large: {_some(large)}"
        yield Finding("bad", "large_shapes", text)
    if len(mesh.vertices) > _MANY_VERTICES:
        text = f"{len(mesh.vertices):,} vertices: it works, but renders slowly"
        yield Finding("warning", "many_vertices", text)


def _parts(mesh: TemplateMesh, derived: tuple[str, ...]) -> Iterator[Finding]:
    if not len(mesh.lips):
        text = "no lips: none listed, and the shapes that would show them are missing"
        yield Finding("warning", "no_lips", text)
    elif "lips" in derived:
        text = (
            f"lips were found by a rule ({len(mesh.lips)} vertices, lips=auto); measurements need "
            "a list: --lip-ids"
        )
        yield Finding("note", "lips_auto", text)
    if len(mesh.lips) and not regions.has_mouth_interior(mesh):
        text = "nothing lies behind the lips: an open mouth shows a hole (teeth or tongue missing)"
        yield Finding("warning", "no_interior", text)


def _some(names: list[str] | tuple[str, ...]) -> str:
    rest = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(name[:60] for name in names[:_MOST_NAMED]) + rest


def absolute_shapes(vertices: npt.NDArray[np.float32], offsets: npt.NDArray[np.float32]) -> bool:
    """Whether most rows of `offsets` (n, V, 3) are whole faces instead of offsets from one."""
    whole = float(np.linalg.norm(vertices))
    if not whole or not len(offsets):
        return False
    sizes = np.linalg.norm(offsets.reshape(len(offsets), -1), axis=1)
    gaps = np.array([np.linalg.norm(row - vertices) for row in offsets])
    alive = sizes > 0
    return bool(alive.any() and ((gaps < 0.5 * sizes) & (sizes > 0.5 * whole))[alive].mean() > 0.5)
