# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user sets by hand stands above what was found, and survives being saved."""

from __future__ import annotations

import json

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52
from exomni_core.errors import InputError
from exomni_core.matching.bones import eye_targets, jaw_target
from exomni_core.matching.match import Target, apply, match
from exomni_core.matching.overrides import Choice, Overrides, from_json, to_json

MENDS = Overrides(
    channels={
        "jawOpen": (Choice("Auf", 0.8), Choice("Zähne", 1.0, "Teeth")),
        "tongueOut": (),
        "eyeBlinkLeft": (Choice('blink"\\é', -0.5, "Head"),),
    },
    family="mmd",
    bones=(jaw_target("jaw"), *eye_targets("eye.L", "Left", pitch_degrees=-20.0)),
)


def test_json_and_back() -> None:
    text = to_json(MENDS)
    assert from_json(text) == MENDS
    assert to_json(from_json(text)) == text
    data = json.loads(text)
    assert data["exomni_overrides"] == 1
    assert data["channels"]["tongueOut"] == "none"
    assert from_json(to_json(Overrides())) == Overrides()
    assert from_json('{"exomni_overrides": 1, "from_the_future": true}') == Overrides()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no JSON"),
        ("[1]", "no character settings"),
        ("{}", "no character settings"),
        ('{"exomni_overrides": true}', "no character settings"),
        ('{"exomni_overrides": 2}', "of version 2 .* update"),
        ('{"exomni_overrides": 1, "channels": []}', "damaged"),
        ('{"exomni_overrides": 1, "channels": {"jawOpen": "Auf"}}', "damaged"),
        ('{"exomni_overrides": 1, "channels": {"jawOpen": 3}}', "damaged"),
        ('{"exomni_overrides": 1, "channels": {"jawOpen": [{"key": ""}]}}', "no name"),
        (
            '{"exomni_overrides": 1, "channels": {"jawOpen": [{"key": "a", "weight": "x"}]}}',
            "no nu",
        ),
        ('{"exomni_overrides": 1, "channels": {"jawOpen": [{"key": "a", "weight": NaN}]}}', "must"),
        ('{"exomni_overrides": 1, "channels": {"jawOpen": [{"key": "a", "weight": 99}]}}', "must"),
        ('{"exomni_overrides": 1, "bones": [{"bone": "jaw"}]}', "damaged"),
        ('{"exomni_overrides": 1, "bones": 7}', "damaged"),
        ('{"exomni_overrides": 1, "family": 7}', "damaged"),
        ("[" * 100_000, "no JSON"),
        (" " * 2_000_000, "too long"),
    ],
)
def test_damaged_settings_are_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        from_json(text)


def test_choices_replace_what_was_found() -> None:
    keys = ["jawOpen", "Auf", "tongueOut", "mouthClose"]
    chosen = Overrides({"jawOpen": (Choice("Auf", 1.5),), "tongueOut": ()})
    matching = match({"Head": keys}, overrides=chosen)
    assert matching.targets["jawOpen"] == (Target("Auf", 1.5, "Head", "override"),)
    assert "tongueOut" in matching.missing
    assert matching.unused["Head"] == ("jawOpen", "tongueOut")
    curves = apply(matching, [[1.0, 1.0]], ["jawOpen", "tongueOut"])["Head"]
    assert curves["Auf"].tolist() == [1.5]
    assert "tongueOut" not in curves
    assert matching.problems == ()


def test_a_choice_without_a_mesh_goes_to_all_that_have_the_key() -> None:
    meshes = {"Head": ["jawOpen", "Auf"], "Teeth": ["Auf"], "Hat": ["x"]}
    matching = match(meshes, overrides=Overrides({"jawOpen": (Choice("Auf"),)}))
    assert [target.mesh for target in matching.targets["jawOpen"]] == ["Head", "Teeth"]


def test_what_can_not_be_followed_is_told_not_fatal() -> None:
    chosen = Overrides(
        {
            "jawOpen": (Choice("gone"), Choice("Auf")),
            "mouthClose": (Choice("Auf", 1.0, "Nobody"),),
            "jawopen": (Choice("Auf"),),
        }
    )
    matching = match({"Head": [*ARKIT_52, "Auf"]}, overrides=chosen)
    assert [target.key for target in matching.targets["jawOpen"]] == ["Auf"]
    assert matching.problems == (
        "jawOpen was set to 'gone', but no mesh has that shape key",
        "mouthClose was set to 'Auf', but mesh 'Nobody' does not have it",
        "there is no channel 'jawopen', so its override is left out",
    )


def test_choices_alone_make_a_matching() -> None:
    chosen = Overrides({"jawOpen": (Choice("Slot 1"),)})
    matching = match(["Slot 1", "Slot 2"], overrides=chosen)
    assert list(matching.targets) == ["jawOpen"]
    assert match(["Slot 1"], overrides=Overrides({"jawOpen": ()})).targets == {}


def test_a_family_and_key_below_zero() -> None:
    matching = match(list("AEIOU"), overrides=Overrides(family="rhubarb"))
    assert set(matching.keys[""]) == {"A", "E"}
    eyes = match(["open eyes"], overrides=Overrides({"eyeBlinkLeft": (Choice("open eyes", -1.0),)}))
    curve = apply(eyes, np.ones((1, 1)), ["eyeBlinkLeft"])[""]["open eyes"]
    assert curve.tolist() == [-1.0]


def test_a_choice_frees_a_key_from_its_clamp() -> None:
    alone = dict.fromkeys(ARKIT_52, ()) | {"tongueOut": (Choice("viseme_aa"),)}
    matching = match(["viseme_aa", "viseme_O"], overrides=Overrides(alone))
    assert dict(matching.clamps) == {}
    assert apply(matching, [[1.0]], ["tongueOut"])[""]["viseme_aa"].tolist() == [1.0]
