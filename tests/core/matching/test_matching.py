# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape-key names are matched by name alone, however they are spelled, and nothing is guessed."""

import random

import pytest

from exomni_core.arkit import ARKIT_52, LIVE_LINK_52
from exomni_core.errors import InputError
from exomni_core.matching.match import match_channels


@pytest.mark.parametrize(
    "spell",
    [
        lambda n: n,
        lambda n: n[0].upper() + n[1:],
        lambda n: n.replace("Left", "_L").replace("Right", "_R"),
        lambda n: n.replace("Left", ".L").replace("Right", ".R").upper(),
    ],
)
def test_every_spelling_matches_all_52(spell):
    names = [spell(name) for name in LIVE_LINK_52]
    random.Random(3).shuffle(names)
    matching = match_channels(["Basis", *names])
    assert tuple(matching.key_of) == ARKIT_52
    assert all(matching.key_of[name] == spell(name) for name in ARKIT_52)
    assert matching.missing == ()
    assert dict(matching.unknown) == {}
    assert matching.coverage == 1.0


def test_partial_mesh_names_what_is_missing():
    matching = match_channels(["Basis", "JawOpen", "smirk"])
    assert dict(matching.key_of) == {"jawOpen": "JawOpen"}
    assert len(matching.missing) == 51
    assert "tongueOut" in matching.missing
    assert dict(matching.unknown) == {"": ("smirk",)}


def test_exact_spelling_wins_over_an_earlier_variant():
    matching = match_channels(["JAWOPEN", "jawOpen", "jaw_open"])
    assert matching.key_of["jawOpen"] == "jawOpen"
    assert [row.key for row in matching.duplicates] == ["JAWOPEN", "jaw_open"]


def test_no_match_lists_the_keys_of_the_mesh():
    with pytest.raises(InputError, match=r"'Basis', 'vrc\.v_aa'"):
        match_channels(["Basis", "vrc.v_aa"])
    with pytest.raises(InputError, match="no shape keys"):
        match_channels([])
    with pytest.raises(InputError, match="and 88 more"):
        match_channels([f"key{i}" for i in range(100)])


def test_matching_can_not_be_changed():
    matching = match_channels(["jawOpen"])
    with pytest.raises(TypeError):
        matching.key_of["jawOpen"] = "other"
