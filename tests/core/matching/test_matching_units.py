# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of muscles and numbered names in; each channel drives what an animator would choose."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import unit_names

from exomni_core.matching.match import Matching, match

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"


def keys_of(matching: Matching, channel: str) -> list[str]:
    return [target.key for target in matching.targets.get(channel, ())]


@pytest.mark.parametrize("form", ["AK_{i:02}_{n}", "{i}-{n}", "Bob.{i:03} {n}", "x{i}_{n}_v2"])
def test_numbered_names_are_read_without_their_numbers(form: str) -> None:
    names = unit_names.ROCKETBOX_CHANNELS
    matching = match([form.format(i=i, n=name) for i, name in enumerate(names, 1)])
    assert matching.coverage_text == "52 of 52"
    at = names.index("JawOpen") + 1
    assert keys_of(matching, "jawOpen") == [form.format(i=at, n="JawOpen")]


def test_rocketbox_speaks_by_its_arkit_keys() -> None:
    matching = match(unit_names.ROCKETBOX)
    for i, name in enumerate(unit_names.ROCKETBOX_CHANNELS, 1):
        assert keys_of(matching, name[0].lower() + name[1:]) == [f"AK_{i:02}_{name}"]


def test_makehuman_units_do_what_an_animator_would_choose() -> None:
    matching = match(unit_names.MAKEHUMAN_UNITS)
    assert keys_of(matching, "eyeBlinkLeft") == ["eye-left-closure"]
    assert keys_of(matching, "browInnerUp") == ["eyebrows-left-inner-up", "eyebrows-right-inner-up"]
    (press,) = matching.targets["mouthPressRight"]
    assert (press.key, press.weight) == ("mouth-compression", 0.5)
    assert keys_of(matching, "mouthPucker") == ["mouth-pursing"]


def test_looks_to_one_side_are_in_for_one_eye_and_out_for_the_other() -> None:
    meta, htc = match(unit_names.META_FACS), match(unit_names.SRANIPAL)
    assert keys_of(meta, "eyeLookOutLeft") == ["eyesLookLeftL"]
    assert keys_of(meta, "eyeLookInRight") == ["eyesLookLeftR"]
    assert keys_of(htc, "eyeLookInLeft") == ["Eye_Left_Right"]
    assert keys_of(htc, "eyeLookOutRight") == ["Eye_Right_Right"]
    assert keys_of(htc, "mouthFunnel") == ["Mouth_Upper_Overturn", "Mouth_Lower_Overturn"]


def test_one_key_shuts_both_eyes_on_both_meshes() -> None:
    matching = match(unit_names.UNITY_CHAN)
    rows = [(t.mesh, t.key, t.weight) for t in matching.targets["eyeBlinkLeft"]]
    assert rows == [("EYE_DEF", "EYE_DEF_C", 0.5), ("EL_DEF", "EYE_DEF_C", 0.5)]
    assert keys_of(matching, "browDownLeft") == ["BLW_ANG1"]
    assert keys_of(matching, "browInnerUp") == ["BLW_CONF"]
    assert matching.targets["jawOpen"]


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_shared_tables_of_names() -> None:
    rocketbox = json.loads((CASES / "rocketbox_names.json").read_text("utf-8"))
    matching = match(rocketbox["names"])
    assert {c: keys_of(matching, c) for c in rocketbox["expected"]} == {
        channel: [key] for channel, key in rocketbox["expected"].items()
    }
    units = json.loads((CASES / "makehuman_units.json").read_text("utf-8"))
    matching = match(units["names"])
    for channels, key in units["expected (by an animator)"].items():
        for channel in _both_sides(channels):
            found = keys_of(matching, channel)
            assert found, channel
            assert all(one in key for one in found), channel


def _both_sides(channels: str) -> list[str]:
    if not channels.endswith("/Right"):
        return [channels]
    one = channels.removesuffix("Left/Right")
    return [f"{one}Left", f"{one}Right"]
