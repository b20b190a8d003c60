# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in, names for the types of arrays out: one name for each kind of number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]  # what files and engines hold: weights, samples, points
Array = npt.NDArray[np.float64]  # what is computed with
IntArray = npt.NDArray[np.int32]  # what meshes hold: the vertices of a face
Ints = npt.NDArray[np.int64]  # what numpy counts and indexes with
Bools = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
