# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in; out: the shape key names of heads that are built of muscles and expression units."""

from __future__ import annotations


def words(text: str) -> list[str]:
    """The names in a text."""
    return text.split()


def _sides(text: str, *sides: str) -> list[str]:
    return [name.replace("*", side) for name in words(text) for side in sides]


ROCKETBOX_CHANNELS = words("""
BrowDownLeft BrowDownRight BrowInnerUp BrowOuterUpLeft BrowOuterUpRight
CheekPuff CheekSquintLeft CheekSquintRight EyeBlinkLeft EyeBlinkRight EyeLookDownLeft
EyeLookDownRight EyeLookInLeft EyeLookInRight EyeLookOutLeft EyeLookOutRight EyeLookUpLeft
EyeLookUpRight EyeSquintLeft EyeSquintRight EyeWideLeft EyeWideRight JawForward JawLeft JawOpen
JawRight MouthClose MouthDimpleLeft MouthDimpleRight MouthFrownLeft MouthFrownRight MouthFunnel
MouthLeft MouthLowerDownLeft MouthLowerDownRight MouthPressLeft MouthPressRight MouthPucker
MouthRight MouthRollLower MouthRollUpper MouthShrugLower MouthShrugUpper MouthSmileLeft
MouthSmileRight MouthStretchLeft MouthStretchRight MouthUpperUpLeft MouthUpperUpRight
NoseSneerLeft NoseSneerRight TongueOut""")
OCULUS_ORDER = words("Sil PP FF TH DD KK CH SS nn RR aa E I O U")
ROCKETBOX = [f"AA_VI_{i:02}_{name}" for i, name in enumerate(OCULUS_ORDER)] + [
    f"AK_{i:02}_{name}" for i, name in enumerate(ROCKETBOX_CHANNELS, 1)
]
MAKEHUMAN_UNITS = [
    *_sides("eye-*-closure eye-*-opened-up eye-*-slit", "left", "right"),
    *_sides("eyebrows-*-down eyebrows-*-extern-up eyebrows-*-inner-up", "left", "right"),
    *_sides("eyebrows-*-up nose-*-dilatation nose-*-elevation", "left", "right"),
    *words("""mouth-compression mouth-corner-puller mouth-depression-retraction mouth-depression
    mouth-elevation mouth-eversion mouth-open mouth-parling mouth-part-later mouth-protusion
    mouth-pursing mouth-retraction mouth-upward-retraction neck-platysma nose-compression
    nose-depression"""),
]
META_FACS = [
    *_sides("browLowerer* cheekPuff* cheekRaiser* cheekSuck* dimpler* eyesClosed*", "L", "R"),
    *_sides("eyesLookDown* eyesLookLeft* eyesLookRight* eyesLookUp* innerBrowRaiser*", "L", "R"),
    *_sides("lidTightener* lipCornerDepressor* lipCornerPuller* lipPressor*", "L", "R"),
    *_sides("lipPucker* lipStretcher* lipTightener* lowerLipDepressor*", "L", "R"),
    *_sides("noseWrinkler* outerBrowRaiser* upperLidRaiser* upperLipRaiser*", "L", "R"),
    *_sides("lipFunneler* lipSuck*", "LB", "LT", "RB", "RT"),
    *words("chinRaiserB chinRaiserT jawDrop jawSidewaysLeft jawSidewaysRight jawThrust"),
    *words("lipsToward mouthLeft mouthRight"),
]
SRANIPAL = [
    *_sides("Jaw_* Mouth_Upper_* Mouth_Lower_* Mouth_Smile_* Mouth_Sad_*", "Left", "Right"),
    *_sides("Cheek_Puff_* Mouth_Upper_Up* Mouth_Lower_Down*", "Left", "Right"),
    *_sides("Eye_*_Blink Eye_*_Wide Eye_*_Right Eye_*_Left Eye_*_Up Eye_*_Down", "Left", "Right"),
    *words("""Jaw_Forward Jaw_Open Mouth_Ape_Shape Mouth_Upper_Overturn
    Mouth_Lower_Overturn Mouth_Pout Cheek_Suck Mouth_Upper_Inside Mouth_Lower_Inside
    Mouth_Lower_Overlay Tongue_LongStep1"""),
]
UNITY_CHAN = {
    "EYE_DEF": ["EYE_DEF_C"],
    "EL_DEF": ["EYE_DEF_C"],
    "BLW_DEF": ["BLW_ANG1", "BLW_CONF", "BLW_SMILE1"],
    "MTH_DEF": ["MTH_A", "MTH_I", "MTH_U", "MTH_E", "MTH_O", "MTH_SMILE1"],
}
