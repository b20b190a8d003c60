# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones turn with the face: which way, how far, and which bones of a rig they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.errors import InputError
from exomni_core.matching.bones import (
    BoneTarget,
    bone_curves,
    bone_from_data,
    bone_to_data,
    eye_targets,
    guess_bones,
    jaw_target,
)


def turned(axis: str, angle: float, point: tuple[float, float, float]) -> np.ndarray:
    """A point turned about a world axis, right-handed as Blender does."""
    x, y, z = point
    c, s = math.cos(angle), math.sin(angle)
    if axis == "X":
        return np.array((x, c * y - s * z, s * y + c * z))
    return np.array((c * x - s * y, s * x + c * y, z))


def one(channel: str, value: float = 1.0) -> np.ndarray:
    row = np.zeros((1, 52), np.float32)
    row[0, CHANNEL_INDEX[channel]] = value
    return row


def test_an_opening_jaw_goes_down() -> None:
    curves = bone_curves([jaw_target("jaw")], one("jawOpen", 0.5))
    assert curves["jaw"]["X"].dtype == np.float32
    assert math.isclose(math.degrees(curves["jaw"]["X"][0]), 10.0, rel_tol=1e-6)
    chin = turned("X", float(curves["jaw"]["X"][0]), (0.0, -1.0, 0.0))
    assert chin[2] < -0.1


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_eyes_look_where_the_channels_say(side: str) -> None:
    targets = eye_targets("eye", side)  # type: ignore[arg-type]
    out = 1.0 if side == "Left" else -1.0  # the character's left is +X when it looks along -Y
    for channel, axis, index, sign in [
        ("Out", "Z", 0, out),
        ("In", "Z", 0, -out),
        ("Up", "X", 2, 1.0),
        ("Down", "X", 2, -1.0),
    ]:
        curves = bone_curves(targets, one(f"eyeLook{channel}{side}"))["eye"]
        gaze = turned(axis, float(curves[axis][0]), (0.0, -1.0, 0.0))
        assert gaze[index] * sign > 0.3, channel
        assert not curves["X" if axis == "Z" else "Z"].any()


def test_both_eyes_follow_one_gaze() -> None:
    weights = one("eyeLookOutLeft") + one("eyeLookInRight")
    targets = [*eye_targets("l", "Left"), *eye_targets("r", "Right")]
    curves = bone_curves(targets, weights)
    assert curves["l"]["Z"] == curves["r"]["Z"]


def test_a_jaw_closes_for_lips_that_have_no_key() -> None:
    weights = one("jawOpen", 0.4) + one("mouthClose", 0.4)
    assert bone_curves([jaw_target("jaw", closes=True)], weights)["jaw"]["X"][0] == 0.0
    assert bone_curves([jaw_target("jaw")], weights)["jaw"]["X"][0] > 0.1


def test_sides_signs_sums_and_limits() -> None:
    side = BoneTarget("jaw", "Z", -8.0, {"jawLeft": 1.0, "jawRight": -1.0})
    again = BoneTarget("jaw", "Z", 2.0, {"jawLeft": 1.0})
    curve = bone_curves([side, again], one("jawLeft"))["jaw"]["Z"]
    assert math.isclose(math.degrees(curve[0]), -6.0, rel_tol=1e-5)
    strong = BoneTarget("jaw", "X", 10.0, {"jawOpen": 5.0}, (0.0, 1.0))
    assert math.isclose(
        math.degrees(bone_curves([strong], one("jawOpen"))["jaw"]["X"][0]), 10.0, rel_tol=1e-5
    )
    assert bone_curves([side], np.ones((3, 1)), ["jawOpen"])["jaw"]["Z"].tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("bones", "jaw", "eyes"),
    [
        (["Hips", "Head", "LeftEye", "RightEye"], None, ["LeftEye", "RightEye"]),
        (["CC_Base_JawRoot", "CC_Base_L_Eye", "CC_Base_R_Eye"], "CC_Base_JawRoot",
         ["CC_Base_L_Eye", "CC_Base_R_Eye"]),
        (["jaw", "eye.L", "eye.R"], "jaw", ["eye.L", "eye.R"]),
        (["lowerJaw", "lEye", "rEye"], "lowerJaw", ["lEye", "rEye"]),
        (["J_Adj_L_FaceEye", "J_Adj_R_FaceEye"], None, ["J_Adj_L_FaceEye", "J_Adj_R_FaceEye"]),
        (["左目", "右目", "あご"], "あご", ["左目", "右目"]),
        (["FACIAL_C_Jaw", "FACIAL_L_Eye", "FACIAL_R_Eye"], "FACIAL_C_Jaw",
         ["FACIAL_L_Eye", "FACIAL_R_Eye"]),
        (["spine", "eyebrow.L"], None, []),
    ],
)  # fmt: skip
def test_bones_of_common_rigs(bones: list[str], jaw: str | None, eyes: list[str]) -> None:
    found = guess_bones(bones)
    assert [t.bone for t in found if "jawOpen" in t.channels] == ([jaw] if jaw else [])
    assert list(dict.fromkeys(t.bone for t in found if "jawOpen" not in t.channels)) == eyes


def test_bones_are_only_for_what_no_key_shows() -> None:
    assert guess_bones(["jaw", "eye.L"], missing=["tongueOut"]) == ()
    (jaw,) = guess_bones(["jaw"], missing=["jawOpen"])
    assert "mouthClose" not in jaw.channels
    assert "mouthClose" in guess_bones(["jaw"], missing=ARKIT_52)[0].channels


def test_bones_survive_being_saved() -> None:
    for target in (jaw_target("jaw"), *eye_targets("目", "Right")):
        assert bone_from_data(bone_to_data(target)) == target


def test_wrong_bones_are_input_errors() -> None:
    for make in (
        lambda: BoneTarget("", "X", 1.0, {}),
        lambda: BoneTarget("a", "W", 1.0, {}),  # type: ignore[arg-type]
        lambda: BoneTarget("a", "X", math.nan, {}),
        lambda: BoneTarget("a", "X", 400.0, {}),
        lambda: BoneTarget("a", "X", 1.0, {}, (1.0, 0.0)),
        lambda: eye_targets("a", "left"),  # type: ignore[arg-type]
        lambda: bone_from_data({"bone": "a", "axis": "X"}),
        lambda: bone_from_data({"bone": "a", "axis": "X", "degrees": 1, "channels": [1]}),
        lambda: bone_curves([], np.zeros(52)),
        lambda: bone_curves([BoneTarget("a", "X", 1.0, {"jaw": 1.0})], np.zeros((1, 52))),
    ):
        with pytest.raises(InputError):
            make()
