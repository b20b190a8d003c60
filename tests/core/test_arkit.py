# SPDX-License-Identifier: GPL-3.0-or-later
"""Channels by name: tables are whole, spellings resolve, wrong names are refused."""

from __future__ import annotations

import numpy as np
import pytest

from exomni_core.arkit import (
    ARKIT_52,
    LIVE_LINK_52,
    REGIONS,
    canonical_name,
    mirror_of,
    order_by_name,
)
from exomni_core.errors import InputError


def test_tables_hold_the_same_52_names():
    assert len(ARKIT_52) == len(set(ARKIT_52)) == 52
    assert list(ARKIT_52) == sorted(ARKIT_52)
    assert set(LIVE_LINK_52) == set(ARKIT_52)
    assert len(LIVE_LINK_52) == 52
    assert LIVE_LINK_52.index("jawRight") < LIVE_LINK_52.index("jawLeft")  # Apple's real order


def test_regions_split_the_channels_without_overlap():
    named = [name for names in REGIONS.values() for name in names]
    assert sorted(named) == list(ARKIT_52)
    assert "mouthClose" in REGIONS["lips"]
    assert "eyeLookInLeft" in REGIONS["gaze"]


def test_mirroring_twice_gives_the_channel_back():
    for name in ARKIT_52:
        assert mirror_of(name) in ARKIT_52
        assert mirror_of(mirror_of(name)) == name
    assert mirror_of("jawLeft") == "jawRight"
    assert mirror_of("jawOpen") == "jawOpen"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("JawOpen", "jawOpen"),
        ("mouthSmile_L", "mouthSmileLeft"),
        ("mouthSmile.R", "mouthSmileRight"),
        ("Mouth Smile Left", "mouthSmileLeft"),
        ("MOUTHSMILELEFT", "mouthSmileLeft"),
        ("eye_blink_left", "eyeBlinkLeft"),
        ("eyeBlink-R", "eyeBlinkRight"),
        ("jaw_L", "jawLeft"),
        ("mouth_R", "mouthRight"),
        ("tongue_out", "tongueOut"),
        ("jaw", None),
        ("", None),
        ("_neutral", None),
        ("mouthSmile", None),
        ("TongueTipUp", None),
    ],
)
def test_spellings(spelling, name):
    assert canonical_name(spelling) == name


def test_order_by_name_ignores_the_order_of_columns():
    weights = np.random.default_rng(0).random((4, 52)).astype(np.float32)
    shuffled = np.random.default_rng(1).permutation(52)
    ordered, missing = order_by_name(weights[:, shuffled], [ARKIT_52[i] for i in shuffled])
    assert np.array_equal(ordered, weights)
    assert missing == ()


def test_order_by_name_tells_what_is_missing_and_fills_zeros():
    ordered, missing = order_by_name(np.ones((2, 51)), ARKIT_52[:51])
    assert missing == ("tongueOut",)
    assert (ordered[:, 51] == 0).all()
    assert (ordered[:, :51] == 1).all()


@pytest.mark.parametrize(
    ("weights", "names", "words"),
    [
        (np.zeros((2, 3)), ["jawOpen"], "one name for each column"),
        (np.zeros(3), ["jawOpen"], "one name for each column"),
        (np.zeros((2, 1)), ["jawopened"], "'jawopened' is not an ARKit"),
        (np.zeros((2, 2)), ["jaw_L", "jawLeft"], "stands twice"),
        (np.zeros((2, 1)), [7], "of type int is not an ARKit"),
        (np.zeros((2, 1)), [None], "of type NoneType"),
        ([[1.0], [1.0, 2.0]], ["jawOpen"], "equally long rows"),
        ([["a"]], ["jawOpen"], "table of numbers"),
        ([[10**400]], ["jawOpen"], "table of numbers"),
    ],
)
def test_wrong_tables_are_refused(weights, names, words):
    with pytest.raises(InputError, match=words):
        order_by_name(weights, names)
