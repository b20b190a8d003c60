# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads of many makers, by the names of their shape keys: how much of the face each can show."""

from __future__ import annotations

import random
import re

import pytest
import unit_names

from exomni_core.arkit import ARKIT_52
from exomni_core.errors import InputError
from exomni_core.matching.families import families, family_by_id
from exomni_core.matching.match import Matching, match


def words(text: str) -> list[str]:
    return text.split()


OCULUS = words("sil PP FF TH DD kk CH SS nn RR aa E I O U")
CC4 = words("""
Brow_Raise_Inner_L Brow_Raise_Inner_R Brow_Raise_Outer_L Brow_Raise_Outer_R Brow_Drop_L
Brow_Drop_R Brow_Compress_L Brow_Compress_R Eye_Blink_L Eye_Blink_R Eye_Squint_L Eye_Squint_R
Eye_Wide_L Eye_Wide_R Eye_L_Look_L Eye_R_Look_L Eye_L_Look_R Eye_R_Look_R Eye_L_Look_Up
Eye_R_Look_Up Eye_L_Look_Down Eye_R_Look_Down Nose_Sneer_L Nose_Sneer_R Cheek_Raise_L Cheek_Raise_R
Cheek_Puff_L Cheek_Puff_R Mouth_Smile_L Mouth_Smile_R Mouth_Smile_Sharp_L Mouth_Smile_Sharp_R
Mouth_Frown_L Mouth_Frown_R Mouth_Stretch_L Mouth_Stretch_R Mouth_Dimple_L Mouth_Dimple_R
Mouth_Press_L Mouth_Press_R Mouth_Pucker_Up_L Mouth_Pucker_Up_R Mouth_Pucker_Down_L
Mouth_Pucker_Down_R Mouth_Funnel_Up_L Mouth_Funnel_Up_R Mouth_Funnel_Down_L Mouth_Funnel_Down_R
Mouth_Roll_In_Upper_L Mouth_Roll_In_Upper_R Mouth_Roll_In_Lower_L Mouth_Roll_In_Lower_R Mouth_Up
Mouth_Down Mouth_L Mouth_R Mouth_Shrug_Upper Mouth_Shrug_Lower Mouth_Up_Upper_L Mouth_Up_Upper_R
Mouth_Down_Lower_L Mouth_Down_Lower_R Mouth_Close Jaw_Open Jaw_Forward Jaw_L Jaw_R Tongue_Out
Head_Turn_L V_Open V_Explosive V_Dental_Lip V_Tight_O V_Tight V_Wide V_Affricate
V_Lip_Open""")
CC3 = words("""
Brow_Raise_Inner_L Brow_Raise_Inner_R Brow_Raise_Outer_L Brow_Raise_Outer_R Brow_Drop_L
Brow_Drop_R Brow_Raise_L Brow_Raise_R Eye_Blink Eye_Blink_L Eye_Blink_R Eye_Squint_L Eye_Squint_R
Eye_Wide_L Eye_Wide_R Cheek_Raise_L Cheek_Raise_R Cheek_Puff_L Cheek_Puff_R Nose_Flank_Raise_L
Nose_Flank_Raise_R Mouth_Smile Mouth_Smile_L Mouth_Smile_R Mouth_Frown_L Mouth_Frown_R Mouth_L
Mouth_R Mouth_Pucker Mouth_Pucker_Open Mouth_Dimple_L Mouth_Dimple_R Mouth_Top_Lip_Up
Mouth_Bottom_Lip_Under Open Explosive Dental_Lip Tight-O Tight Wide Affricate Lip_Open""")
METAHUMAN = words("""browDownL browDownR browRaiseInL browRaiseInR browRaiseOuterL browRaiseOuterR
browLateralL mouthCheekBlowL mouthCheekBlowR eyeCheekRaiseL eyeCheekRaiseR eyeBlinkL eyeBlinkR
eyeLookUpL eyeLookUpR eyeLookDownL eyeLookDownR eyeLookLeftL eyeLookLeftR eyeLookRightL
eyeLookRightR eyeSquintInnerL eyeSquintInnerR eyeWidenL eyeWidenR jawFwd jawLeft jawOpen jawRight
jawBack mouthLipsTogetherUL mouthLipsTogetherUR mouthLipsTogetherDL mouthLipsTogetherDR
mouthDimpleL mouthDimpleR mouthCornerDepressL mouthCornerDepressR mouthFunnelUL mouthFunnelUR
mouthFunnelDL mouthFunnelDR mouthLeft mouthRight mouthLowerLipDepressL mouthLowerLipDepressR
mouthLipsPressL mouthLipsPressR mouthLipsPurseUL mouthLipsPurseUR mouthLipsPurseDL mouthLipsPurseDR
mouthLowerLipRollInL mouthLowerLipRollInR mouthUpperLipRollInL mouthUpperLipRollInR jawChinRaiseDL
jawChinRaiseDR jawChinRaiseUL jawChinRaiseUR mouthCornerPullL mouthCornerPullR mouthStretchL
mouthStretchR mouthUpperLipRaiseL mouthUpperLipRaiseR noseWrinkleL noseWrinkleR tongueOut
mouthStickyUC""")
UNIFIED = words("""BrowDownLeft BrowDownRight BrowInnerUpLeft BrowInnerUpRight BrowOuterUpLeft
BrowOuterUpRight EyeClosedLeft EyeClosedRight EyeLookDownLeft EyeLookDownRight EyeLookInLeft
EyeLookInRight EyeLookOutLeft EyeLookOutRight EyeLookUpLeft EyeLookUpRight EyeSquintLeft
EyeSquintRight EyeWideLeft EyeWideRight CheekPuffLeft CheekPuffRight CheekSquintLeft
CheekSquintRight LipFunnel LipFunnelLower LipFunnelUpper LipPucker LipSuckLower LipSuckUpper
JawForward JawLeft JawOpen JawRight MouthClosed MouthFrownLeft MouthFrownRight MouthLeft
MouthLowerDown MouthPress MouthRaiserLower MouthRaiserUpper MouthRight MouthSmileLeft
MouthSmileRight MouthStretchLeft MouthStretchRight MouthUpperUp NoseSneerLeft NoseSneerRight
TongueOut TongueUp""")
DAZ_9 = [
    f"facs_bs_{name}"
    for name in words("""BrowDownLeft BrowDownRight BrowInnerUpLeft
BrowInnerUpRight BrowOuterUpLeft BrowOuterUpRight CheekPuffLeft CheekPuffRight CheekSquintLeft
CheekSquintRight EyeBlinkLeft EyeBlinkRight EyeLookDownLeft EyeLookDownRight EyeLookInLeft
EyeLookInRight EyeLookOutLeft EyeLookOutRight EyeLookUpLeft EyeLookUpRight EyeSquintLeft
EyeSquintRight JawForward JawLeft JawOpen JawRight MouthCloseUpperLeft MouthCloseUpperRight
MouthCloseLowerLeft MouthCloseLowerRight MouthDimpleLeft MouthDimpleRight MouthFrownLeft
MouthFrownRight MouthFunnelUpperLeft MouthFunnelUpperRight MouthFunnelLowerLeft
MouthFunnelLowerRight MouthLeft MouthLowerDownLeft MouthLowerDownRight MouthPressUpperLeft
MouthPressLowerLeft MouthPressUpperRight MouthPressLowerRight MouthPurseUpperLeft
MouthPurseUpperRight MouthPurseLowerLeft MouthPurseLowerRight MouthRight MouthRollLowerLeft
MouthRollLowerRight MouthRollUpperLeft MouthRollUpperRight MouthShrugLowerLeft MouthShrugLowerRight
MouthShrugUpperLeft MouthShrugUpperRight MouthSmileLeft MouthSmileRight MouthStretchLeft
MouthStretchRight MouthUpperUpLeft MouthUpperUpRight NoseSneerLeft NoseSneerRight""")
]
DAZ_8 = [
    f"head__eCTRL{name}"
    for name in words("""MouthOpen MouthSmileSimpleL MouthSmileSimpleR
MouthFrown LipsPucker EyesClosedL EyesClosedR EyesClosed MouthSide-Side JawSide-Side BrowUp-DownL
BrowUp-DownR vAA vEE vEH vER vF vIH vIY vK vL vM vOW vS vSH vT vTH vUW vW""")
]
MAKEHUMAN = words("""brow_mid_down_left brow_mid_down_right brow_mid_up_left brow_mid_up_right
brow_outer_up_left brow_outer_up_right cheek_balloon_left cheek_balloon_right cheek_squint_left
cheek_squint_right lips_lower_in lips_lower_out lips_upper_in lips_upper_out
lips_mid_lower_down_left lips_mid_lower_down_right lips_mid_lower_up_left lips_mid_lower_up_right
lips_mid_upper_up_left lips_mid_upper_up_right lips_part mouth_corner_down_left
mouth_corner_down_right mouth_corner_in_left mouth_corner_in_right mouth_corner_up_left
mouth_corner_up_right mouth_narrow_left mouth_narrow_right mouth_open mouth_wide_left
mouth_wide_right nose_wrinkle tongue_out tongue_up""")
VROID = words("""Fcl_ALL_Neutral Fcl_ALL_Joy Fcl_BRW_Angry Fcl_BRW_Sorrow Fcl_BRW_Surprised
Fcl_EYE_Close Fcl_EYE_Close_R Fcl_EYE_Close_L Fcl_EYE_Fun Fcl_EYE_Spread Fcl_MTH_Close Fcl_MTH_Up
Fcl_MTH_Down Fcl_MTH_Joy Fcl_MTH_A Fcl_MTH_I Fcl_MTH_U Fcl_MTH_E Fcl_MTH_O Fcl_HA_Hide""")
MICROSOFT = words("""
aa_02 aa_ah_ax_01 ao_03 aw_09 ay_11 d_t_n_19 er_05 ey_eh_uh_04 f_v_18 h_12 k_g_ng_20
l_14 ow_08 oy_10 p_b_m_21 r_13 sh_ch_jh_zh_16 sil_00 s_z_15 th_dh_17 w_uw_07
y_iy_ih_ix_06""")
EXPLUS = [
    f"A{i:02d}_{name}"
    for i, name in enumerate(
        words("""
Brow_Inner_Up Brow_Down_Left Brow_Down_Right
Brow_Outer_Up_Left Brow_Outer_Up_Right Eye_Look_Up_Left Eye_Look_Up_Right Eye_Look_Down_Left
Eye_Look_Down_Right Eye_Look_Out_Left Eye_Look_In_Left Eye_Look_In_Right Eye_Look_Out_Right
Eye_Blink_Left Eye_Blink_Right Eye_Squint_Left Eye_Squint_Right Eye_Wide_Left Eye_Wide_Right
Cheek_Puff Cheek_Squint_Left Cheek_Squint_Right Nose_Sneer_Left Nose_Sneer_Right Jaw_Open
Jaw_Forward Jaw_Left Jaw_Right Mouth_Funnel Mouth_Pucker Mouth_Left Mouth_Right Mouth_Roll_Upper
Mouth_Roll_Lower Mouth_Shrug_Upper Mouth_Shrug_Lower Mouth_Close Mouth_Smile_Left Mouth_Smile_Right
Mouth_Frown_Left Mouth_Frown_Right Mouth_Dimple_Left Mouth_Dimple_Right Mouth_Upper_Up_Left
Mouth_Upper_Up_Right Mouth_Lower_Down_Left Mouth_Lower_Down_Right Mouth_Press_Left
Mouth_Press_Right Mouth_Stretch_Left Mouth_Stretch_Right Tongue_Out"""),
        1,
    )
]


def cased(name: str) -> str:
    return name[0].upper() + name[1:]


def sided(name: str, mark: str) -> str:
    for side in ("Left", "Right"):
        name = name.removesuffix(side) + (mark + side[0]) * name.endswith(side)
    return name


def spaced(name: str) -> str:
    return "".join(f" {c}" if c.isupper() else c for c in name)


ICT = [sided(n, "_") for n in ARKIT_52 if n not in ("browInnerUp", "cheekPuff", "tongueOut")]

# name -> (keys, family recognised, channels with keys of their own, all channels shown)
HEADS: dict[str, tuple[list[str], str, int, int]] = {
    "arkit": (list(ARKIT_52), "arkit", 52, 52),
    "faceit": (list(ARKIT_52), "arkit", 52, 52),
    "pascal case (VRM perfect sync)": ([cased(n) for n in ARKIT_52], "arkit", 52, 52),
    "upper case": ([n.upper() for n in ARKIT_52], "arkit", 52, 52),
    "snake case": ([spaced(n).replace(" ", "_").lower() for n in ARKIT_52], "arkit", 52, 52),
    "words": ([spaced(n) for n in ARKIT_52], "arkit", 52, 52),
    "_L": ([sided(n, "_") for n in ARKIT_52], "arkit", 52, 52),
    ".L": ([sided(n, ".") for n in ARKIT_52], "arkit", 52, 52),
    "mesh name in front": ([f"Head.{n}" for n in ARKIT_52], "arkit", 52, 52),
    "node name in front": ([f"blendShape1.{n}" for n in ARKIT_52], "arkit", 52, 52),
    "ARKit_": ([f"ARKit_{n}" for n in ARKIT_52], "arkit", 52, 52),
    "unheard-of affixes": ([f"zq7_{n}__wob" for n in ARKIT_52], "arkit", 52, 52),
    "ict": (
        [*ICT, *words("browInnerUp_L browInnerUp_R cheekPuff_L cheekPuff_R")], "arkit", 51, 51,
    ),
    "ready player me": (
        [*ARKIT_52, "mouthOpen", "mouthSmile", "eyesClosed", *(f"viseme_{v}" for v in OCULUS)],
        "oculus", 52, 52,
    ),
    "ready player me, visemes": (
        ["mouthOpen", "mouthSmile", *(f"viseme_{v}" for v in OCULUS)], "oculus", 2, 17,
    ),
    "mpfb, all packs": (
        [*ARKIT_52, *(f"viseme_{v}" for v in OCULUS), *MICROSOFT], "oculus", 52, 52,
    ),
    "mpfb, Microsoft": (MICROSOFT, "mpfb", 0, 17),
    "oculus": ([f"viseme_{v}" for v in OCULUS], "oculus", 0, 17),
    "visemes, bare": (words("sil PP FF TH DD kk CH SS nn RR aa E ih oh ou"), "visemes", 0, 17),
    "vrchat": (
        ["vrc.blink_left", "vrc.blink_right"]
        + [f"vrc.v_{v}" for v in words("sil pp ff th dd kk ch ss nn rr aa e ih oh ou")],
        "vrchat", 2, 19,
    ),
    "unified expressions": (UNIFIED, "unified", 50, 52),
    "vrm 1.0": (words("aa ih ou ee oh blink blinkLeft blinkRight happy relaxed"), "vrm", 2, 16),
    "vrm 0.x": (words("A I U E O Blink Blink_L Blink_R Joy Fun LookUp LookDown"), "vrm", 6, 20),
    "vroid": (VROID, "vroid", 15, 30),
    "vroid with perfect sync": (VROID + [cased(n) for n in ARKIT_52], "vroid", 52, 52),
    "cc explus": (EXPLUS, "cc_explus", 52, 52),
    "cc3": (CC3, "cc3", 25, 40),
    "cc4": (CC4, "cc4", 52, 52),
    "metahuman": ([f"CTRL_expressions_{n}" for n in METAHUMAN], "metahuman", 52, 52),
    "makehuman": (MAKEHUMAN, "makehuman", 30, 31),
    "makehuman units": (unit_names.MAKEHUMAN_UNITS, "makehuman_units", 28, 31),
    "meta": (unit_names.META_FACS, "meta", 51, 51),
    "sranipal": (unit_names.SRANIPAL, "sranipal", 34, 38),
    "rocketbox": (unit_names.ROCKETBOX, "arkit", 52, 52),
    "unity-chan": (
        [key for keys in list(unit_names.UNITY_CHAN.values())[1:] for key in keys],
        "unity_chan", 7, 21,
    ),
    "daz 8.1": (
        [f"Genesis8_1Female__facs_bs_{cased(n)}_div2" for n in ARKIT_52], "daz_facs", 52, 52,
    ),
    "daz 9": (DAZ_9, "daz_facs", 49, 49),
    "daz 8": (DAZ_8, "daz_8", 12, 27),
    "mmd": (
        words("あ い う え お ん まばたき ウィンク ウィンク右 ウィンク２ ウィンク２右")
        + words("にやり 笑い 困る"),
        "mmd", 5, 22,
    ),
    "rhubarb": (list("ABCDEFGHX"), "rhubarb", 0, 17),
    "vowels": (list("AEIOU"), "vowels", 0, 14),
    "three vowels": (list("AIU"), "vowels", 0, 14),
    "jaw and smile": (["Basis", "jawOpen", "mouthSmile"], "arkit", 3, 8),
    "plain": (["Mouth Open", "Smile", "Blink", "Frown", "Brows Up"], "plain", 8, 11),
}  # fmt: skip


def own_channels(matching: Matching) -> int:
    rows = matching.targets.values()
    return sum(any(target.how != "fallback" for target in targets) for targets in rows)


@pytest.mark.parametrize("head", HEADS)
def test_heads_show_what_they_can(head: str) -> None:
    keys, family, own, shown = HEADS[head]
    random.Random(5).shuffle(keys := list(keys))
    matching = match({"Head": ["Basis", *keys]})
    assert matching.families["Head"] == family_by_id(family).label
    assert (own_channels(matching), len(matching.targets)) == (own, shown)
    assert matching.coverage_text.startswith(f"{shown} of 52")
    assert matching.coverage == shown / 52
    # Every key is spoken for exactly once, and the rest pose is nobody's.
    driven = set(matching.keys.get("Head", ()))
    spare = {row.key for row in matching.duplicates}
    left = [*matching.unused.get("Head", ()), *matching.unknown.get("Head", ())]
    assert driven | spare | set(left) == set(keys) - {"Basis"}
    assert len(driven) + len(spare) + len(left) == len(set(keys) - {"Basis"})


def test_the_table_covers_every_family() -> None:
    assert len(HEADS) >= 12
    assert {row[1] for row in HEADS.values()} == {family.id for family in families()}


def test_a_channel_goes_to_all_keys_that_make_it_up() -> None:
    matching = match(CC4)
    assert [t.key for t in matching.targets["mouthFunnel"]] == [
        "Mouth_Funnel_Up_L",
        "Mouth_Funnel_Up_R",
        "Mouth_Funnel_Down_L",
        "Mouth_Funnel_Down_R",
    ]
    assert {t.how for t in matching.targets["mouthFunnel"]} == {"family"}
    assert [t.key for t in matching.targets["eyeLookInRight"]] == ["Eye_R_Look_L"]
    assert "V_Open" in matching.unused[""]
    assert matching.unknown[""][0] == "Brow_Compress_L"


def test_left_and_right_are_never_crossed() -> None:
    for head, (keys, *_) in HEADS.items():
        for channel, rows in match(keys).targets.items():
            if channel.startswith("eyeLook") or channel in ("jawLeft", "mouthLeft"):
                continue  # these look or move to a side; see the next test
            for target in rows:
                words = set(re.findall(r"Left|Right|(?<=[a-z_.])[LR](?=$|_)", target.key))
                if channel.endswith("Left"):
                    assert not words & {"R", "Right"}, (head, channel, target)
                if channel.endswith("Right") and channel not in ("jawRight", "mouthRight"):
                    assert not words & {"L", "Left"}, (head, channel, target)


def test_looks_of_metahuman_and_cc_are_in_and_out() -> None:
    targets = match([f"CTRL_expressions_{n}" for n in METAHUMAN]).targets
    assert targets["eyeLookOutLeft"][0].key == "CTRL_expressions_eyeLookLeftL"
    assert targets["eyeLookInLeft"][0].key == "CTRL_expressions_eyeLookRightL"
    assert targets["eyeLookOutRight"][0].key == "CTRL_expressions_eyeLookRightR"


def test_how_a_key_was_found_is_told() -> None:
    found = match(["jawOpen", "MOUTH_CLOSE", "Head.mouthFunnel", "browInnerUp_L"]).targets
    assert found["jawOpen"][0].how == "exact"
    assert found["mouthClose"][0].how == "spelling"
    assert found["mouthFunnel"][0].how == "spelling"
    assert found["browInnerUp"][0].how == "family"
    assert found["mouthPucker"][0].how == "fallback"


def test_correctives_and_unknown_affixes_are_left_alone() -> None:
    keys = [
        "jawOpen",
        "jawOpen_mouthClose",
        "jawOpen_mouthSmileLeft",
        "jawOpen_mouthFunnel",
        "jawOpenFix",
        "old jawOpen",
        "jawOpen.001",
    ]
    matching = match(keys)
    assert [t.key for t in matching.targets["jawOpen"]] == ["jawOpen"]
    assert matching.unknown[""] == tuple(keys[1:6])
    assert [(row.key, row.taken_by) for row in matching.duplicates] == [("jawOpen.001", "jawOpen")]


def test_two_keys_for_one_channel() -> None:
    matching = match({"Head": ["JAWOPEN", "Head.jawOpen", "jawOpen", "jaw_open", "JawLeft"]})
    assert [t.key for t in matching.targets["jawOpen"]] == ["jawOpen"]
    assert sorted(row.key for row in matching.duplicates) == ["Head.jawOpen", "JAWOPEN", "jaw_open"]
    assert {(row.mesh, row.channel, row.taken_by) for row in matching.duplicates} == {
        ("Head", "jawOpen", "jawOpen")
    }


def test_several_meshes_move_together() -> None:
    meshes = {
        "Head": list(ARKIT_52),
        "Teeth": ["Basis", "Jaw_Open", "jawLeft"],
        "Tongue": ["jawOpen", "tongueOut", "curl"],
        "Lashes": ["Eye_Blink_L", "Eye_Blink_R"],
        "Hair": ["long"],
    }
    matching = match(meshes)
    assert [(t.mesh, t.key) for t in matching.targets["jawOpen"]] == [
        ("Head", "jawOpen"),
        ("Teeth", "Jaw_Open"),
        ("Tongue", "jawOpen"),
    ]
    assert [t.mesh for t in matching.targets["eyeBlinkLeft"]] == ["Head", "Lashes"]
    assert dict(matching.unknown) == {"Tongue": ("curl",), "Hair": ("long",)}
    assert matching.coverage_text == "52 of 52"
    assert set(matching.keys) == {"Head", "Teeth", "Tongue", "Lashes"}
    # Closing lips do not lift the teeth: the head has a key for them.
    assert [t.mesh for t in matching.targets["mouthClose"]] == ["Head"]


def test_a_family_can_be_forced() -> None:
    keys = list("ABCDEFGHX")
    assert len(match(keys, family="vowels").keys[""]) == 3
    with pytest.raises(InputError, match="no naming family 'nope'; there are arkit, vowels"):
        match(keys, family="nope")


def test_hair_is_no_mouth() -> None:
    with pytest.raises(InputError, match="'Hair_A', 'Hair_E', 'Hair_I'"):
        match(["Hair_A", "Hair_E", "Hair_I"])
    with pytest.raises(InputError, match="the mesh has 'A'"):
        match(["A"])
    assert match(["Mouth_A", "Mouth_E", "Mouth_I"]).targets


def test_eyes_are_no_mouth() -> None:
    eyes = ["Eyes_Open", "Eyes_Wide", "Eyes_Smile", "Eyes_Tongue", "Eyes_Pucker"]
    found = match([*eyes, "Smile", "Mouth Open"])
    assert found.unknown[""] == tuple(key for key in eyes if key != "Eyes_Wide")
    assert found.targets["eyeWideLeft"][0].key == "Eyes_Wide"


def test_nothing_known_lists_the_first_twelve() -> None:
    with pytest.raises(InputError) as caught:
        match({"Head": [f"slot {i}" for i in range(30)]})
    sentence = str(caught.value)
    assert "'slot 11' and 18 more" in sentence
    assert "'slot 12'" not in sentence
    assert "choose a key for each channel" in sentence
    assert caught.value.field == "target"
    for nothing in ([], {}, {"Head": []}):
        with pytest.raises(InputError, match="no shape keys"):
            match(nothing)


def test_the_same_names_always_match_the_same() -> None:
    for keys, *_ in HEADS.values():
        assert match(keys) == match(list(keys))


ALPHABET = 'aAeEiIoOuUlLrR_-. 0123456789あいウ２\u0301ßéξ\n"\\|+*~{}[]' + "jawOpenmouthLeft"


@pytest.mark.parametrize("seed", range(20))
def test_junk_names_never_crash(seed: int) -> None:
    rng = random.Random(seed)
    pieces = [*ARKIT_52, "viseme_aa", "Fcl_MTH_A", "facs_bs_", "V_Open", "あ", "vrc.v_oh", ""]

    def name() -> str:
        junk = "".join(rng.choices(ALPHABET, k=rng.randrange(0, 40)))
        return junk + rng.choice(pieces) * (rng.random() < 0.3) + "x" * 300 * (rng.random() < 0.05)

    for _ in range(20):
        meshes = {name(): [name() for _ in range(rng.randrange(30))] for _ in range(3)}
        try:
            matching = match(meshes, stand_ins=rng.random() < 0.8)
        except InputError:
            continue
        for mesh, keys in matching.keys.items():
            assert set(keys) <= set(meshes[mesh])


@pytest.mark.parametrize("names", [5, "jawOpen", [1, 2], {"Head": "jawOpen"}, {1: ["a"]}, [[]]])
def test_wrong_types_are_input_errors(names: object) -> None:
    with pytest.raises(InputError):
        match(names)  # type: ignore[arg-type]
