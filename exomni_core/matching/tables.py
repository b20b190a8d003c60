# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in, tables out: which names each kind of character gives to what a face can do.

One line per channel or viseme. `a + b`: both keys move. `a | b`: b where there is no a.
`0.5*a`: a moves by half; a key that stands for both sides gets half from each. A channel that ends
in `*` has two sides: `{s}` becomes L or R, `{S}` Left or Right, `{l}` left or right.
Where each table comes from, and how sure it is, stands in docs/matching.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Table = Mapping[str, str]

# Additions for heads that use ARKit's names but split or join its sides (ICT-FaceKit splits).
ARKIT_EXTRA: Final[Table] = {
    "browInnerUp": "browInnerUp_L + browInnerUp_R",
    "cheekPuff": "cheekPuff_L + cheekPuff_R",
    "browDown*": "0.5*browDown",
    "browOuterUp*": "0.5*browOuterUp",
    "cheekSquint*": "0.5*cheekSquint",
    "eyeBlink*": "0.5*eyeBlink | 0.5*eyesClosed",
    "eyeLookDown*": "0.5*eyesLookDown",
    "eyeLookUp*": "0.5*eyesLookUp",
    "eyeSquint*": "0.5*eyeSquint",
    "eyeWide*": "0.5*eyeWide",
    "mouthDimple*": "0.5*mouthDimple",
    "mouthFrown*": "0.5*mouthFrown",
    "mouthFunnel": "mouthFunnelUpper + mouthFunnelLower",
    "mouthLowerDown*": "0.5*mouthLowerDown",
    "mouthPress*": "0.5*mouthPress",
    "mouthSmile*": "0.5*mouthSmile",
    "mouthStretch*": "0.5*mouthStretch",
    "mouthUpperUp*": "0.5*mouthUpperUp",
    "noseSneer*": "0.5*noseSneer",
}

# VRChat's face tracking. A shape for both sides stands beside or in place of the two sides.
UNIFIED_EXPRESSIONS: Final[Table] = {
    "browDown*": "BrowDown{S} | BrowLowerer{S} + BrowPinch{S}",
    "browInnerUp": "BrowInnerUpLeft + BrowInnerUpRight | BrowInnerUp",
    "browOuterUp*": "BrowOuterUp{S}",
    "cheekPuff": "CheekPuffLeft + CheekPuffRight",
    "cheekSquint*": "CheekSquint{S}",
    "eyeBlink*": "EyeClosed{S} | 0.5*EyeClosed",
    "eyeWide*": "EyeWide{S} | 0.5*EyeWide",
    "mouthClose": "MouthClosed",
    "mouthFunnel": "LipFunnel | LipFunnelLower + LipFunnelUpper | LipFunnelLowerLeft"
    " + LipFunnelLowerRight + LipFunnelUpperLeft + LipFunnelUpperRight",
    "mouthPucker": "LipPucker | LipPuckerLower + LipPuckerUpper",
    "mouthRollLower": "LipSuckLower | LipSuckLowerLeft + LipSuckLowerRight",
    "mouthRollUpper": "LipSuckUpper | LipSuckUpperLeft + LipSuckUpperRight",
    "mouthShrugLower": "MouthRaiserLower",
    "mouthShrugUpper": "MouthRaiserUpper",
    "mouthLeft": "MouthLeft | MouthLowerLeft + MouthUpperLeft",
    "mouthRight": "MouthRight | MouthLowerRight + MouthUpperRight",
    "mouthSmile*": "MouthSmile{S} | MouthCornerPull{S}",
    "mouthFrown*": "MouthFrown{S} | 0.5*MouthSad",
    "mouthLowerDown*": "MouthLowerDown{S} | 0.5*MouthLowerDown",
    "mouthUpperUp*": "MouthUpperUp{S} | 0.5*MouthUpperUp",
    "mouthPress*": "MouthPress{S} | 0.5*MouthPress",
    "mouthStretch*": "MouthStretch{S} | 0.5*MouthStretch",
}

# VRM 0.x groups and VRM 1.0 expressions, for files whose keys carry the names of those.
VRM: Final[Table] = {
    "eyeBlink*": "blink{S} | Blink_{s} | 0.5*blink",
    "eyeLookUp*": "0.5*LookUp",
    "eyeLookDown*": "0.5*LookDown",
    "eyeLookOutLeft": "0.5*LookLeft", "eyeLookInRight": "0.5*LookLeft",
    "eyeLookInLeft": "0.5*LookRight", "eyeLookOutRight": "0.5*LookRight",
}  # fmt: skip
VRM_VISEMES: Final[Table] = {"aa": "aa | A", "I": "ih | I", "U": "ou | U", "E": "ee | E",
                             "O": "oh | O"}  # fmt: skip

# VRoid Studio. Fcl_MTH_Up is a smile with closed lips; the other moods open the mouth.
VROID: Final[Table] = {
    "browDown*": "0.5*Fcl_BRW_Angry",
    "browInnerUp": "Fcl_BRW_Sorrow",
    "browOuterUp*": "0.5*Fcl_BRW_Surprised",
    "eyeBlink*": "Fcl_EYE_Close_{s} | 0.5*Fcl_EYE_Close",
    "eyeSquint*": "0.5*Fcl_EYE_Fun",
    "eyeWide*": "0.5*Fcl_EYE_Spread | 0.5*Fcl_EYE_Surprised",
    "mouthFrown*": "0.5*Fcl_MTH_Down",
    "mouthSmile*": "0.5*Fcl_MTH_Up",
}
VROID_VISEMES: Final[Table] = {
    "aa": "Fcl_MTH_A", "I": "Fcl_MTH_I", "U": "Fcl_MTH_U", "E": "Fcl_MTH_E", "O": "Fcl_MTH_O",
    "PP": "Fcl_MTH_Close",
}  # fmt: skip

# Character Creator's visemes: bare before CC4, `V_` since.
CC_VISEMES: Final[Table] = {
    "aa": "V_Open | Open", "PP": "V_Explosive | Explosive", "FF": "V_Dental_Lip | Dental_Lip",
    "O": "V_Tight_O | Tight-O", "U": "V_Tight | Tight", "E": "V_Wide | Wide",
    "CH": "V_Affricate | Affricate", "DD": "V_Lip_Open | Lip_Open",
}  # fmt: skip
CC3: Final[Table] = {
    "browDown*": "Brow_Drop_{s} | Brow_Drop_{S}",
    "browInnerUp": "Brow_Raise_Inner_L + Brow_Raise_Inner_R"
    " | Brow_Raise_Inner_Left + Brow_Raise_Inner_Right",
    "browOuterUp*": "Brow_Raise_Outer_{s} | Brow_Raise_Outer_{S} | Brow_Raise_{s}",
    "cheekPuff": "Cheek_Puff_L + Cheek_Puff_R | Cheek_Blow_L + Cheek_Blow_R",
    "cheekSquint*": "Cheek_Raise_{s}",
    "eyeBlink*": "Eye_Blink_{s} | 0.5*Eye_Blink | 0.5*Eyes_Blink",
    "eyeSquint*": "Eye_Squint_{s}",
    "eyeWide*": "Eye_Wide_{s}",
    "mouthFunnel": "Mouth_Pucker_Open",
    "mouthPucker": "Mouth_Pucker",
    "mouthLeft": "Mouth_L",
    "mouthRight": "Mouth_R",
    "mouthDimple*": "Mouth_Dimple_{s}",
    "mouthFrown*": "Mouth_Frown_{s} | 0.5*Mouth_Frown",
    "mouthSmile*": "Mouth_Smile_{s} | 0.5*Mouth_Smile",
    "mouthRollLower": "Mouth_Bottom_Lip_Under",
    "mouthRollUpper": "Mouth_Top_Lip_Under",
    "mouthShrugUpper": "Mouth_Top_Lip_Up",
    "mouthLowerDown*": "0.5*Mouth_Bottom_Lip_Down",
    "noseSneer*": "Nose_Flank_Raise_{s}",
}
CC4: Final[Table] = {
    "browDown*": "Brow_Drop_{s}",
    "browInnerUp": "Brow_Raise_Inner_L + Brow_Raise_Inner_R",
    "browOuterUp*": "Brow_Raise_Outer_{s}",
    "cheekPuff": "Cheek_Puff_L + Cheek_Puff_R",
    "cheekSquint*": "Cheek_Raise_{s}",
    "eyeBlink*": "Eye_Blink_{s}",
    "eyeLookUp*": "Eye_{s}_Look_Up",
    "eyeLookDown*": "Eye_{s}_Look_Down",
    "eyeLookOutLeft": "Eye_L_Look_L",
    "eyeLookInLeft": "Eye_L_Look_R",
    "eyeLookInRight": "Eye_R_Look_L",
    "eyeLookOutRight": "Eye_R_Look_R",
    "eyeSquint*": "Eye_Squint_{s}",
    "eyeWide*": "Eye_Wide_{s}",
    "jawForward": "Jaw_Forward",
    "jawLeft": "Jaw_L",
    "jawOpen": "Jaw_Open",
    "jawRight": "Jaw_R",
    "mouthClose": "Mouth_Close",
    "mouthDimple*": "Mouth_Dimple_{s}",
    "mouthFrown*": "Mouth_Frown_{s}",
    "mouthFunnel": "Mouth_Funnel_Up_L + Mouth_Funnel_Up_R"
    " + Mouth_Funnel_Down_L + Mouth_Funnel_Down_R",
    "mouthLeft": "Mouth_L",
    "mouthRight": "Mouth_R",
    "mouthLowerDown*": "Mouth_Down_Lower_{s}",
    "mouthPress*": "Mouth_Press_{s}",
    "mouthPucker": "Mouth_Pucker_Up_L + Mouth_Pucker_Up_R"
    " + Mouth_Pucker_Down_L + Mouth_Pucker_Down_R",
    "mouthRollLower": "Mouth_Roll_In_Lower_L + Mouth_Roll_In_Lower_R",
    "mouthRollUpper": "Mouth_Roll_In_Upper_L + Mouth_Roll_In_Upper_R",
    "mouthShrugLower": "Mouth_Shrug_Lower",
    "mouthShrugUpper": "Mouth_Shrug_Upper",
    "mouthSmile*": "Mouth_Smile_{s}",
    "mouthStretch*": "Mouth_Stretch_{s}",
    "mouthUpperUp*": "Mouth_Up_Upper_{s}",
    "noseSneer*": "Nose_Sneer_{s}",
    "tongueOut": "Tongue_Out",
}

# MetaHuman's curves; Reallusion's HD characters carry the same names with underscores.
METAHUMAN: Final[Table] = {
    "browDown*": "browDown{s}",
    "browInnerUp": "browRaiseInL + browRaiseInR",
    "browOuterUp*": "browRaiseOuter{s}",
    "cheekPuff": "mouthCheekBlowL + mouthCheekBlowR",
    "cheekSquint*": "eyeCheekRaise{s}",
    "eyeBlink*": "eyeBlink{s}",
    "eyeLookUp*": "eyeLookUp{s}",
    "eyeLookDown*": "eyeLookDown{s}",
    "eyeLookOutLeft": "eyeLookLeftL",
    "eyeLookInLeft": "eyeLookRightL",
    "eyeLookInRight": "eyeLookLeftR",
    "eyeLookOutRight": "eyeLookRightR",
    "eyeSquint*": "eyeSquintInner{s}",
    "eyeWide*": "eyeWiden{s}",
    "jawForward": "jawFwd",
    "jawLeft": "jawLeft",
    "jawOpen": "jawOpen",
    "jawRight": "jawRight",
    "mouthClose": "mouthLipsTogetherUL + mouthLipsTogetherUR"
    " + mouthLipsTogetherDL + mouthLipsTogetherDR",
    "mouthDimple*": "mouthDimple{s}",
    "mouthFrown*": "mouthCornerDepress{s}",
    "mouthFunnel": "mouthFunnelUL + mouthFunnelUR + mouthFunnelDL + mouthFunnelDR",
    "mouthLeft": "mouthLeft",
    "mouthRight": "mouthRight",
    "mouthLowerDown*": "mouthLowerLipDepress{s}",
    "mouthPress*": "mouthLipsPress{s} | mouthPressU{s} + mouthPressD{s}",
    "mouthPucker": "mouthLipsPurseUL + mouthLipsPurseUR + mouthLipsPurseDL + mouthLipsPurseDR"
    " + mouthLipsTowardsUL + mouthLipsTowardsUR + mouthLipsTowardsDL + mouthLipsTowardsDR",
    "mouthRollLower": "mouthLowerLipRollInL + mouthLowerLipRollInR"
    " | mouthLowerLipBiteL + mouthLowerLipBiteR",
    "mouthRollUpper": "mouthUpperLipRollInL + mouthUpperLipRollInR"
    " | mouthUpperLipBiteL + mouthUpperLipBiteR",
    "mouthShrugLower": "jawChinRaiseDL + jawChinRaiseDR",
    "mouthShrugUpper": "jawChinRaiseUL + jawChinRaiseUR",
    "mouthSmile*": "mouthCornerPull{s}",
    "mouthStretch*": "mouthStretch{s}",
    "mouthUpperUp*": "mouthUpperLipRaise{s}",
    "noseSneer*": "noseWrinkle{s} | noseWrinkleUpper{s}",
    "tongueOut": "tongueOut",
}

# MakeHuman's older "face shapes" (mhx2, Unity). MPFB's face units are ARKit's own names.
MAKEHUMAN: Final[Table] = {
    "browDown*": "brow_mid_down_{l}",
    "browInnerUp": "brow_mid_up_left + brow_mid_up_right",
    "browOuterUp*": "brow_outer_up_{l}",
    "cheekPuff": "cheek_balloon_left + cheek_balloon_right",
    "cheekSquint*": "cheek_squint_{l}",
    "jawOpen": "mouth_open",
    "mouthDimple*": "mouth_corner_in_{l}",
    "mouthFrown*": "mouth_corner_down_{l}",
    "mouthFunnel": "lips_lower_out + lips_upper_out",
    "mouthLowerDown*": "lips_mid_lower_down_{l}",
    "mouthPress*": "0.5*lips_mid_lower_up_{l} + 0.5*lips_mid_upper_down_{l}",
    "mouthPucker": "mouth_narrow_left + mouth_narrow_right",
    "mouthRollLower": "lips_lower_in",
    "mouthRollUpper": "lips_upper_in",
    "mouthSmile*": "mouth_corner_up_{l}",
    "mouthStretch*": "mouth_wide_{l}",
    "mouthUpperUp*": "lips_mid_upper_up_{l}",
    "noseSneer*": "0.5*nose_wrinkle",
    "tongueOut": "tongue_out",
}

# Daz Genesis 8.1 spells ARKit with `facs_` and `_div2` around; Genesis 9 splits it.
DAZ_FACS: Final[Table] = {
    "browInnerUp": "BrowInnerUp | BrowInnerUpLeft + BrowInnerUpRight",
    "cheekPuff": "CheekPuff | CheekPuffLeft + CheekPuffRight",
    "eyeWide*": "EyeWide{S} | EyesWide{S} | EyelidOpenUpper{S} + EyelidOpenLower{S}",
    "mouthClose": "MouthClose | MouthCloseUpperLeft + MouthCloseUpperRight"
    " + MouthCloseLowerLeft + MouthCloseLowerRight",
    "mouthFunnel": "MouthFunnel | MouthFunnelUpperLeft + MouthFunnelUpperRight"
    " + MouthFunnelLowerLeft + MouthFunnelLowerRight",
    "mouthPress*": "MouthPress{S} | MouthPressUpper{S} + MouthPressLower{S}",
    "mouthPucker": "MouthPucker | MouthPurseUpperLeft + MouthPurseUpperRight"
    " + MouthPurseLowerLeft + MouthPurseLowerRight",
    "mouthRollLower": "MouthRollLower | MouthRollLowerLeft + MouthRollLowerRight",
    "mouthRollUpper": "MouthRollUpper | MouthRollUpperLeft + MouthRollUpperRight",
    "mouthShrugLower": "MouthShrugLower | MouthShrugLowerLeft + MouthShrugLowerRight",
    "mouthShrugUpper": "MouthShrugUpper | MouthShrugUpperLeft + MouthShrugUpperRight",
}
# Genesis 3 and 8. `~` marks keys that also go the other way, -1 to 1.
DAZ_8: Final[Table] = {
    "browDown*": "-1*~eCTRLBrowUp-Down{s} | -0.5*~eCTRLBrowUp-Down",
    "browInnerUp": "eCTRLBrowInnerUp-Down",
    "browOuterUp*": "eCTRLBrowOuterUp-Down{s}",
    "eyeBlink*": "eCTRLEyesClosed{s} | 0.5*eCTRLEyesClosed",
    "eyeSquint*": "eCTRLEyesSquint{s} | 0.5*eCTRLEyesSquint",
    "jawLeft": "-1*~eCTRLJawSide-Side",
    "jawRight": "~eCTRLJawSide-Side",
    "jawForward": "eCTRLJawOut-In",
    "mouthDimple*": "eCTRLMouthCornerBack{s}",
    "mouthFrown*": "0.5*eCTRLMouthFrown",
    "mouthLeft": "-1*~eCTRLMouthSide-Side",
    "mouthRight": "~eCTRLMouthSide-Side",
    "mouthPucker": "eCTRLLipsPucker",
    "mouthSmile*": "eCTRLMouthSmileSimple{s} | 0.5*eCTRLMouthSmile",
    "mouthStretch*": "0.5*~eCTRLMouthWide-Narrow",
    "noseSneer*": "0.5*eCTRLNoseWrinkle",
    "tongueOut": "-1*~eCTRLTongueIn-Out",
}
DAZ_8_VISEMES: Final[Table] = {
    "aa": "eCTRLvAA", "E": "eCTRLvEH", "I": "eCTRLvIY | eCTRLvEE | eCTRLvIH", "O": "eCTRLvOW",
    "U": "eCTRLvUW | eCTRLvW", "PP": "eCTRLvM", "FF": "eCTRLvF", "SS": "eCTRLvS",
    "CH": "eCTRLvSH", "TH": "eCTRLvTH", "DD": "eCTRLvT | eCTRLvL", "RR": "eCTRLvER",
    "kk": "eCTRLvK", "open": "eCTRLMouthOpen",
}  # fmt: skip

# Oculus (Meta) lip sync, as such, as VRChat writes it, and as VRM and VSeeFace take it.
OCULUS_VISEMES: Final[Table] = {
    "sil": "viseme_sil", "PP": "viseme_PP", "FF": "viseme_FF", "TH": "viseme_TH",
    "DD": "viseme_DD", "kk": "viseme_kk", "CH": "viseme_CH", "SS": "viseme_SS",
    "nn": "viseme_nn", "RR": "viseme_RR", "aa": "viseme_aa", "E": "viseme_E",
    "I": "viseme_I | viseme_ih", "O": "viseme_O | viseme_oh", "U": "viseme_U | viseme_ou",
    "open": "mouthOpen",
}  # fmt: skip
VRCHAT_VISEMES: Final[Table] = {
    "sil": "v_sil", "PP": "v_pp", "FF": "v_ff", "TH": "v_th", "DD": "v_dd", "kk": "v_kk",
    "CH": "v_ch", "SS": "v_ss", "nn": "v_nn", "RR": "v_rr", "aa": "v_aa", "E": "v_e",
    "I": "v_ih", "O": "v_oh", "U": "v_ou",
}  # fmt: skip
VRCHAT: Final[Table] = {"eyeBlink*": "blink_{l} | vrc.blink_{l} | 0.5*vrc.blink | 0.5*blink"}
BARE_VISEMES: Final[Table] = {
    "sil": "sil", "PP": "PP", "FF": "FF", "TH": "TH", "DD": "DD", "kk": "kk", "CH": "CH",
    "SS": "SS", "nn": "nn", "RR": "RR", "aa": "aa", "E": "E", "I": "ih", "O": "oh", "U": "ou",
}  # fmt: skip

# Microsoft's 22, as MPFB's pack "visemes01" names them.
MICROSOFT_VISEMES: Final[Table] = {
    "sil": "sil_00", "aa": "aa_02 | aa_ah_ax_01", "O": "ao_03 | ow_08", "E": "ey_eh_uh_04",
    "RR": "r_13 | er_05", "I": "y_iy_ih_ix_06", "U": "w_uw_07", "SS": "s_z_15",
    "CH": "sh_ch_jh_zh_16", "TH": "th_dh_17", "FF": "f_v_18", "DD": "d_t_n_19",
    "nn": "l_14", "kk": "k_g_ng_20", "PP": "p_b_m_21",
}  # fmt: skip

# MikuMikuDance. ウィンク２ is the plain blink of one eye, ウィンク the smiling one.
MMD: Final[Table] = {
    "browDownLeft": "0.5*怒り | 0.5*下",
    "browDownRight": "0.5*怒り | 0.5*下",
    "browInnerUp": "困る",
    "browOuterUp*": "0.5*上",
    "cheekPuff": "ぷくー",
    "eyeBlinkLeft": "ウィンク２ | 0.5*まばたき | ウィンク",
    "eyeBlinkRight": "ウィンク２右 | 0.5*まばたき | ウィンク右",
    "eyeSquint*": "0.5*じと目",
    "eyeWide*": "0.5*びっくり",
    "mouthFrown*": "0.5*口角下げ",
    "mouthSmile*": "0.5*にっこり | 0.5*口角上げ | 0.5*にやり",
    "mouthStretch*": "0.5*口横広げ",
    "mouthPucker": "口横狭め",
    "tongueOut": "べー | ぺろっ",
}
MMD_VISEMES: Final[Table] = {"aa": "あ", "I": "い", "U": "う", "E": "え", "O": "お", "PP": "ん"}

# Rhubarb's and Preston Blair's mouths; Hanna-Barbera's letters are the same.
RHUBARB_VISEMES: Final[Table] = {"PP": "A", "I": "B", "E": "C", "aa": "D", "O": "E", "U": "F",
                                 "FF": "G", "DD": "H", "sil": "X"}  # fmt: skip
VOWEL_VISEMES: Final[Table] = {
    "aa": "A | Ah | AA", "E": "E | Eh", "I": "I | Ih | EE", "O": "O | Oh", "U": "U | Oo | Ou",
    "PP": "M | MBP | BMP | Closed", "FF": "F | FV",
}  # fmt: skip

# Heads with a handful of plain English keys.
PLAIN: Final[Table] = {
    "browDown*": "brow_down_{l} | brows_down_{s} | 0.5*brows_down",
    "browInnerUp": "brows_inner_up | inner_brow_up",
    "browOuterUp*": "brow_up_{s} | brow_up_{l} | 0.5*brows_up | 0.5*brow_up",
    "cheekPuff": "puff | cheeks_puff",
    "eyeBlink*": "blink_{s} | blink_{l} | eye_close_{s} | eye_close_{l} | eye_closed_{s}"
    " | eye_closed_{l} | wink_{s} | wink_{l} | 0.5*blink | 0.5*eyes_close | 0.5*eyes_closed"
    " | 0.5*eye_close",
    "eyeWide*": "0.5*eyes_wide",
    "jawOpen": "jaw_drop | jaw_down | open_jaw",
    "mouthFrown*": "frown_{s} | frown_{l} | 0.5*frown",
    "mouthPucker": "pucker | kiss | lips_pucker",
    "mouthSmile*": "smile_{s} | smile_{l} | 0.5*smile",
    "mouthStretch*": "wide_{s} | 0.5*mouth_wide | 0.5*wide",
    "tongueOut": "tongue",
}
PLAIN_VISEMES: Final[Table] = {
    "open": "mouth_open | open_mouth | open | mouthOpen | talk",
    "PP": "mouth_closed | lips_closed",
}
