# SPDX-License-Identifier: GPL-3.0-or-later
"""The mouth's rules and the parts of the face that do not speak."""

from __future__ import annotations

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from exomni_core.clip import Phone
from exomni_core.embedded.animate import animate_mouth, soften_steps
from exomni_core.embedded.liveliness import enliven, generator_for
from exomni_core.embedded.phones import is_closure, is_vowel, poses_of, to_arpabet, viseme_table
from exomni_core.retime import lip_gap

FPS = 30


def syllables(*symbols: str, each_s: float = 0.1) -> list[Phone]:
    return [Phone(s, k * each_s, (k + 1) * each_s) for k, s in enumerate(symbols)]


def held(symbol: str) -> float:
    phones = [Phone("", 0.0, 0.3), Phone(symbol, 0.3, 0.9), Phone("", 0.9, 1.2)]
    return float(lip_gap(animate_mouth(phones, 36, FPS))[18])


@pytest.mark.parametrize(
    ("symbol", "keys"),
    [
        ("ˈeɪ", ["e", "ih"]),
        ("th", ["t"]),
        ("tɕh", ["x_al"]),
        ("s.", ["sh"]),
        ("onɡ", ["uh", "k"]),
        ("ɑ̃", ["aa"]),
        ("r", ["l"]),
        ("i.", ["zhi"]),
        ("", ["sil"]),
        ("_:", ["sil"]),
        ("pʰ", ["p"]),
        ("ˈɑːɹ", ["aa", "er"]),
        ("ʢ", ["ax"]),
    ],
)
def test_ipa_finds_its_poses(symbol: str, keys: list[str]) -> None:
    assert [key for key, _, _ in poses_of(symbol)] == keys


def test_poses_divide_the_whole_sound() -> None:
    for symbol in ("ˈaɪ", "m", "iau", "xyz"):
        ends = [b for _, _, b in poses_of(symbol)]
        starts = [a for _, a, _ in poses_of(symbol)]
        assert starts == [0.0, *ends[:-1]]
        assert ends[-1] == 1.0


def test_arpabet_of_foreign_sounds() -> None:
    assert to_arpabet("tɕh") == ("CH",)
    assert to_arpabet("ˈiɛ") == ("IY", "EH")
    assert to_arpabet("ts") == ("T", "S")
    assert to_arpabet("") == ()


def test_table_is_symmetric_and_in_range() -> None:
    for viseme in viseme_table().visemes.values():
        mirrored = viseme.target[[CHANNEL_INDEX[mirror_of(name)] for name in ARKIT_52]]
        assert np.array_equal(mirrored, viseme.target), viseme.key
        assert viseme.target.min() >= 0.0
        assert viseme.target.max() <= 1.0


def test_vowels_open_in_the_order_of_phonetics() -> None:
    a, o, e, i, u = (held(symbol) for symbol in "aoeiu")
    assert a > o > e > i > u > 0.05


@pytest.mark.parametrize("closure", ["p", "b", "m"])
@pytest.mark.parametrize("each_s", [0.035, 0.06, 0.12])
@pytest.mark.parametrize("offset_s", [0.0, 0.011, 0.023])
def test_lips_meet_for_every_closure_and_part_for_every_vowel(
    closure: str, each_s: float, offset_s: float
) -> None:
    vowel_s = max(each_s, 0.07)
    phones, time_s = [], offset_s
    for _ in range(6):
        phones += [Phone("ɑ", time_s, time_s + vowel_s)]
        phones += [Phone(closure, time_s + vowel_s, time_s + vowel_s + each_s)]
        time_s += vowel_s + each_s
    gap = lip_gap(animate_mouth(phones, round(time_s * FPS) + 10, FPS))
    for phone in phones:
        first, last = round(phone.start_s * FPS), round(phone.end_s * FPS)
        if is_closure(phone.symbol):
            assert gap[first : last + 1].min() < 0.03
        else:
            assert gap[round((phone.start_s + phone.end_s) / 2 * FPS)] > 0.03


def test_mouth_close_never_exceeds_the_jaw() -> None:
    weights = animate_mouth(syllables(*"pabimufuma" * 3), 120, FPS)
    assert (weights[:, CHANNEL_INDEX["mouthClose"]] <= weights[:, CHANNEL_INDEX["jawOpen"]]).all()


def test_far_sounds_do_not_matter() -> None:
    # What makes the work linear: a sound reaches less than two seconds.
    short = syllables(*"tapisoku")
    long = short + [Phone(s, 5.0 + k / 10, 5.1 + k / 10) for k, s in enumerate("mabu")]
    assert np.allclose(animate_mouth(short, 30, FPS), animate_mouth(long, 200, FPS)[:30], atol=1e-6)


def test_quiet_is_smaller_but_closes_as_tightly() -> None:
    phones = syllables(*"sɑmɑsɑ", each_s=0.15)
    full, small = (animate_mouth(phones, 30, FPS, articulation=a) for a in (1.0, 0.6))
    assert small.max() < full.max()
    assert lip_gap(small)[11:16].min() < 0.03


def test_soften_only_lowers() -> None:
    rng = np.random.default_rng(1)
    rough = rng.random((50, 3))
    soft = rough.copy()
    soften_steps(soft, 0.2)
    assert (soft <= rough).all()
    assert np.abs(np.diff(soft, axis=0)).max() <= 0.2 + 1e-12
    assert np.array_equal(soft[rough.argmin(axis=0), range(3)], rough.min(axis=0))


def test_is_vowel() -> None:
    assert all(is_vowel(s) for s in ("ˈɑː", "aɪ", "i", "uei", "ə"))
    assert not any(is_vowel(s) for s in ("w", "j", "s", "m", "", "ɥ"))


def face(seed: int, sound: int, seconds: int = 60) -> np.ndarray:
    samples = np.random.default_rng(sound).normal(0, 0.1, 1000).astype(np.float32)
    level_db = np.full(seconds * FPS, -20.0)
    return enliven(
        np.zeros((seconds * FPS, 52), np.float32), FPS, generator_for(seed, samples),
        phones=[], level_db=level_db,
    )  # fmt: skip


def blinks(weights: np.ndarray) -> int:
    lid = weights[:, CHANNEL_INDEX["eyeBlinkLeft"]] > 0.8
    return int((lid[1:] & ~lid[:-1]).sum())


def test_blinks_are_human_and_follow_seed_and_sound() -> None:
    one = face(0, 0)
    assert np.array_equal(one, face(0, 0))
    assert not np.array_equal(one, face(1, 0))
    assert not np.array_equal(one, face(0, 1)), "another line should blink differently"
    rate = sum(blinks(face(seed, 0)) for seed in range(10)) / 10
    assert 12 <= rate <= 30, f"{rate} blinks a minute"
    assert np.abs(np.diff(one, axis=0)).max() <= 0.35


def test_only_the_gaze_is_asymmetric() -> None:
    weights = face(3, 3)
    for name in ARKIT_52:
        if not name.startswith("eyeLookIn") and not name.startswith("eyeLookOut"):
            assert np.array_equal(
                weights[:, CHANNEL_INDEX[name]], weights[:, CHANNEL_INDEX[mirror_of(name)]]
            ), name
    # Both eyes look the same way.
    assert np.array_equal(
        weights[:, CHANNEL_INDEX["eyeLookOutLeft"]], weights[:, CHANNEL_INDEX["eyeLookInRight"]]
    )


def test_a_still_face_keeps_its_mouth_shut() -> None:
    weights = face(0, 0)
    for name in ARKIT_52:
        if name.startswith(("jaw", "mouth")):
            assert weights[:, CHANNEL_INDEX[name]].max() == 0.0, name
