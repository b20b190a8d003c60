# SPDX-License-Identifier: GPL-3.0-or-later
"""The mouth's rules and the parts of the face that do not speak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from exomni_core.clip import Phone
from exomni_core.embedded.animate import animate_mouth, soften_steps
from exomni_core.embedded.holds import hold_spans, make_room_for_vowels
from exomni_core.embedded.liveliness import enliven, generator_for
from exomni_core.embedded.opening import (
    CLOSING_PER_S,
    LEAST_OPENING,
    RELEASE_PER_S,
    lip_opening,
    soften_jolts,
)
from exomni_core.errors import InputError
from exomni_core.phonetics import phones as phones_module
from exomni_core.phonetics.phones import (
    is_closure,
    is_vowel,
    poses_of,
    read_viseme_table,
    to_arpabet,
    viseme_table,
)
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


def chatter(vowel: str, vowel_s: float, closure_s: float, offset_s: float) -> list[Phone]:
    phones, time_s = [], 0.3 + offset_s
    for closure in "pbmpbm":
        phones += [Phone(closure, time_s, time_s + closure_s)]
        phones += [Phone(vowel, time_s + closure_s, time_s + closure_s + vowel_s)]
        time_s += vowel_s + closure_s
    return phones


@pytest.mark.parametrize("articulation", [0.75, 1.0, 1.4])
@pytest.mark.parametrize("vowel", ["ɑ", "ˈiː", "u", "aʊ"])
@pytest.mark.parametrize("vowel_s", [0.04, 0.07, 0.11, 0.2])
def test_lips_part_and_meet_at_human_speed(vowel: str, vowel_s: float, articulation: float) -> None:
    for offset_s in (0.0, 0.012, 0.024):
        phones = chatter(vowel, vowel_s, 0.07, offset_s)
        frames = round(phones[-1].end_s * FPS) + 20
        step = np.diff(
            lip_opening(animate_mouth(phones, frames, FPS, articulation=articulation)) * FPS
        )
        assert step.max() <= RELEASE_PER_S * 1.05
        assert step.min() >= -CLOSING_PER_S * 1.05


@pytest.mark.parametrize("articulation", [0.75, 1.0, 1.4])
@pytest.mark.parametrize("vowel", ["ɑ", "ˈiː", "u", "ə"])
@pytest.mark.parametrize("vowel_s", [0.03, 0.045, 0.07, 0.1, 0.13])
def test_a_vowel_between_closures_is_seen_or_stays_shut(
    vowel: str, vowel_s: float, articulation: float
) -> None:
    for offset_s in (0.0, 0.009, 0.018, 0.027):
        phones = chatter(vowel, vowel_s, 0.075, offset_s)
        frames = round(phones[-1].end_s * FPS) + 20
        weights = animate_mouth(phones, frames, FPS, articulation=articulation)
        opening = np.where(lip_gap(weights) < 0.01, 0.0, lip_opening(weights))
        edges = np.flatnonzero(np.diff((opening > 0.0).astype(int), prepend=0))
        runs = [edges[k : k + 2] for k in range(0, len(edges) - 1, 2)]
        for first, last in runs[:-1]:  # the last one is followed by rest
            assert last - first >= 2, "a flash"
            assert opening[first:last].min() >= LEAST_OPENING - 1e-6
        if vowel_s >= 0.07:
            assert len(runs) >= 6


def test_holds_are_shortened_for_vowels_and_joined_over_what_is_not_seen() -> None:
    start_s, end_s = np.array([0.0, 0.2]), np.array([0.1, 0.3])
    assert hold_spans(start_s, end_s, FPS).tolist() == [[0, 2], [6, 8]]
    spans = np.array([[0, 4], [6, 8]])
    parted = make_room_for_vowels(spans, [(0.13, 0.2)], FPS)
    assert spans.tolist() == [[0, 3], [6, 8]]
    assert parted.tolist() == [[4, 5]]
    spans = np.array([[0, 4], [6, 8]])
    assert not len(make_room_for_vowels(spans, [(0.16, 0.18)], FPS))
    assert spans.tolist() == [[0, 5], [6, 8]]


def test_jolts_are_smoothed_where_they_are() -> None:
    curve = np.zeros((40, 2))
    curve[20, 0] = 0.5
    curve[:, 1] = np.linspace(0.0, 1.0, 40)
    soft = curve.copy()
    soften_jolts(soft, 0.48)
    assert np.abs(np.diff(soft, 3, axis=0)).max() <= 0.48
    assert np.array_equal(soft[:16], curve[:16])
    assert np.array_equal(soft[:, 1], curve[:, 1])


def test_curves_have_no_jolts() -> None:
    text = "pɑmibufɛvoðʌsɑʃuwɑpəbimɑf"
    for each_s in (0.06, 0.08, 0.1):
        for articulation in (1.0, 1.4):
            weights = animate_mouth(
                syllables(*text, each_s=each_s), 120, FPS, articulation=articulation
            )
            assert np.abs(np.diff(weights, 3, axis=0)).max() <= 0.55


def test_lips_stay_together_between_rest_and_a_closure() -> None:
    phones = [Phone("m", 1.0, 1.1), Phone("ɑ", 1.1, 1.3), Phone("p", 1.3, 1.4)]
    opening = lip_opening(animate_mouth(phones, 75, FPS))
    assert opening[:33].max() < 0.01
    assert opening[40:].max() < 0.02


def test_the_tongue_shows_in_th_and_the_teeth_in_f() -> None:
    weights = animate_mouth(syllables(*"ɑθɑfɑvɑ"), 40, FPS)
    assert weights[:, CHANNEL_INDEX["tongueOut"]][3:7].max() >= 0.25
    for first in (9, 15):
        row = weights[first : first + 4]
        tucked = row[row[:, CHANNEL_INDEX["mouthRollLower"]].argmax()]
        assert tucked[CHANNEL_INDEX["mouthRollLower"]] >= 0.35
        assert tucked[CHANNEL_INDEX["mouthUpperUpLeft"]] >= 0.14


def test_u_is_small_and_round() -> None:
    phones = [Phone("", 0.0, 0.3), Phone("u", 0.3, 0.9), Phone("", 0.9, 1.2)]
    row = animate_mouth(phones, 36, FPS)[18:19]
    assert lip_opening(row)[0] < 0.16
    assert row[0, CHANNEL_INDEX["mouthPucker"]] > 0.6


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


def test_the_gaze_comes_home_soon_and_before_the_end() -> None:
    looks = [CHANNEL_INDEX[n] for n in ARKIT_52 if n.startswith("eyeLook")]
    for seed in range(8):
        away = face(seed, 5, 30)[:, looks].max(axis=1) > 0.01
        assert away.any()
        assert not away[-FPS // 2 :].any()
        edges = np.flatnonzero(np.diff(away.astype(int), prepend=0))
        lengths = np.diff(edges.reshape(-1, 2), axis=1)
        assert lengths.max() <= 0.8 * FPS + 1


def test_the_gaze_is_home_when_a_phrase_ends() -> None:
    phones = [Phone("ɑ", 0.1, 3.0), Phone("ɑ", 3.5, 6.0)]
    looks = [CHANNEL_INDEX[n] for n in ARKIT_52 if n.startswith("eyeLook")]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        weights = enliven(
            np.zeros((210, 52), np.float32), FPS, rng, phones=phones, level_db=np.full(210, -20.0)
        )
        away = weights[:, looks].max(axis=1) > 0.0
        for end in (90, 180):
            assert not away[end - 1 : end + 1].all(), "one glance over the end of a phrase"


def test_a_shut_lid_neither_squints_nor_looks_down() -> None:
    for seed in range(4):
        weights = face(seed, 1)
        shut = weights[:, CHANNEL_INDEX["eyeBlinkLeft"]] > 0.95
        for name in ("eyeLookDownLeft", "eyeSquintLeft"):
            assert weights[shut, CHANNEL_INDEX[name]].max() < 0.02
        assert weights[shut, CHANNEL_INDEX["browDownLeft"]].min() > 0.04


def test_a_still_face_keeps_its_mouth_shut() -> None:
    weights = face(0, 0)
    for name in ARKIT_52:
        if name.startswith(("jaw", "mouth")):
            assert weights[:, CHANNEL_INDEX[name]].max() == 0.0, name


def test_the_row_of_f_rules(tmp_path: Path) -> None:
    """A changed row of the viseme table, nothing else, and the face follows."""
    usual = Path(phones_module.__file__).with_name("visemes.csv")
    rows = usual.read_text(encoding="utf-8").splitlines()
    f = next(k for k, row in enumerate(rows) if row.startswith("f,"))
    tucked = "mouthRollLower>=0.40"
    assert tucked in rows[f]
    rows[f] = rows[f].replace(tucked, "mouthRollLower>=0.75").replace("jawOpen<=0.14 ", "")
    (tmp_path / "visemes.csv").write_text("\n".join(rows), encoding="utf-8")
    changed = read_viseme_table(tmp_path / "visemes.csv")
    assert changed.sha256 != viseme_table().sha256, "finished clips must not count as made by it"
    spoken = [Phone("ɑ", 0.1, 0.25), Phone("f", 0.25, 0.33), Phone("ɑ", 0.33, 0.5),
              Phone("v", 0.5, 0.58), Phone("ɑ", 0.58, 0.7)]  # fmt: skip
    before = animate_mouth(spoken, 30, FPS)
    after = animate_mouth(spoken, 30, FPS, table=changed)
    roll, jaw = CHANNEL_INDEX["mouthRollLower"], CHANNEL_INDEX["jawOpen"]
    in_f, in_v = 9, 16  # frames
    assert before[in_f, roll] == pytest.approx(0.40, abs=0.02)
    assert after[in_f, roll] > 0.65
    assert after[in_f, jaw] > before[in_f, jaw] + 0.05
    assert np.array_equal(after[in_v], before[in_v]), "v has a row of its own"


def test_a_limit_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    usual = Path(phones_module.__file__).with_name("visemes.csv")
    text = usual.read_text(encoding="utf-8").replace("tongueOut>=0.30", "tongueOut>0.30")
    (tmp_path / "visemes.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"row th of the viseme table has the limit 'tongueOut>0"):
        read_viseme_table(tmp_path / "visemes.csv")


def test_the_table_keeps_the_name_that_finished_clips_carry() -> None:
    """Batches of before must be recognised: the file's bytes changed, the faces did not."""
    known = "25196917fe8300a0fc2cb717ec07fa55b07f9d03c6b26eedecefc75e0c1e7ca9"
    assert viseme_table().sha256 == known
