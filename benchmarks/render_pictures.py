# SPDX-License-Identifier: GPL-3.0-or-later
"""Two pictures of the same frame in, how alike they are out; and that for many frames of a stage.

SSIM as in Wang et al., "Image quality assessment: from error visibility to structural similarity"
(IEEE TIP 2004): Gaussian window of 1.5 pixels, K1 = 0.01, K2 = 0.03, on luma.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

Picture = npt.NDArray[np.uint8]

SPECK = 48  # levels of 255


def luma(picture: Picture) -> npt.NDArray[np.float64]:
    """(H, W, 3) -> (H, W), 0 to 255."""
    return np.asarray(picture[..., :3] @ np.array([0.2126, 0.7152, 0.0722]))


def ssim(one: Picture, other: Picture) -> float:
    """Mean structural similarity of two (H, W, 3) uint8 pictures; 1 is equal."""
    a, b = luma(one), luma(other)

    def blur(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(gaussian_filter(values, 1.5, truncate=3.5))

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    both = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def count_specks(drawn: Picture, wanted: Picture) -> int:
    """Pixels that stand out from all their neighbours and aren't so in the wanted picture.

    A speck differs by more than SPECK levels from each of its eight neighbours and from every
    pixel of the wanted picture within one pixel of its place.
    """
    a, b = luma(drawn), luma(wanted)
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    near_low, near_high = minimum_filter(a, footprint=ring), maximum_filter(a, footprint=ring)
    want_low, want_high = minimum_filter(b, size=3), maximum_filter(b, size=3)
    bright = (a > near_high + SPECK) & (a > want_high + SPECK)
    dark = (a < near_low - SPECK) & (a < want_low - SPECK)
    return int((bright | dark).sum())


def compare(stage: Any, weights: npt.NDArray[np.float32], settings: Any) -> dict[str, Any]:
    """How like Workbench's picture of 16 samples the fast engine's is, on every row of weights."""
    from render_jobs.video.scene import render_pose

    alike, specks, error = [], 0, []
    for row in weights:
        fast = render_pose(stage, row, replace(settings, engine="fast"))
        wanted = render_pose(stage, row, replace(settings, engine="workbench", samples=16))
        alike.append(ssim(fast, wanted))
        specks += count_specks(fast, wanted)
        error.append(np.abs(fast.astype(int) - wanted).mean())
    return {
        "frames": len(alike),
        "ssim_mean": round(float(np.mean(alike)), 4),
        "ssim_min": round(min(alike), 4),
        "mean_abs_error": round(float(np.mean(error)), 3),
        "specks": specks,
    }
