# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads with few shapes still talk: a real line opens and closes them when its lips do."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52
from exomni_core.clip import Clip
from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.errors import InputError
from exomni_core.matching.match import Matching, apply, match
from exomni_core.matching.stand_ins import VISEMES, viseme_map
from exomni_core.phonetics.phones import is_closure, viseme_table
from exomni_core.prompt import Prompt
from exomni_core.retime import CLOSED_GAP, lip_gap

TEXT = "My mother bakes plum pies for Bob, and I am happy to eat them all. Who knew?"
HEADS = {
    "three visemes": ["viseme_aa", "viseme_O", "viseme_PP"],
    "vowels a i u": ["A", "I", "U"],
    "vowels a o e": ["Fcl_MTH_A", "Fcl_MTH_O", "Fcl_MTH_E"],
    "vowels e i o": ["vrc.v_e", "vrc.v_ih", "vrc.v_oh"],
    "five vowels": ["あ", "い", "う", "え", "お"],
    "oculus": [f"viseme_{name}" for name in VISEMES[:10]] + ["viseme_aa", "viseme_E", "viseme_I",
                                                             "viseme_O", "viseme_U"],
    "rhubarb": list("ABCDEFGHX"),
    "open and smile": ["Mouth Open", "Smile"],
    "jaw and smile": ["jawOpen", "mouthSmileLeft", "mouthSmileRight"],
    "cc3": ["Open", "Explosive", "Dental_Lip", "Tight-O", "Tight", "Wide", "Mouth_Smile"],
}  # fmt: skip
CLOSED_KEYS = ("viseme_PP", "Explosive")  # and Rhubarb's A


@pytest.fixture(scope="module")
def clip() -> Clip:
    return EmbeddedEngine().generate(Prompt(id="a", text=TEXT, seed=3))


def openness(matching: Matching, weights: Any) -> Any:
    """(T,) how far a head's mouth is open, by the largest of its opening keys."""
    curves = apply(matching, weights)[""]
    shut = (*CLOSED_KEYS, "Smile", "Mouth_Smile", "mouthSmileLeft", "mouthSmileRight")
    shut += ("A",) if "X" in matching.unused.get("", ()) else ()
    shut += ("viseme_FF", "Dental_Lip", "G") if "I" not in curves else ()
    return np.max([curve for key, curve in curves.items() if key not in shut], axis=0)


@pytest.mark.parametrize("head", HEADS)
def test_a_poor_head_opens_and_closes_when_the_lips_do(head: str, clip: Clip) -> None:
    opened = openness(match(["Basis", *HEADS[head]]), clip.weights)
    gap = lip_gap(clip.weights)
    assert opened[gap < CLOSED_GAP].max() < 0.03  # every closure is one, and so is the rest
    assert opened[gap > 0.2].min() > 0.05
    assert opened.max() > 0.4
    assert np.corrcoef(opened, np.minimum(gap, 0.3))[0, 1] > 0.6


@pytest.mark.parametrize("head", HEADS)
def test_every_m_b_and_p_is_seen(head: str, clip: Clip) -> None:
    opened = openness(match(HEADS[head]), clip.weights)
    closures = [phone for phone in clip.phones if is_closure(phone.symbol)]
    assert len(closures) >= 10
    for phone in closures:
        first, last = round(phone.start_s * clip.fps), round(phone.end_s * clip.fps)
        assert opened[first - 1 : last + 2].min() < 0.03, phone
    # Between two closures the mouth is seen open.
    middles = [round((p.start_s + p.end_s) / 2 * clip.fps) for p in closures]
    for a, b in itertools.pairwise(middles):
        if b - a > 6 and lip_gap(clip.weights)[a:b].max() > 0.15:
            assert opened[a:b].max() > 0.12


@pytest.mark.parametrize("head", ["three visemes", "oculus", "cc3"])
def test_closed_lips_press_when_the_head_can(head: str, clip: Clip) -> None:
    curves = apply(match(HEADS[head]), clip.weights)[""]
    pressed = next(curves[key] for key in CLOSED_KEYS if key in curves)
    gap = lip_gap(clip.weights)
    for phone in clip.phones:
        if is_closure(phone.symbol):
            first, last = round(phone.start_s * clip.fps), round(phone.end_s * clip.fps)
            assert pressed[first - 1 : last + 2].max() > 0.5, phone
    assert pressed[gap > 0.15].max() < 0.01


def test_each_pose_wakes_its_own_viseme() -> None:
    own = {"p": "PP", "b": "PP", "m": "PP", "f": "FF", "v": "FF", "th": "TH", "s": "SS", "sh": "CH",
           "w": "U", "aa": "aa", "ah": "aa", "ao": "O", "o": "O", "e": "E", "eh": "E", "iy": "I",
           "y": "I", "uw": "U"}  # fmt: skip
    matching = match([f"viseme_{name}" for name in VISEMES[:-1]])
    visemes = viseme_table().visemes
    poses = np.stack([visemes[key].target for key in own])
    curves = apply(matching, poses)[""]
    keys = list(curves)
    table = np.stack([curves[key] for key in keys])
    for column, (pose, wanted) in enumerate(own.items()):
        assert keys[int(table[:, column].argmax())] == f"viseme_{wanted}", pose
        assert table[:, column].max() > 0.5


def test_the_map_is_the_same_on_both_sides() -> None:
    for there in (VISEMES, ("aa", "I", "U"), ("E", "O"), ("open",)):
        for _, weights in viseme_map(there).values():
            for channel, weight in weights.items():
                if channel.endswith("Left"):
                    assert weights[channel.removesuffix("Left") + "Right"] == weight


def test_visemes_rest_on_a_head_with_arkits_mouth(clip: Clip) -> None:
    keys = [*ARKIT_52, *(f"viseme_{name}" for name in VISEMES[:-1])]
    matching = match(keys)
    curves = apply(matching, clip.weights)[""]
    assert list(curves) == list(ARKIT_52)
    for name in ARKIT_52:
        assert np.array_equal(curves[name], clip.channel(name))
    assert len(matching.unused[""]) == 15


def test_a_mouth_is_never_opened_twice() -> None:
    keys = ["jawOpen", "mouthPucker", "viseme_aa", "viseme_O", "viseme_U", "Tooth"]
    matching = match({"Head": keys, "Teeth": ["jawOpen"]})
    assert "jawOpen" not in matching.keys["Head"]
    assert "mouthPucker" not in matching.keys["Head"]
    assert matching.unused["Head"] == ("jawOpen", "mouthPucker")
    assert matching.keys["Teeth"] == ("jawOpen",)
    # Without an `aa` the jaw key is the mouth that opens.
    assert "jawOpen" in match(["jawOpen", "viseme_O", "viseme_PP"]).keys[""]


def test_a_missing_mouth_close_takes_the_jaw_back() -> None:
    matching = match({"Head": ["jawOpen"], "Teeth": ["jawOpen"]})
    curves = apply(matching, [[0.5, 0.5], [0.5, 0.2]], ["jawOpen", "mouthClose"])
    assert np.allclose(curves["Head"]["jawOpen"], [0.0, 0.3])
    assert np.allclose(curves["Teeth"]["jawOpen"], [0.0, 0.3])
    strict = match(["jawOpen"], stand_ins=False)
    assert list(strict.targets) == ["jawOpen"]
    assert match(["jawOpen"]).key_of["jawOpen"] == "jawOpen"


def test_both_eyes_and_two_way_keys() -> None:
    both = apply(
        match(["Eye_Blink", "Mouth_Smile", "Open", "Tight"]),
        [[1.0, 0.5]],
        ["eyeBlinkLeft", "eyeBlinkRight"],
    )[""]
    assert both["Eye_Blink"][0] == 0.75
    sides = apply(
        match(["eCTRLMouthSide-Side", "eCTRLvAA"]), np.eye(2), ["mouthLeft", "mouthRight"]
    )
    assert sides[""]["eCTRLMouthSide-Side"].tolist() == [-1.0, 1.0]


def test_curves_in_pieces_are_the_same(clip: Clip) -> None:
    matching = match(HEADS["oculus"])
    whole = apply(matching, clip.weights)[""]
    parts = [apply(matching, clip.weights[a : a + 7])[""] for a in range(0, len(clip.weights), 7)]
    for key, curve in whole.items():
        assert curve.dtype == np.float32
        assert curve.shape == (len(clip.weights),)
        assert np.array_equal(curve, np.concatenate([part[key] for part in parts]))
        assert curve.min() >= 0.0
        assert curve.max() <= 1.0


def test_apply_refuses_what_does_not_fit() -> None:
    matching = match(["jawOpen"])
    for weights in (np.zeros(52), np.zeros((3, 51)), np.full((1, 52), np.nan), [["a"]]):
        with pytest.raises(InputError):
            apply(matching, weights)
    with pytest.raises(InputError, match="no channel 'jaw'"):
        apply(matching, np.zeros((1, 1)), ["jaw"])
    assert apply(matching, np.zeros((0, 52)))[""]["jawOpen"].shape == (0,)
    assert apply(matching, np.ones((2, 1)), ["tongueOut"])[""]["jawOpen"].tolist() == [0.0, 0.0]
