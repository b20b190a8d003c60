# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures without a reference: what is known is found, chance is chance, delays are recovered."""

from __future__ import annotations

import numpy as np
import pytest

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.clip import Phone
from exomni_core.embedded.animate import animate_mouth
from exomni_core.metrics.sync.mouth import (
    SEEN_GROUPS,
    aperture_order,
    measure_mouth,
    merged,
    nearest_group,
    shifted,
)
from exomni_core.metrics.sync.offset import REACH, correlations, pooled_offset
from exomni_core.metrics.sync.smoothness import smoothness
from exomni_core.phonetics.phones import viseme_table

FPS = 30


def syllables(text: str, each_s: float = 0.12, start_s: float = 0.2) -> list[Phone]:
    symbols = text.split()
    return [
        Phone(s, start_s + k * each_s, start_s + (k + 1) * each_s) for k, s in enumerate(symbols)
    ]


TEXT = "m ɑ f i p u s ɛ v ɔ b i t ɑ w u m ɛ f ɑ"


def mouth_of(phones: list[Phone]) -> np.ndarray:
    return animate_mouth(phones, round((phones[-1].end_s + 0.3) * FPS), FPS)


def share(mouth, name):
    return mouth.shares[name].value


def test_a_good_mouth_hits_and_a_shifted_one_does_not():
    phones = syllables(TEXT)
    weights = mouth_of(phones)
    good, chance = (measure_mouth(w, FPS, phones) for w in (weights, shifted(weights)))
    for name in ("closure_hit", "closure_hit_within_a_frame", "tuck_hit", "rounding_hit"):
        assert share(good, name) == 1.0, name
    for name in ("false_closure", "false_tuck", "false_rounding"):
        assert share(good, name) == 0.0, name
    assert good.shares["closure_hit"].of == 4
    assert good.shares["tuck_hit"].of == 3
    assert share(good, "viseme_recall") > 0.75  # p and s before u are round already
    assert share(chance, "viseme_recall") < 0.5
    assert share(chance, "closure_hit") < 1.0 or share(chance, "false_closure") > 0.0


def test_an_always_closed_mouth_is_found_out():
    phones = syllables(TEXT)
    still = measure_mouth(np.zeros((100, 52)), FPS, phones)
    assert share(still, "closure_hit") == 1.0
    assert share(still, "false_closure") == 1.0
    assert share(still, "rounding_hit") == 0.0
    opened = np.zeros((100, 52))
    opened[:, CHANNEL_INDEX["jawOpen"]] = 0.5
    assert share(measure_mouth(opened, FPS, phones), "closure_hit") == 0.0


def test_a_frame_of_tolerance_is_one_frame():
    weights = np.zeros((30, 52))
    weights[:, CHANNEL_INDEX["jawOpen"]] = 0.4
    weights[9, CHANNEL_INDEX["mouthClose"]] = 0.4
    strict, near = [], []
    for start in (9, 10, 11):
        found = measure_mouth(weights, FPS, [Phone("b", start / FPS, (start + 2) / FPS)])
        strict.append(share(found, "closure_hit"))
        near.append(share(found, "closure_hit_within_a_frame"))
    assert strict == [1.0, 0.0, 0.0]
    assert near == [1.0, 1.0, 0.0]


def test_sounds_beyond_the_end_and_pauses_are_not_counted():
    phones = [
        Phone("", 0.0, 0.2),
        Phone("m", 0.9, 1.1),
        Phone("b", 5.0, 5.1),
        Phone("p", -0.2, -0.1),
    ]
    found = measure_mouth(np.zeros((30, 52)), FPS, phones)
    assert found.shares["closure_hit"].of == 2


def test_poses_are_nearest_to_themselves():
    for viseme in viseme_table().visemes.values():
        if viseme.group in SEEN_GROUPS:
            assert nearest_group(viseme.target) == viseme.group, viseme.key
    assert nearest_group(np.zeros(52)) == "sil"


def test_vowels_in_order_and_counts_merged():
    mouths = [
        measure_mouth(mouth_of(p), FPS, p)
        for p in (syllables("t ɑ t ɔ t ɛ t i t u", 0.25), syllables("ɑ u", 0.3))
    ]
    both = merged(mouths)
    found = aperture_order(both.apertures)
    assert found["order"] == "a > o > e > i > u"
    assert found["in_order"] == found["pairs"] == 10
    assert found["n"]["a"] == 2
    partial = aperture_order({"a": [0.1], "o": [], "e": [], "i": [], "u": [0.2]})
    assert (partial["pairs"], partial["in_order"]) == (1, 0)


def test_smoothness_of_a_step():
    weights = np.zeros((60, 52))
    weights[30:, CHANNEL_INDEX["mouthSmileLeft"]] = 0.8
    found = smoothness(weights, 60.0)
    assert found["largest_step"] == pytest.approx(0.8)
    assert found["largest_third_difference"] == pytest.approx(1.6)
    assert found["aperture_jerk"] == 0.0
    assert found["asymmetry"] > 0
    one = smoothness(np.full((1, 52), 1.2), 30.0)
    assert (one["largest_step"], one["aperture_jerk"], one["outside"]) == (0.0, None, 1.0)


def talk(seconds: float, late_s: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A mouth and a sound whose loudness is what the mouth's opening was `late_s` before."""
    rng = np.random.default_rng(seed)
    rate = 16_000
    points = rng.random(int(seconds * 5) + 20)
    at = np.arange(len(points)) / 5 - 1.0
    time_s = np.arange(int(seconds * rate)) / rate
    loud = np.interp(time_s, at, points)
    samples = (0.3 * loud**2 * rng.normal(0, 0.3, len(loud))).astype(np.float32)
    weights = np.zeros((int(seconds * FPS), 52))
    frames_s = np.arange(len(weights)) / FPS
    weights[:, CHANNEL_INDEX["jawOpen"]] = 0.5 * np.interp(frames_s - late_s, at, points)
    return weights, samples


@pytest.mark.parametrize("late_s", [-0.2, -0.1, 0.0, 0.05, 0.2])
def test_delays_are_recovered_and_positive_is_late(late_s):
    curves = []
    for seed in range(10):
        weights, samples = talk(8.0, late_s, seed)
        curves.append(correlations(weights, FPS, samples, 16_000))
    found = pooled_offset(curves, [8.0] * 10)
    assert found.ms == pytest.approx(late_s * 1000, abs=12)
    assert found.low - 5 <= found.ms <= found.high + 5
    assert found.enough
    assert found.r > 0.6
    if late_s:
        assert found.r0 < found.r


def test_offsets_that_cannot_be_told():
    weights, samples = talk(8.0, 0.0, 0)
    assert correlations(np.zeros((240, 52)), FPS, samples, 16_000) is None
    assert correlations(weights, FPS, np.zeros(128_000), 16_000) is None
    assert correlations(weights[:20], FPS, samples[:10_000], 16_000) is None
    empty = pooled_offset([None], [8.0])
    assert (empty.ms, empty.clips, empty.enough) == (None, 0, False)
    curve = correlations(weights, FPS, samples, 16_000)
    assert curve is not None
    assert len(curve) == 2 * REACH + 1
    assert not pooled_offset([curve], [8.0]).enough
