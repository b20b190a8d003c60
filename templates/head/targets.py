# SPDX-License-Identifier: GPL-3.0-or-later
"""A head -> how its landmarks move in each shape, beside how they should.

The wanted motions were measured on the ICT-FaceKit neutral head, whose eyes stand 64 mm apart as
ours do, so no scale is applied. ICT-FaceKit has no tongueOut; that row is our own wish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from exomni_core.arkit import CHANNEL_INDEX, mirror_of
from templates.mesh import TemplateMesh

Vector = tuple[float, float, float]

# Where the landmarks stand in the usual 68 (their mean is meant), on the left side.
LANDMARKS: Final[dict[str, tuple[int, ...]]] = {
    "chin": (8,), "inner brow": (22,), "outer brow": (26,), "tip of nose": (30,),
    "wing of nose": (35,), "upper lid": (43, 44), "lower lid": (46, 47), "mouth corner": (54,),
    "upper lip": (51,), "lower lip": (57,), "upper lip inside": (62,), "lower lip inside": (66,),
}  # fmt: skip
# The same on the right; landmarks on the middle line are their own mirror images.
_MIRRORED: Final[dict[str, tuple[int, ...]]] = {
    "inner brow": (21,), "outer brow": (17,), "wing of nose": (31,), "upper lid": (37, 38),
    "lower lid": (40, 41), "mouth corner": (48,),
}  # fmt: skip

# For each shape its main landmark (the one that moves most) first, then others that move nearly
# as far: millimetres to the subject's left, up, forwards. Right-sided shapes are mirror images.
MOTION: Final[tuple[tuple[str, str, Vector], ...]] = (
    ("browDownLeft", "outer brow", (-2.2, -0.8, 3.1)),
    ("browDownLeft", "inner brow", (-1.7, -1.8, 1.0)),
    ("browInnerUp", "inner brow", (0.5, 5.6, -0.3)),
    ("browOuterUpLeft", "outer brow", (1.1, 5.8, -2.4)),
    ("cheekPuff", "mouth corner", (-2.8, 1.7, 13.7)),
    ("cheekSquintLeft", "lower lid", (-0.5, 2.0, 1.0)),
    ("eyeBlinkLeft", "upper lid", (-0.2, -7.8, -0.8)),
    ("eyeLookDownLeft", "upper lid", (-0.4, -6.4, -0.6)),
    ("eyeLookInLeft", "upper lid", (-2.1, -0.4, 0.9)),
    ("eyeLookInLeft", "lower lid", (-1.8, 0.3, 1.2)),
    ("eyeLookOutLeft", "upper lid", (1.8, 0.7, -1.3)),
    ("eyeLookOutLeft", "lower lid", (1.5, 0.0, -1.3)),
    ("eyeLookUpLeft", "upper lid", (0.1, 2.9, -0.8)),
    ("eyeSquintLeft", "lower lid", (-0.6, 1.7, 1.0)),
    ("eyeWideLeft", "upper lid", (0.3, 2.9, -0.9)),
    ("jawForward", "chin", (0.0, -1.7, 10.9)),
    ("jawForward", "lower lip", (0.0, -1.2, 9.6)),
    ("jawForward", "lower lip inside", (0.0, -1.4, 9.2)),
    ("jawLeft", "chin", (8.6, 0.1, 0.1)),
    ("jawLeft", "lower lip", (7.9, 0.3, 0.9)),
    ("jawLeft", "lower lip inside", (7.9, 0.3, 0.8)),
    ("jawOpen", "lower lip", (0.0, -35.1, -21.4)),
    ("jawOpen", "chin", (0.0, -28.2, -29.1)),
    ("jawOpen", "lower lip inside", (0.0, -35.2, -19.3)),
    ("mouthClose", "lower lip inside", (0.0, 38.2, 16.7)),
    ("mouthClose", "lower lip", (0.0, 31.4, 15.8)),
    ("mouthDimpleLeft", "mouth corner", (0.8, 2.7, -6.0)),
    ("mouthFrownLeft", "mouth corner", (1.9, -4.6, -1.8)),
    ("mouthFunnel", "lower lip inside", (0.0, -8.3, 6.6)),
    ("mouthFunnel", "lower lip", (0.0, -8.9, 4.2)),
    ("mouthFunnel", "upper lip", (0.0, 6.1, 7.0)),
    ("mouthFunnel", "mouth corner", (-3.4, 0.0, 8.3)),
    ("mouthFunnel", "upper lip inside", (0.0, 5.4, 6.3)),
    ("mouthLeft", "upper lip", (16.1, 0.8, -3.3)),
    ("mouthLeft", "lower lip", (15.8, 0.7, -3.4)),
    ("mouthLeft", "upper lip inside", (14.1, 0.3, -2.8)),
    ("mouthLeft", "lower lip inside", (13.6, 1.0, -2.0)),
    ("mouthLowerDownLeft", "lower lip inside", (0.0, -3.4, -0.7)),
    ("mouthLowerDownLeft", "lower lip", (0.0, -3.3, -1.0)),
    ("mouthPressLeft", "chin", (0.0, 2.2, 1.3)),
    ("mouthPressLeft", "lower lip", (0.0, 1.5, 0.9)),
    ("mouthPucker", "mouth corner", (-4.6, 2.2, 9.8)),
    ("mouthPucker", "lower lip inside", (0.0, 0.2, 9.0)),
    ("mouthPucker", "upper lip", (0.0, 3.7, 8.0)),
    ("mouthRollLower", "lower lip inside", (0.0, 3.7, -12.8)),
    ("mouthRollLower", "lower lip", (0.0, 9.3, -4.6)),
    ("mouthRollUpper", "upper lip inside", (0.0, 1.8, -11.1)),
    ("mouthRollUpper", "upper lip", (0.0, -5.5, -6.8)),
    ("mouthShrugLower", "chin", (0.0, 8.1, 4.5)),
    ("mouthShrugLower", "lower lip", (0.0, 7.6, 5.2)),
    ("mouthShrugLower", "lower lip inside", (0.0, 6.9, 5.5)),
    ("mouthShrugUpper", "upper lip", (0.0, 5.7, 0.3)),
    ("mouthShrugUpper", "upper lip inside", (0.0, 5.3, 1.0)),
    ("mouthSmileLeft", "mouth corner", (7.1, 10.5, -9.1)),
    ("mouthStretchLeft", "mouth corner", (6.6, -3.1, -7.0)),
    ("mouthUpperUpLeft", "wing of nose", (1.7, 5.1, -1.4)),
    ("mouthUpperUpLeft", "mouth corner", (0.2, 4.4, 0.3)),
    ("mouthUpperUpLeft", "upper lip", (0.0, 4.0, -0.6)),
    ("mouthUpperUpLeft", "upper lip inside", (0.0, 3.8, -0.3)),
    ("noseSneerLeft", "mouth corner", (-1.0, 6.3, 0.5)),
    ("noseSneerLeft", "wing of nose", (0.4, 6.3, 0.1)),
    ("tongueOut", "tip of the tongue", (0.0, -3.0, 40.0)),
)


@dataclass(frozen=True)
class Motion:
    """One row of the table. error: distance of the two motions over the size of the wanted one."""

    shape: str
    landmark: str
    wanted: Vector
    got: Vector
    error: float
    main: bool


def measure(mesh: TemplateMesh) -> list[Motion]:
    """Every row of MOTION and its mirror image, measured on `mesh` (unit metre)."""
    rows: list[Motion] = []
    seen: set[str] = set()
    for shape, landmark, wanted in MOTION:
        main = shape not in seen
        seen.add(shape)
        rows.append(_row(mesh, shape, landmark, wanted, False, main))
        if mirror_of(shape) != shape:
            other = (0.0 - wanted[0], wanted[1], wanted[2])
            rows.append(_row(mesh, mirror_of(shape), landmark, other, True, main))
    return rows


def _row(
    mesh: TemplateMesh, shape: str, landmark: str, wanted: Vector, mirrored: bool, main: bool
) -> Motion:
    if landmark == "tip of the tongue":
        tongue = mesh.polygons[mesh.polygon_part == mesh.part_names.index("tongue")]
        ids = np.unique(tongue[tongue >= 0])
        vertices = ids[[np.argmax(mesh.vertices[ids, 2])]]
    else:
        table = {**LANDMARKS, **_MIRRORED} if mirrored else LANDMARKS
        vertices = mesh.landmarks68[list(table[landmark])]
    got = mesh.shapes[CHANNEL_INDEX[shape]][vertices].astype(np.float64).mean(0) * 1000
    error = float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))
    x, y, z = (float(value) for value in got)
    return Motion(shape, landmark, wanted, (x, y, z), error, main)
