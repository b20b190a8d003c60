# SPDX-License-Identifier: GPL-3.0-or-later
"""A head in, its 68 landmarks out, for heads that list none."""

from __future__ import annotations

import numpy as np

from templates.mesh import IntArray, TemplateMesh


def find_landmarks(mesh: TemplateMesh) -> IntArray:  # noqa: ARG001
    """Nothing yet."""
    return np.empty(0, np.int32)
