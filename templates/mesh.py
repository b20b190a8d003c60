# SPDX-License-Identifier: GPL-3.0-or-later
"""A head as arrays: vertices, polygons, parts and 52 shapes; npz file <-> TemplateMesh, no bpy.

The npz layout is the one ICT-FaceKit-style and EmoTalk-style files share: `meanshape`,
`blendshape`, `faces` or `quads`, `bs_names`, and optional parts, lips and landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TemplateMesh:
    """One head. Axes: x to the subject's left, y up, z forward (out of the face).

    vertices: (V, 3) float32, in the unit that the template's descriptor names.
    polygons: (Q, 4) int32 vertex ids, counter-clockwise from outside; -1 in the last place
        makes a triangle.
    polygon_part: (Q,) uint8, an index into part_names.
    shapes: (52, V, 3) float32 offsets from `vertices` at weight 1, in ARKIT_52 order.
    missing_shapes: channels of ARKIT_52 that the source lacks (their offsets are zero).
    lips: vertex ids of both lips; upper_lip and lower_lip are subsets (may be empty).
    landmarks68: the 68 usual facial landmarks as vertex ids (may be empty).
    lip_aperture_pair: the inner-lip midpoints (upper, lower), to measure opening (may be empty).
    """

    vertices: FloatArray
    polygons: IntArray
    polygon_part: npt.NDArray[np.uint8]
    part_names: tuple[str, ...]
    shapes: FloatArray
    missing_shapes: tuple[str, ...] = ()
    lips: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    upper_lip: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    lower_lip: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    landmarks68: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    lip_aperture_pair: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
