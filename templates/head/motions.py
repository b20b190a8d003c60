# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in -> tables of how the skin moves in each shape, in millimetres.

Sided shapes stand here for the left side only: the right ones are mirror images. The sizes follow
measurements of how far each ARKit shape moves the landmarks of a real head.
"""

from __future__ import annotations

from typing import Final

Vector = tuple[float, float, float]
Spot = tuple[Vector, Vector]

# Offsets of the lips: for the middle of the upper lip (um), between it and the left corner (ul),
# the left corner (cl), between it and the lower middle (ll), the lower middle (lm), and the same
# on the right (lr, cr, ur). A second vector is the offset at the mouth line where it differs.
# Without right entries a shape in SYMMETRIC is mirrored; another leaves the right side at rest.
SYMMETRIC: Final = frozenset({
    "browInnerUp", "cheekPuff", "jawForward", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "tongueOut",
})  # fmt: skip

ROLLS: Final = frozenset({"mouthRollLower", "mouthRollUpper"})
# How much of the corner of the mouth moves as one piece (sine of the angle to it), 0.45 elsewhere.
CORNERS: Final[dict[str, float]] = {
    "mouthRollLower": 0.75, "mouthRollUpper": 0.75, "mouthPressLeft": 0.75, "mouthSmileLeft": 0.25,
}  # fmt: skip
# Here the inner corners move further in than the outer ones, so that the hole is round.
ROUND: Final = frozenset({"mouthFunnel", "mouthPucker"})

LIPS: Final[dict[str, dict[str, tuple[Vector, ...]]]] = {
    "jawOpen": {
        "um": ((0, 2.2, 0.4),), "cl": ((-3.4, -0.4, 0),), "ul": ((-1.8, 1.0, 0.6),),
        "ll": ((-2.8, -3.6, 1),), "lm": ((0, -5, 1),),
    },
    "mouthFunnel": {
        "um": ((0, 6.1, 7.0), (0, 5.4, 6.6)), "ul": ((-3.4, 3.6, 7.8), (-4.4, 3.2, 7.6)),
        "cl": ((-4.9, -0.3, 7.8), (-7.4, -0.6, 7.4)),
        "ll": ((-3.4, -5.0, 6.4), (-4.4, -4.6, 7.2)),
        "lm": ((0, -8.5, 4.6), (0, -8.0, 6.4)),
    },
    "mouthPucker": {
        "um": ((0, 3.4, 8.2), (0, 0.3, 7.4)), "ul": ((-4.6, 2.6, 9.2), (-5.6, -0.5, 8.8)),
        "cl": ((-6.4, 1.7, 9.0), (-9.4, 0.9, 8.6)),
        "ll": ((-4.6, -1.4, 8.2), (-5.6, 0.9, 9.0)), "lm": ((0, -1.9, 6.6), (0, -0.4, 8.4)),
    },
    "mouthSmileLeft": {
        "um": ((0, 1.8, -1.4), (0, 1.9, -0.8)), "ul": ((3.2, 4.6, -4.4),),
        "cl": ((7.1, 10.0, -8.6),), "ll": ((3.4, 5.0, -4.2),), "lm": ((0, 1.9, -0.9),),
    },
    "mouthFrownLeft": {
        "um": ((0, -0.45, -0.35),), "ul": ((0.7, -1.6, -0.8),), "cl": ((1.9, -4.6, -1.8),),
        "ll": ((0.7, -1.8, -0.8),), "lm": ((0, -0.2, 0),),
    },
    "mouthDimpleLeft": {
        "um": ((0, 0.2, 0.2),), "ul": ((0.4, 1.0, -1.8),), "cl": ((1.2, 2.7, -5.6),),
        "ll": ((0.4, 1.2, -1.9),), "lm": ((0, 0.5, -0.3),),
    },
    "mouthStretchLeft": {
        "um": ((0, -0.3, -0.8),), "ul": ((3.0, -0.9, -2.8),), "cl": ((6.6, -3.1, -6.4),),
        "ll": ((3.0, -1.4, -2.8),), "lm": ((0, 0.2, -0.7),),
    },
    "mouthPressLeft": {
        "um": ((0, -1.4, -0.9), (0, 0.3, -0.8)), "ul": ((0.3, -2.2, -1.5), (0.3, 0.5, -1.2)),
        "cl": ((0.3, 1.0, -0.2),), "ll": ((0.3, 2.9, -0.5), (0.3, 0.5, -1.2)),
        "lm": ((0, 1.8, 0.6), (0, 0.3, -0.6)),
    },
    "mouthLowerDownLeft": {
        "um": ((0, 0, 0),), "cl": ((0, -1.0, -0.2),), "ll": ((0.4, -4.3, -1.0),),
        "lm": ((0, -3.3, -1.0), (0, -3.4, -0.7)), "lr": ((0, -0.7, -0.2),),
    },
    "mouthUpperUpLeft": {
        "um": ((0, 3.9, -0.6), (0, 3.7, -0.3)), "ul": ((0.5, 6.2, -0.6),),
        "cl": ((0.2, 3.9, 0.2),), "ll": ((0, 0.8, 0),), "lm": ((0, 0.2, 0),),
        "ur": ((0, 0.9, 0),),
    },
    "mouthLeft": {
        "um": ((15.4, 0.8, -3.0), (14.1, 0.4, -2.8)), "ul": ((12.0, 3.4, -4.0),),
        "cl": ((7.0, 5.0, -4.1),), "ll": ((12.0, 3.0, -3.6),),
        "lm": ((15.0, 0.7, -3.0), (13.6, 0.8, -2.0)), "lr": ((15.4, 0.4, 3.2),),
        "cr": ((14.6, 0.4, 8.6),), "ur": ((15.6, 0.4, 3.2),),
    },
    "mouthRollLower": {
        "cl": ((-0.3, -0.3, -0.5),), "ll": ((0, 5.2, -3.0), (0, 1.9, -6.8)),
        "lm": ((0, 8.4, -4.3), (0, 3.5, -10.8)), "um": ((0, 0, 0),),
    },
    "mouthRollUpper": {
        "cl": ((0.6, 0.0, -1.0),), "ul": ((0, -3.9, -4.2), (0, -0.6, -5.8)),
        "um": ((0, -5.3, -6.6), (0, -0.2, -10.2)), "lm": ((0, 0, 0),),
    },
    "mouthShrugLower": {
        "cl": ((-0.5, 1.5, 1.8),), "ll": ((0, 4.2, 3.6), (0, 3.6, 3.8)),
        "lm": ((0, 7.2, 5.0), (0, 6.2, 5.2)), "um": ((0, 0.8, 0.5), (0, 1.6, 1.0)),
        "ul": ((0, 0.5, 0.3), (0, 0.9, 0.7)),
    },
    "mouthShrugUpper": {
        "um": ((0, 5.5, 0.5), (0, 5.2, 1.0)), "ul": ((0, 3.0, 0.4),), "cl": ((0, 0.2, 0),),
        "lm": ((0, 0, 0),),
    },
    "jawForward": {
        "um": ((0, -0.3, 0.4),), "cl": ((0.4, 0, 1.2),), "ll": ((0, 0.5, 0), (0, 0.8, 0)),
        "lm": ((0, 0.6, 0), (0, 1.1, 0)),
    },
    "cheekPuff": {
        "um": ((0, 0.6, 7.2),), "ul": ((0.4, 0.8, 9.2),), "cl": ((-2.4, 1.6, 12.6),),
        "ll": ((0.4, 0.8, 9.2),), "lm": ((0, 0.4, 7.8), (0, 0.7, 7.4)),
    },
    "noseSneerLeft": {
        "um": ((0, 3.6, -0.2),), "ul": ((-0.4, 5.0, 0.2),), "cl": ((-0.8, 5.2, 0.4),),
        "ll": ((0, 2.0, 0.2),), "lm": ((0, 0.4, 0),), "ur": ((0, 1.0, 0),),
    },
    "cheekSquintLeft": {"um": ((0, 0, -0.4),), "cl": ((0.7, 0.6, -1.1),), "lm": ((0, 0, 0),)},
    "tongueOut": {
        "um": ((0, 2.4, 1.2),), "ul": ((0, 1.8, 0.8),), "cl": ((-1.0, 0, 0),),
        "ll": ((0, -3.4, 0.4),), "lm": ((0, -4.6, 0.8),),
    },
}  # fmt: skip

# How far the motion of the lips reaches over the skin, in centimetres: up, sideways, down.
REACH: Final[dict[str, Vector]] = {
    "mouthSmileLeft": (1.2, 2.6, 1.6),
    "mouthLeft": (1.5, 2.6, 2.2),
    "mouthRollLower": (0.6, 1.0, 0.55),
    "mouthRollUpper": (0.55, 1.0, 0.8),
    "mouthShrugLower": (0.7, 1.2, 1.6),
    "mouthPressLeft": (0.7, 1.2, 0.9),
    "mouthUpperUpLeft": (1.0, 1.6, 1.0),
    "cheekPuff": (1.2, 2.6, 2.0),
    "jawForward": (0.8, 1.2, 1.0),
    "jawOpen": (0.8, 1.4, 1.2),
}
# Over how many centimetres the motion of the skin around the mouth is evened out at the end.
SOFT: Final[dict[str, float]] = {"mouthSmileLeft": 0.8, "cheekPuff": 1.0, "mouthLeft": 0.8}
REACH_USUAL: Final[Vector] = (0.95, 1.7, 1.25)

# Offsets of spots on the skin, exact at the spot and soft around it: (where in cm, how far in mm).
SPOTS: Final[dict[str, tuple[float, tuple[Spot, ...]]]] = {
    "browDownLeft": (1.35, (
        ((1.2, 1.8, 10.3), (-1.7, -1.9, 1.0)), ((3.2, 2.5, 9.6), (-2.0, -3.2, 2.0)),
        ((5.2, 1.7, 7.9), (-2.2, -0.9, 2.9)), ((3.2, 0.6, 8.8), (0, -0.4, 0.1)),
        ((0, 1.9, 10.4), (0, -0.9, 0.5)), ((-1.2, 1.8, 10.3), (0.4, -0.4, 0.3)),
    )),
    "browInnerUp": (1.5, (
        ((1.2, 1.9, 10.3), (0.5, 5.6, -0.3)), ((-1.2, 1.9, 10.3), (-0.5, 5.6, -0.3)),
        ((3.2, 2.4, 9.6), (0.1, 4.0, -0.3)), ((-3.2, 2.4, 9.6), (-0.1, 4.0, -0.3)),
        ((5.2, 1.8, 7.9), (-0.2, 1.1, 0)), ((-5.2, 1.8, 7.9), (0.2, 1.1, 0)),
        ((3.2, 0.7, 8.8), (0, 0.3, 0)), ((-3.2, 0.7, 8.8), (0, 0.3, 0)),
        ((0, 4.0, 9.8), (0, 2.4, -0.2)), ((0, 0.2, 10.2), (0, 1.3, 0)),
    )),
    "browOuterUpLeft": (1.5, (
        ((5.2, 1.8, 7.9), (1.1, 5.8, -2.2)), ((3.4, 2.5, 9.5), (0.8, 5.2, -1.2)),
        ((1.2, 1.9, 10.3), (0.5, 2.1, -0.2)), ((0, 1.9, 10.4), (0, 0.9, 0)),
        ((-1.2, 1.9, 10.3), (-0.1, 0.4, 0)), ((3.4, 0.7, 8.8), (0, 0.6, -0.2)),
        ((6.4, 1.2, 4.6), (0.2, 1.6, -0.4)), ((4.3, 4.4, 8.0), (0.4, 2.6, -1.0)),
    )),
    "cheekSquintLeft": (1.25, (
        ((3.6, -2.0, 9.0), (-0.2, 5.2, 2.4)), ((5.0, -1.6, 7.6), (-0.4, 3.4, 1.6)),
        ((3.2, -0.5, 8.8), (-0.5, 2.4, 0.7)), ((3.2, 0.8, 8.8), (-0.1, -0.4, -0.1)),
        ((4.6, 1.8, 8.4), (-0.1, -0.6, 0)), ((1.4, -3.9, 10.3), (0.6, 0.5, -0.4)),
        ((5.0, -4.6, 7.0), (0, 1.5, 0.2)),
    )),
    "cheekPuff": (2.9, (
        ((5.2, -5.4, 6.4), (7.0, 0.3, 6.5)), ((-5.2, -5.4, 6.4), (-7.0, 0.3, 6.5)),
        ((0, -10.4, 9.7), (0, 2.0, 1.6)), ((3.6, -2.6, 9.0), (0.8, 1.4, 2.0)),
        ((-3.6, -2.6, 9.0), (-0.8, 1.4, 2.0)), ((5.4, -8.2, 2.5), (2.0, 0, 1.0)),
        ((-5.4, -8.2, 2.5), (-2.0, 0, 1.0)), ((0, -4.0, 12.0), (0, 1.2, 0.4)),
    )),
    "noseSneerLeft": (0.95, (
        ((1.45, -4.1, 10.2), (0.4, 6.2, 0.1)), ((0, -3.5, 12.1), (0, 1.6, 0.1)),
        ((-1.45, -4.1, 10.2), (-0.1, 1.1, 0)), ((0.8, -1.4, 10.4), (-0.3, 3.0, 0.6)),
        ((1.1, 1.8, 10.3), (-0.4, -2.7, 0.1)), ((2.6, -2.6, 9.8), (-0.2, 3.8, 0.8)),
        ((3.2, -0.9, 8.8), (0, 0.8, 0.1)), ((-0.8, -1.4, 10.4), (0, 0.6, 0)),
    )),
    "mouthUpperUpLeft": (0.9, (
        ((1.45, -4.1, 10.2), (1.6, 4.8, -1.3)), ((0, -3.5, 12.1), (0, 0.2, 0)),
        ((2.7, -3.4, 9.7), (0.6, 4.0, 0.2)), ((-1.45, -4.1, 10.2), (-0.3, 0.7, -0.2)),
    )),
    "mouthSmileLeft": (1.35, (
        ((3.7, -3.0, 9.1), (1.0, 5.4, 5.0)), ((1.45, -4.1, 10.2), (1.8, 1.6, -1.1)),
        ((2.8, -5.0, 9.5), (2.4, 3.4, -2.4)),
        ((5.0, -4.4, 7.2), (2.2, 5.0, 0.4)), ((3.2, -0.9, 8.8), (0, 1.3, 0.2)),
        ((0, -10.4, 9.7), (0, 1.5, 0.8)), ((0, -3.5, 12.1), (0, 0, 0)),
    )),
    "mouthFrownLeft": (1.3, (
        ((0, -10.4, 9.7), (0, 0.5, 0.7)), ((1.45, -4.1, 10.2), (0.1, -0.9, -0.2)),
        ((2.6, -8.4, 9.0), (0.3, -1.6, 0.4)),
    )),
    "mouthDimpleLeft": (1.1, (
        ((1.45, -4.1, 10.2), (0.6, 0, 0.2)), ((4.4, -6.4, 7.8), (0.8, 0.8, -1.0)),
        ((0, -10.4, 9.7), (0, 0.5, 0.7)),
    )),
    "mouthStretchLeft": (1.3, (
        ((4.6, -7.0, 7.4), (2.6, -1.4, -1.2)), ((1.45, -4.1, 10.2), (0.6, -0.4, -0.4)),
    )),
    "mouthPressLeft": (1.1, (
        ((0, -10.4, 9.7), (0, 2.5, 1.5)), ((1.4, -8.0, 9.7), (0, 1.0, 1.2)),
        ((1.3, -5.2, 10.2), (0, -0.3, 0.9)), ((-1.4, -8.0, 9.7), (0, 0.2, 0.2)),
    )),
    "mouthLowerDownLeft": (1.2, (((0, -10.4, 9.7), (0, -1.7, -1.0)),)),
    "mouthFunnel": (1.2, (
        ((0, -10.4, 9.7), (0, -3.4, -1.1)), ((0, -3.5, 12.1), (0, -0.7, -0.9)),
    )),
    "mouthPucker": (1.2, (
        ((0, -10.4, 9.7), (0, 0.7, 1.1)), ((0, -3.5, 12.1), (0, -1.1, -1.0)),
        ((4.2, -6.2, 8.0), (-1.6, 0, -1.2)), ((-4.2, -6.2, 8.0), (1.6, 0, -1.2)),
    )),
    "mouthLeft": (1.5, (
        ((0, -10.4, 9.7), (2.4, 0.2, 0.9)), ((0, -3.5, 12.1), (2.6, 0.4, 0)),
        ((1.45, -4.1, 10.2), (4.4, 0.8, -0.6)), ((-1.45, -4.1, 10.2), (4.0, 0.2, 0.6)),
        ((0, -4.6, 10.6), (5.4, 0.3, 0)),
    )),
    "mouthShrugLower": (1.3, (((0, -10.4, 9.7), (0, 8.8, 4.9)),)),
    "mouthRollLower": (1.2, (((0, -10.4, 9.7), (0, -0.3, 0.4)),)),
    "mouthClose": (1.2, (((0, -10.4, 9.7), (0, 1.0, 0.5)),)),
}  # fmt: skip

# Lids: upper and lower edge in the middle of the eye (mm, up is positive), the lids' pull
# sideways and forwards (mm), and how far the eyeball turns (degrees: up, to the subject's left).
LIDS: Final[dict[str, tuple[float, float, float, float, float, float]]] = {
    "eyeLookDownLeft": (-5.6, -1.0, -0.3, -0.7, -24.0, 0.0),
    "eyeLookUpLeft": (2.9, 1.4, 0.0, 0.0, 21.0, 0.0),
    "eyeLookInLeft": (-0.4, 0.3, -2.0, 0.9, 0.0, -27.0),
    "eyeLookOutLeft": (0.7, 0.0, 1.7, -1.1, 0.0, 27.0),
    "eyeSquintLeft": (-0.4, 1.9, -0.4, 0.4, 0.0, 0.0),
    "eyeWideLeft": (2.9, -0.5, 0.0, 0.0, 0.0, 0.0),
}
