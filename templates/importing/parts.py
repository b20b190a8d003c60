# SPDX-License-Identifier: GPL-3.0-or-later
"""A head in metres that is all one part in, with eyes, teeth and tongue as parts of their own out.

npz heads often say nothing of materials. A piece that hangs together by itself is told by where it
lies and what moves it; what isn't sure stays skin. Irises and pupils are painted on the eyeballs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.head_regions import Ids
from templates.importing.orient import centre_of
from templates.mesh import TemplateMesh

_EYE_SIZE_M: Final = (0.014, 0.06)  # of an eyeball, across
_EYE_NEAR: Final = 0.35  # of the distance of the eyes: a ball further away is none
_IRIS: Final = 0.52  # of the ball's radius
_PUPIL: Final = 0.2
_MOST_PIECES: Final = 400  # more are strands of hair, or rubbish


def with_parts(mesh: TemplateMesh) -> tuple[TemplateMesh, tuple[str, ...]]:
    """The head with the parts that could be told, and their names; as it was if it has parts."""
    if len(mesh.part_names) > 1:
        return mesh, ()
    piece = pieces(mesh)
    count = int(piece.max()) + 1
    if not 1 < count <= _MOST_PIECES:
        return mesh, ()
    sizes = np.bincount(piece, minlength=count)
    names = [mesh.part_names[0]]
    part = np.zeros(len(mesh.polygons), np.uint8)
    owner = piece[mesh.polygons[:, 0]]
    balls: dict[str, int] = {}
    for number in np.argsort(sizes)[::-1][1:].tolist():  # the largest is the face
        name = _kind(mesh, piece == number)
        if name.startswith("sclera"):
            balls.setdefault(name[-1], number)
        elif name:
            _give(part, names, owner == number, name)
    for letter, ball in balls.items():
        _paint_eye(mesh, part, names, piece, ball, letter)
    found = tuple(names[1:])
    return replace(mesh, polygon_part=part, part_names=tuple(names)), found


def pieces(mesh: TemplateMesh) -> Ids:
    """(V,) which connected piece each vertex belongs to, 0, 1, 2 ..."""
    quads = np.where(mesh.polygons < 0, mesh.polygons[:, :1], mesh.polygons)
    label = np.arange(len(mesh.vertices))
    while True:
        lowest = label[quads].min(axis=1)
        new = label.copy()
        for corner in range(4):
            np.minimum.at(new, quads[:, corner], lowest)
        new = new[new]  # jump along, so that long strips need few rounds
        if np.array_equal(new, label):
            break
        label = new
    numbers: Ids = np.unique(label, return_inverse=True)[1].astype(np.int64)
    return numbers


def _kind(mesh: TemplateMesh, inside: npt.NDArray[np.bool_]) -> str:
    """What a piece is: `sclera_L`, `sclera_R`, `tongue`, `teeth`, or empty."""
    points = mesh.vertices[inside]
    extent, middle = np.ptp(points, axis=0), (points.min(axis=0) + points.max(axis=0)) / 2
    eyes = {side: centre_of(mesh, [f"eyeBlink{side}"]) for side in ("Left", "Right")}
    left, right = eyes["Left"], eyes["Right"]
    if left is not None and right is not None:
        reach = _EYE_NEAR * float(np.linalg.norm(left - right))
        round_ = extent.min() > 0.6 * extent.max()
        sized = _EYE_SIZE_M[0] < extent.max() < _EYE_SIZE_M[1]
        for letter, eye in (("L", left), ("R", right)):
            if round_ and sized and np.linalg.norm(middle - eye) < reach:
                return f"sclera_{letter}"
    lips = mesh.vertices[mesh.lips]
    if not len(lips):
        return ""
    low, high = lips.min(axis=0), lips.max(axis=0)
    width = float(high[0] - low[0])
    behind = middle[2] < high[2] - 0.1 * width and middle[2] > low[2] - 1.2 * width
    between = low[0] < middle[0] < high[0] and abs(middle[1] - lips[:, 1].mean()) < 0.8 * width
    if not (behind and between and extent[0] < 1.3 * width):
        return ""
    out = np.linalg.norm(mesh.shapes[CHANNEL_INDEX["tongueOut"]], axis=1)
    if out.any() and out[inside].max() > 0.5 * out.max():
        return "tongue"
    lip_shape = np.linalg.norm(mesh.shapes[CHANNEL_INDEX["mouthPucker"]], axis=1)
    stiff = lip_shape[inside].max() < 0.1 * max(float(lip_shape.max()), 1e-9)
    return "teeth" if stiff else ""


def _give(
    part: npt.NDArray[np.uint8], names: list[str], rows: npt.NDArray[np.bool_], name: str
) -> None:
    if name not in names:
        names.append(name)
    part[rows] = names.index(name)


def _paint_eye(
    mesh: TemplateMesh,
    part: npt.NDArray[np.uint8],
    names: list[str],
    piece: Ids,
    ball: int,
    letter: str,
) -> None:
    """An eyeball and the small pieces at its front; iris and pupil are painted around its axis.

    Those pieces (iris, pupil, cornea) tell where the axis is; without any, the foremost point does.
    """
    points = mesh.vertices[piece == ball]
    low, high = points.min(axis=0), points.max(axis=0)
    middle, radius = (low + high) / 2, float((high - low)[:2].max()) / 2
    members, front = [ball], points[points[:, 2].argmax()].astype(np.float64)
    ahead = np.array([middle[0], middle[1], middle[2] + radius])
    small = []
    for number in np.unique(piece[np.linalg.norm(mesh.vertices - ahead, axis=1) < radius]):
        own = mesh.vertices[piece == number]
        if number != ball and np.linalg.norm(own - middle, axis=1).max() < 1.25 * radius:
            members.append(int(number))
            small.append((float(np.ptp(own, axis=0).max()), own.min(axis=0) + own.max(axis=0)))
    if small:
        front = np.array([*(max(small, key=lambda row: row[0])[1] / 2)[:2], high[2]])
    rows = np.isin(piece[mesh.polygons[:, 0]], members)
    spots = mesh.vertices[mesh.polygons[:, :3]].mean(axis=1)
    off = np.linalg.norm(spots[:, :2] - front[:2], axis=1)
    seen = rows & (spots[:, 2] > high[2] - 0.6 * radius)
    _give(part, names, rows, f"sclera_{letter}")
    _give(part, names, seen & (off < _IRIS * radius), f"iris_{letter}")
    _give(part, names, seen & (off < _PUPIL * radius), f"pupil_{letter}")
