# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in, names for the types of arrays out: one name for each kind of number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]  # what files and engines hold: weights, samples, points
DoubleArray = npt.NDArray[np.float64]  # what is computed with
IntArray = npt.NDArray[np.int32]  # what meshes hold: vertices of a face
LongArray = npt.NDArray[np.int64]  # what numpy counts and indexes with
BoolArray = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
