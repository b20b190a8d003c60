# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones that lie in any way in; the gaze and the chin go where the channels say."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.errors import InputError
from exomni_core.matching.bone_frames import RestFrame, guess_laid_bones
from exomni_core.matching.bones import AXES, bone_curves, bone_from_data, bone_to_data

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
EYES = ["eyeLookInLeft", "eyeLookInRight"]


def rotation(vector: np.ndarray) -> np.ndarray:
    """A rotation vector as a matrix (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def frame(axes: np.ndarray, head: tuple[float, float, float]) -> RestFrame:
    """axes (3, 3): the bone's axes in the world, one a column."""
    x, y, z = (tuple(map(float, column)) for column in axes.T)
    return RestFrame(x, y, z, head)  # type: ignore[arg-type]


def gaze(axes: np.ndarray, targets: object, channel: str, ahead: np.ndarray) -> np.ndarray:
    """Where an eye bone of that rest frame turns `ahead`, a direction in the world."""
    row = np.zeros((1, 52), np.float32)
    row[0, CHANNEL_INDEX[channel]] = 1.0
    ((_, curves),) = bone_curves(targets, row).items()  # type: ignore[arg-type]
    own = np.array([float(curves[axis][0]) if axis in curves else 0.0 for axis in AXES])
    return axes @ rotation(own) @ axes.T @ ahead


def laid_eyes(axes: np.ndarray, heading: np.ndarray) -> tuple:
    heads = {"LeftEye": (0.03, -0.1, 1.6), "RightEye": (-0.03, -0.1, 1.6)}
    turned = {name: tuple(map(float, heading @ np.array(head))) for name, head in heads.items()}
    frames = {name: frame(axes, head) for name, head in turned.items()}  # type: ignore[arg-type]
    return guess_laid_bones(frames, EYES)


def rolls(seed: int) -> np.ndarray:
    """Identity, the 90 degree turns that rigs have, and any other rest frame."""
    if seed == 0:
        return np.eye(3)
    if seed == 1:
        return np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)  # points up
    rng = random.Random(seed)
    steps = [rng.choice([0, 90, 180, 270]) if seed < 8 else rng.uniform(0, 360) for _ in range(3)]
    first, second, third = (np.eye(3)[i] * np.radians(steps[i]) for i in range(3))
    return rotation(first) @ rotation(second) @ rotation(third)


@pytest.mark.parametrize("seed", range(14))
@pytest.mark.parametrize("degrees", [0, 90, 200])
def test_eyes_look_where_the_channels_say(seed: int, degrees: int) -> None:
    heading = rotation(np.array([0.0, 0.0, np.radians(degrees)]))  # where the character looks
    axes = rolls(seed)
    targets = laid_eyes(axes, heading)
    ahead, left, up = heading @ [0.0, -1.0, 0.0], heading @ [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    for bone, side, out in (("LeftEye", "Left", 1.0), ("RightEye", "Right", -1.0)):
        own = [target for target in targets if target.bone == bone]
        for channel, axis, sign, angle in [
            ("Out", left, out, 35),
            ("In", left, -out, 35),
            ("Up", up, 1.0, 25),
            ("Down", up, -1.0, 25),
        ]:
            seen = gaze(axes, own, f"eyeLook{channel}{side}", ahead)
            assert np.isclose(seen @ axis, sign * np.sin(np.radians(angle)), atol=1e-4), channel
            assert np.isclose(seen @ ahead, np.cos(np.radians(angle)), atol=1e-4), channel


def test_a_jaw_opens_downwards_in_any_frame() -> None:
    for seed in range(12):
        axes = rolls(seed)
        targets = guess_laid_bones({"jaw": frame(axes, (0.0, 0.0, 1.5))}, ["jawOpen"])
        chin = gaze(axes, targets, "jawOpen", np.array([0.0, -1.0, 0.0]))
        assert np.isclose(chin[2], -np.sin(np.radians(20)), atol=1e-4)


def test_eyes_that_point_up_turn_about_their_own_y() -> None:
    targets = laid_eyes(rolls(1), np.eye(3))
    yaw, pitch = (target for target in targets if target.bone == "LeftEye")
    assert (yaw.axis, yaw.degrees, yaw.about) == ("Y", 35.0, None)
    assert (pitch.axis, pitch.degrees, pitch.about) == ("X", 25.0, None)


def test_tilted_targets_survive_being_saved() -> None:
    for target in laid_eyes(rolls(9), np.eye(3)):
        assert target.about is not None
        assert bone_from_data(json.loads(json.dumps(bone_to_data(target)))) == target
    wrong = bone_to_data(target) | {"about": [1.0, 1.0, 0.0]}
    with pytest.raises(InputError, match="length 1"):
        bone_from_data(wrong)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_shared_case_of_an_eye_bone() -> None:
    case = json.loads((CASES / "eye_bone_axes.json").read_text("utf-8"))
    rest = case["LeftEye rest axes in the world"]
    axes = np.array([rest["X"], rest["Y"], rest["Z"]], float).T
    yaw, _ = guess_laid_bones({"LeftEye": frame(axes, (0.03, -0.1, 1.6))}, EYES)
    assert yaw.axis == "Y"
    ahead = np.array([0.0, -1.0, 0.0])
    assert gaze(axes, [yaw], "eyeLookOutLeft", ahead)[0] > 0.5
