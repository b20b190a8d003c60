# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole head in centimetres -> texture coordinates and named groups of vertices."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from templates.head.parts import TUFTS
from templates.head.topology import EYE_SKIN, MOUTH_LIP, MOUTH_SKIN, Half

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Where the surface ends: what it is -> the parts that make one surface, how many rims it has.
OPENINGS: Final[dict[str, tuple[tuple[str, ...], int]]] = {
    "neck, and behind either lid": (("face", "lips", "mouth_bag"), 3),
    "under the hair": (("hair",), 1),
    "around the pupil": (("pupil_L", "pupil_R"), 2),
    "around the iris, and the pupil's hole": (("iris_L", "iris_R"), 4),
    "the iris' hole, and the back of the eyeball": (("sclera_L", "sclera_R"), 4),
    "the light in the eye is a disc": (("glint_L", "glint_R"), 2),
    "both ends of the flesh in the corner": (("caruncle_L", "caruncle_R"), 4),
    "a brow is made of tufts on a ground": (("brow_L", "brow_R"), 2 * (TUFTS + 1)),
    "lashes are a sheet": (("lashes_L", "lashes_R"), 2),
    "back of the upper teeth": (("teeth_upper",), 1),
    "back of the lower teeth": (("teeth_lower",), 1),
    "back of the gums": (("gums",), 2),
    "root of the tongue": (("tongue",), 1),
}

_STRIP = 0.2  # the lowest fifth of the texture holds the loose parts, a tile each
_TILES = 8  # in a row


def texture_coordinates(
    points: Array, quads: Ints, part: npt.NDArray[np.uint8], names: tuple[str, ...]
) -> npt.NDArray[np.float32]:
    """(Q, 4, 2): skin and hair unrolled around the upright axis, other parts seen from the front.

    The seam of the skin runs down the back of the head; left and right do not overlap.
    """
    corners = points[np.where(quads >= 0, quads, quads[:, :1])]
    low, high = points[:, 1].min(), points[:, 1].max()
    side = np.sign(corners[..., 0].mean(1))[:, None]
    angle = np.arctan2(np.abs(corners[..., 0]), corners[..., 2] + 0.5) * side
    around = 0.5 + angle / (2 * np.pi)
    upright = _STRIP + (1 - _STRIP) * (corners[..., 1] - low) / (high - low)
    uv = np.stack([around, upright], -1)
    loose = [i for i, n in enumerate(names) if n not in ("face", "lips", "mouth_bag", "hair")]
    for place, i in enumerate(loose):
        own = part == i
        seen = corners[own][..., :2]
        floor, span = seen.min((0, 1)), np.ptp(seen, axis=(0, 1))
        column, row = place % _TILES, place // _TILES
        rows = -(-len(loose) // _TILES)
        size = np.array([1 / _TILES, _STRIP / rows])
        uv[own] = (np.array([column, row]) + 0.04 + 0.92 * (seen - floor) / span) * size
    result: npt.NDArray[np.float32] = np.clip(uv, 0, 1).astype(np.float32)
    return result


def vertex_groups(
    half: Half,
    points: Array,
    quads: Ints,
    part: npt.NDArray[np.uint8],
    names: tuple[str, ...],
    twin: Ints,
) -> dict[str, npt.NDArray[np.int32]]:
    """Sorted vertex ids of lips, lids, brows, eyes, nose, jaw and ears."""

    def of(*wanted: str) -> Ints:
        ids = quads[np.isin(part, [i for i, n in enumerate(names) if n in wanted])]
        found: Ints = np.unique(ids[ids >= 0])
        return found

    corner = half.mouth_corner
    lips = half.mouth[MOUTH_SKIN : MOUTH_SKIN + MOUTH_LIP + 1]
    upper_lip, lower_lip = lips[:, : corner + 1].ravel(), lips[:, corner + 1 :].ravel()
    along = (np.arange(half.eye.shape[1]) - half.eye_corners[0]) % half.eye.shape[1]
    upper = along <= (half.eye_corners[1] - half.eye_corners[0]) % half.eye.shape[1]
    lids = half.eye[3 : EYE_SKIN + 1]
    inside = half.eye[EYE_SKIN:].ravel()
    nose = np.abs(points[half.nostril.ravel()]).max(0)
    skin = of("face")
    front = skin[points[skin, 2] > 5]
    at = points[front]
    left = {
        "eyelid_upper": lids[:, upper].ravel(),
        "eyelid_lower": lids[:, ~upper].ravel(),
        "lid_edge": half.eye[EYE_SKIN],
        "ear": half.ear[1:].ravel(),
        "cheek": front[np.linalg.norm((at - [4.0, -3.0, 8.4]) / [1.6, 1.8, 2.4], axis=1) < 1],
        "brow_skin": front[np.linalg.norm((at - [3.2, 2.1, 9.3]) / [2.4, 0.9, 2.0], axis=1) < 1],
    }
    groups: dict[str, Ints] = {
        "lips": np.concatenate([lips.ravel(), twin[lips.ravel()]]),
        "upper_lip": np.concatenate([upper_lip, twin[upper_lip]]),
        "lower_lip": np.concatenate([lower_lip, twin[lower_lip]]),
        "nose": front[(np.abs(at[:, 0]) < nose[0] + 0.9) & (at[:, 1] < 0.6) & (at[:, 1] > -4.9)],
        "jaw": front[at[:, 1] < -7.2],
        "teeth": of("teeth_upper", "teeth_lower"),
        "tongue": of("tongue"),
        "hair": of("hair"),
        "inside_lids": np.concatenate([inside, twin[inside]]),
    }
    for side in "LR":
        groups[f"eye_{side}"] = of(*(f"{n}_{side}" for n in ("sclera", "iris", "pupil", "glint")))
        groups[f"brow_{side}"] = of(f"brow_{side}")
        groups[f"lashes_{side}"] = of(f"lashes_{side}")
        for name, ids in left.items():
            groups[f"{name}_{side}"] = ids if side == "L" else twin[ids]
    return {name: np.unique(ids).astype(np.int32) for name, ids in groups.items()}
