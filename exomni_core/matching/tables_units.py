# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in, tables out: names of heads whose keys are muscles and expression units, not sounds.

The notation is that of `tables.py`. Where each table comes from, and how sure it is, stands in
docs/matching.md.
"""

from __future__ import annotations

from typing import Final

from exomni_core.matching.tables import Table

# MakeHuman's own expression units (CC0), as MPFB loads them. "protusion" and "parling" are its
# spellings.
MAKEHUMAN_UNITS: Final[Table] = {
    "browDown*": "eyebrows-{l}-down",
    "browInnerUp": "eyebrows-left-inner-up + eyebrows-right-inner-up",
    "browOuterUp*": "eyebrows-{l}-extern-up | eyebrows-{l}-up",
    "eyeBlink*": "eye-{l}-closure",
    "eyeSquint*": "eye-{l}-slit",
    "eyeWide*": "eye-{l}-opened-up",
    "jawOpen": "mouth-open",
    "mouthFrown*": "0.5*mouth-depression",
    "mouthFunnel": "mouth-eversion",
    "mouthLowerDown*": "0.5*mouth-parling | 0.5*mouth-part-later",
    "mouthPress*": "0.5*mouth-compression",
    "mouthPucker": "mouth-pursing | mouth-protusion",
    "mouthSmile*": "0.5*mouth-corner-puller",
    "mouthStretch*": "0.5*mouth-retraction",
    "mouthUpperUp*": "0.5*mouth-elevation",
    "noseSneer*": "nose-{l}-elevation",
}

# Meta's face tracking: the muscles of FACS. T and B are the upper and the lower lip.
META_FACS: Final[Table] = {
    "browDown*": "browLowerer{s}",
    "browInnerUp": "innerBrowRaiserL + innerBrowRaiserR",
    "browOuterUp*": "outerBrowRaiser{s}",
    "cheekPuff": "cheekPuffL + cheekPuffR",
    "cheekSquint*": "cheekRaiser{s}",
    "eyeBlink*": "eyesClosed{s}",
    "eyeLookDown*": "eyesLookDown{s}",
    "eyeLookUp*": "eyesLookUp{s}",
    "eyeLookOutLeft": "eyesLookLeftL",
    "eyeLookInLeft": "eyesLookRightL",
    "eyeLookInRight": "eyesLookLeftR",
    "eyeLookOutRight": "eyesLookRightR",
    "eyeSquint*": "lidTightener{s}",
    "eyeWide*": "upperLidRaiser{s}",
    "jawForward": "jawThrust",
    "jawLeft": "jawSidewaysLeft",
    "jawOpen": "jawDrop",
    "jawRight": "jawSidewaysRight",
    "mouthClose": "lipsToward",
    "mouthDimple*": "dimpler{s}",
    "mouthFrown*": "lipCornerDepressor{s}",
    "mouthFunnel": "lipFunnelerLB + lipFunnelerLT + lipFunnelerRB + lipFunnelerRT",
    "mouthLeft": "mouthLeft",
    "mouthLowerDown*": "lowerLipDepressor{s}",
    "mouthPress*": "lipPressor{s}",
    "mouthPucker": "lipPuckerL + lipPuckerR",
    "mouthRight": "mouthRight",
    "mouthRollLower": "lipSuckLB + lipSuckRB",
    "mouthRollUpper": "lipSuckLT + lipSuckRT",
    "mouthShrugLower": "chinRaiserB",
    "mouthShrugUpper": "chinRaiserT",
    "mouthSmile*": "lipCornerPuller{s}",
    "mouthStretch*": "lipStretcher{s}",
    "mouthUpperUp*": "upperLipRaiser{s}",
    "noseSneer*": "noseWrinkler{s}",
    "tongueOut": "tongueOut",
}

# HTC's face and eye tracking (SRanipal). Its ape shape is an open jaw behind closed lips.
SRANIPAL: Final[Table] = {
    "browDown*": "0.5*Eye_Frown",
    "cheekPuff": "Cheek_Puff_Left + Cheek_Puff_Right",
    "eyeBlink*": "Eye_{S}_Blink",
    "eyeLookDown*": "Eye_{S}_Down",
    "eyeLookUp*": "Eye_{S}_Up",
    "eyeLookOutLeft": "Eye_Left_Left",
    "eyeLookInLeft": "Eye_Left_Right",
    "eyeLookInRight": "Eye_Right_Left",
    "eyeLookOutRight": "Eye_Right_Right",
    "eyeSquint*": "Eye_{S}_Squeeze",
    "eyeWide*": "Eye_{S}_Wide",
    "jawForward": "Jaw_Forward",
    "jawLeft": "Jaw_Left",
    "jawOpen": "Jaw_Open",
    "jawRight": "Jaw_Right",
    "mouthClose": "Mouth_Ape_Shape",
    "mouthFrown*": "Mouth_Sad_{S}",
    "mouthFunnel": "Mouth_Upper_Overturn + Mouth_Lower_Overturn",
    "mouthLeft": "Mouth_Upper_Left + Mouth_Lower_Left",
    "mouthLowerDown*": "Mouth_Lower_Down{S}",
    "mouthPucker": "Mouth_Pout",
    "mouthRight": "Mouth_Upper_Right + Mouth_Lower_Right",
    "mouthRollLower": "Mouth_Lower_Inside",
    "mouthRollUpper": "Mouth_Upper_Inside",
    "mouthShrugLower": "Mouth_Lower_Overlay",
    "mouthSmile*": "Mouth_Smile_{S}",
    "mouthUpperUp*": "Mouth_Upper_Up{S}",
    "tongueOut": "Tongue_LongStep1",
}

# Unity-chan: lids and brows are meshes of their own, and one key shuts both eyes.
UNITY_CHAN: Final[Table] = {
    "browDown*": "0.5*BLW_ANG1 | 0.5*BLW_ANG2",
    "browInnerUp": "BLW_CONF",
    "eyeBlink*": "0.5*EYE_DEF_C",
    "mouthSmile*": "0.5*MTH_SMILE1 | 0.5*MTH_SMILE2",
}
UNITY_CHAN_VISEMES: Final[Table] = {
    "aa": "MTH_A",
    "I": "MTH_I",
    "U": "MTH_U",
    "E": "MTH_E",
    "O": "MTH_O",
}
