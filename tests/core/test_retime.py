# SPDX-License-Identifier: GPL-3.0-or-later
"""Retiming keeps time, values and lip closures at every rate; reduced keys keep their bound."""

from __future__ import annotations

import time

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, REGIONS
from exomni_core.errors import InputError
from exomni_core.retime import (
    CLOSED_GAP,
    Adjust,
    FrameRate,
    adjust_weights,
    closed_runs,
    lip_gap,
    parse_frame_rate,
    reduce_keys,
    resample_weights,
    scale_regions,
    shift_weights,
    smooth_weights,
)

RATES = [23.976, 24, 25, 29.97, 30, 60]
JAW, CLOSE = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
FUNNEL, BLINK = CHANNEL_INDEX["mouthFunnel"], CHANNEL_INDEX["eyeBlinkLeft"]


class TestFrameRate:
    @pytest.mark.parametrize(
        ("text", "rate"),
        [
            ("24", FrameRate(24)),
            (30, FrameRate(30)),
            ("29.97", FrameRate(30, 1.001)),
            ("23.976", FrameRate(24, 1.001)),
            ("59.94", FrameRate(60, 1.001)),
            ("30000/1001", FrameRate(30, 1.001)),
            ("12.5", FrameRate(13, 1.04)),
        ],
    )
    def test_parsed_as_blender_keeps_it(self, text, rate):
        parsed = parse_frame_rate(text)
        assert parsed.frames == rate.frames
        assert parsed.base == pytest.approx(rate.base, abs=1e-6)

    @pytest.mark.parametrize("text", ["", "x", "0", "-24", "0.5", "241", "nan", "inf", "1/0", None])
    def test_nonsense(self, text):
        with pytest.raises(InputError) as caught:
            parse_frame_rate(text)
        assert caught.value.field == "fps"


class TestResample:
    @pytest.mark.parametrize("fps", RATES)
    @pytest.mark.parametrize("to_fps", RATES)
    def test_a_ramp_keeps_its_time(self, fps, to_fps):
        rows = round(20 * fps)
        weights = np.zeros((rows, 52), np.float32)
        weights[:, FUNNEL] = np.arange(rows) / fps / 20
        result = resample_weights(weights, fps, to_fps)
        assert abs(len(result) - rows / fps * to_fps) <= 1
        wanted = np.minimum(np.arange(len(result)) / to_fps, (rows - 1) / fps) / 20
        assert np.abs(result[:, FUNNEL] - wanted).max() < 1e-6
        assert result.dtype == np.float32

    @pytest.mark.parametrize("fps", RATES)
    def test_the_same_rate_changes_nothing(self, fps, talking):
        weights = talking(fps, 3.0, [0.5, 1.2])
        assert np.array_equal(resample_weights(weights, fps, fps), weights)

    def test_half_the_rate_is_every_second_row(self):
        weights = np.random.default_rng(0).random((60, 52)).astype(np.float32)
        result = resample_weights(weights, 60, 30, keep_closures=False)
        assert np.array_equal(result, weights[::2])

    @pytest.mark.parametrize(
        ("fps", "to_fps", "rows", "frames"),
        [(30, 25, 6, 5), (30, 24, 5, 4), (24 / 1.001, 30 / 1.001, 4, 5), (25, 60, 5, 12)],
    )
    def test_common_instants_are_exact(self, fps, to_fps, rows, frames):
        weights = np.random.default_rng(3).random((1_200, 52)).astype(np.float32)
        result = resample_weights(weights, fps, to_fps, keep_closures=False)
        there = weights[::rows]
        assert np.array_equal(result[::frames][: len(there)], there)

    def test_29_97_is_not_30(self):
        weights = np.zeros((30 * 600, 52), np.float32)
        weights[30 * 300, FUNNEL] = 1.0  # after five minutes
        result = resample_weights(weights, 30, 30 / 1.001)
        assert np.argmax(result[:, FUNNEL]) == round(300 * 30 / 1.001)  # 9 frames before 9000

    def test_values_never_leave_the_source(self):
        weights = np.random.default_rng(1).random((500, 52)).astype(np.float32)
        result = resample_weights(weights, 30, 23.976)
        assert result.min() >= weights.min()
        assert result.max() <= weights.max()

    def test_beyond_the_ends_rows_are_held(self):
        weights = np.random.default_rng(2).random((10, 52)).astype(np.float32)
        result = resample_weights(weights, 30, 30, 25, start_s=-0.2)
        assert (result[:7] == weights[0]).all()
        assert np.array_equal(result[6:16], weights)
        assert (result[16:] == weights[-1]).all()

    def test_one_row(self):
        weights = np.full((1, 52), 0.5, np.float32)
        assert resample_weights(weights, 30, 24).shape == (1, 52)
        assert (resample_weights(weights, 30, 24, 5) == 0.5).all()

    @pytest.mark.parametrize(
        "call",
        [
            lambda w: resample_weights(w[:, :51], 30, 24),
            lambda w: resample_weights(w[:0], 30, 24),
            lambda w: resample_weights(w[0], 30, 24),
            lambda w: resample_weights(w, 0, 24),
            lambda w: resample_weights(w, 30, float("nan")),
            lambda w: resample_weights(w, 30, -24),
            lambda w: resample_weights(w, 30, 24, 0),
            lambda w: resample_weights(w + np.nan, 30, 24),
        ],
    )
    def test_wrong_input(self, call):
        with pytest.raises(InputError):
            call(np.zeros((10, 52), np.float32))


class TestClosures:
    # Eleven rows of 30 fps apart: every phase against the frames of the other rate.
    moments = tuple(0.5 + k * 11 / 30 for k in range(25))

    @pytest.mark.parametrize("to_fps", RATES)
    def test_no_closure_is_lost(self, talking, to_fps):
        weights = talking(30, 10.0, self.moments)
        result = resample_weights(weights, 30, to_fps)
        assert len(closed_runs(weights)) == len(closed_runs(result)) == len(self.moments)
        for first, _ in closed_runs(weights):
            place = first / 30 * to_fps
            around = slice(int(place + 0.49), int(place + 0.51) + 1)  # a tie may fall either way
            assert lip_gap(result)[around].min() < CLOSED_GAP

    def test_without_care_they_are_lost(self, talking):
        weights = talking(30, 10.0, self.moments)
        careless = resample_weights(weights, 30, 24, keep_closures=False)
        assert len(closed_runs(careless)) < len(self.moments)

    def test_only_the_mouth_is_moved(self, talking):
        weights = talking(30, 10.0, self.moments)
        careful = resample_weights(weights, 30, 24)
        careless = resample_weights(weights, 30, 24, keep_closures=False)
        assert np.array_equal(careful[:, BLINK], careless[:, BLINK])
        changed = (careful != careless).any(axis=1)
        assert 0 < changed.sum() <= len(self.moments)

    def test_a_mouth_at_rest_is_no_closure(self):
        weights = np.zeros((60, 52), np.float32)
        weights[20:40, JAW] = 0.4
        assert closed_runs(weights) == []

    def test_runs_are_found(self, talking):
        assert closed_runs(talking(30, 3.0, [1.0, 2.0], rows=3)) == [(30, 32), (60, 62)]

    def test_far_fewer_frames_than_closures(self, talking):
        weights = talking(30, 10.0, self.moments)
        assert resample_weights(weights, 30, 1).shape == (10, 52)
        assert resample_weights(weights, 30, 24, 3).shape == (3, 52)


class TestSmooth:
    @pytest.mark.parametrize("fps", RATES)
    def test_no_delay(self, fps):
        weights = np.zeros((round(4 * fps), 52), np.float32)
        middle = len(weights) // 2
        weights[middle, FUNNEL] = 1.0
        result = smooth_weights(weights, fps, 0.2)[:, FUNNEL]
        assert np.argmax(result) == middle
        assert np.allclose(result[middle - 20 : middle], result[middle + 20 : middle : -1])
        assert result.sum() == pytest.approx(1.0, abs=1e-3)

    @pytest.mark.parametrize("fps", [24, 30, 60])
    def test_the_width_is_in_seconds(self, fps):
        weights = np.zeros((6 * fps, 52), np.float32)
        weights[3 * fps, FUNNEL] = 1.0
        result = smooth_weights(weights, fps, 0.5)[:, FUNNEL]
        at_half = np.flatnonzero(result > result.max() / 2)
        assert np.ptp(at_half) / fps == pytest.approx(0.5, abs=2 / fps)

    def test_jitter_sinks_and_closures_stay(self, talking):
        rng = np.random.default_rng(4)
        weights = talking(30, 6.0, [1.0, 2.0, 3.5], rows=2)
        noisy = np.clip(weights + rng.normal(0, 0.02, weights.shape), 0, 1).astype(np.float32)
        noisy[:, [JAW, CLOSE]] = weights[:, [JAW, CLOSE]]
        result = smooth_weights(noisy, 30, 0.2)
        jerk = lambda w: np.abs(np.diff(w[:, FUNNEL], 2)).mean()  # noqa: E731
        assert jerk(result) < 0.4 * jerk(noisy)
        for first, last in closed_runs(weights):
            assert (lip_gap(result)[first : last + 1] < CLOSED_GAP).all()
        # A plain filter would have opened them.
        kernel = np.ones(6) / 6
        plain = np.convolve(lip_gap(weights), kernel, "same")
        assert all(plain[first] > CLOSED_GAP for first, _ in closed_runs(weights))

    @pytest.mark.parametrize("width_s", [0.0, 0.001])
    def test_nothing_to_do(self, width_s):
        weights = np.random.default_rng(0).random((30, 52)).astype(np.float32)
        assert np.array_equal(smooth_weights(weights, 30, width_s), weights)

    def test_values_and_ends_stay(self):
        weights = np.random.default_rng(0).random((30, 52)).astype(np.float32)
        result = smooth_weights(weights, 30, 2.0)
        assert (result >= weights.min(axis=0)).all()
        assert (result <= weights.max(axis=0)).all()
        flat = np.full((30, 52), 0.7, np.float32)
        assert np.array_equal(smooth_weights(flat, 30, 1.0), flat)

    @pytest.mark.parametrize("width_s", [-0.1, 2.1, float("nan")])
    def test_wrong_width(self, width_s):
        with pytest.raises(InputError):
            smooth_weights(np.zeros((3, 52)), 30, width_s)


class TestGain:
    @pytest.mark.parametrize("region", [r for r in REGIONS if r not in ("jaw", "lips")])
    def test_one_region_alone(self, region):
        weights = np.random.default_rng(0).random((5, 52)).astype(np.float32)
        result = scale_regions(weights, {region: 0.5})
        inside = [CHANNEL_INDEX[name] for name in REGIONS[region]]
        outside = [k for k in range(52) if k not in inside]
        assert np.array_equal(result[:, outside], weights[:, outside])
        assert np.allclose(result[:, inside], weights[:, inside] / 2)

    def test_results_stay_in_range(self):
        weights = np.random.default_rng(0).random((50, 52)).astype(np.float32)
        result = scale_regions(weights, dict.fromkeys(REGIONS, 4.0))
        assert result.min() >= 0
        assert result.max() == 1

    @pytest.mark.parametrize("jaw", [0.0, 0.3, 1.0, 1.5, 2.5, 4.0])
    @pytest.mark.parametrize("lips", [0.0, 0.5, 1.0, 2.0])
    def test_closed_lips_stay_closed_and_open_ones_do_not_cross(self, jaw, lips):
        rng = np.random.default_rng(5)
        weights = rng.random((400, 52)).astype(np.float32)
        # From just touching (0.029) over open; mouthClose never above jawOpen here.
        weights[:, CLOSE] = weights[:, JAW] * rng.choice([0.0, 0.5, 1.0], 400)
        weights[:100, CLOSE] = np.maximum(weights[:100, JAW] - 0.029, 0)
        closed = lip_gap(weights) < CLOSED_GAP
        result = scale_regions(weights, {"jaw": jaw, "lips": lips})
        assert (lip_gap(result)[closed] < CLOSED_GAP).all()
        assert (result[:, CLOSE] <= result[:, JAW]).all()

    @pytest.mark.parametrize("gains", [{"nose": 1}, {"jaw": -1}, {"jaw": 4.1}, {"jaw": np.nan}])
    def test_wrong_gains(self, gains):
        with pytest.raises(InputError) as caught:
            scale_regions(np.zeros((3, 52)), gains)
        assert caught.value.field == "gain"


class TestShiftAndAdjust:
    @pytest.mark.parametrize("offset_s", [0.1, -0.1, 1 / 30, 0.05])
    def test_shift_moves_the_face_later(self, offset_s):
        weights = np.zeros((90, 52), np.float32)
        weights[:, FUNNEL] = np.exp(-(((np.arange(90) - 45) / 4) ** 2))
        result = shift_weights(weights, 30, offset_s)[:, FUNNEL]
        centre = (result * np.arange(90)).sum() / result.sum()
        assert centre == pytest.approx(45 + 30 * offset_s, abs=0.05)

    @pytest.mark.parametrize("offset_s", [0.01, 0.0166, -0.025])
    def test_shift_keeps_closures(self, talking, offset_s):
        weights = talking(30, 10.0, TestClosures.moments)
        assert len(closed_runs(shift_weights(weights, 30, offset_s))) == len(TestClosures.moments)

    def test_a_shift_beyond_the_end(self):
        weights = np.random.default_rng(0).random((10, 52)).astype(np.float32)
        assert (shift_weights(weights, 30, 99.0) == weights[0]).all()
        assert (shift_weights(weights, 30, -99.0) == weights[-1]).all()
        with pytest.raises(InputError):
            shift_weights(weights, 30, float("inf"))

    def test_the_default_changes_nothing(self, talking):
        weights = talking(30, 3.0, [1.0])
        assert np.array_equal(adjust_weights(weights, 30, Adjust()), weights)

    @pytest.mark.parametrize("to_fps", RATES)
    def test_all_at_once_keeps_every_closure(self, talking, to_fps):
        weights = talking(30, 10.0, TestClosures.moments)
        adjust = Adjust(smooth_s=0.1, gains={"jaw": 1.6, "lips": 0.7}, offset_s=0.02)
        result = resample_weights(adjust_weights(weights, 30, adjust), 30, to_fps)
        assert len(closed_runs(result)) == len(TestClosures.moments)
        assert result.min() >= 0
        assert result.max() <= 1


def speech_like(seconds: float, fps: float = 30) -> np.ndarray:
    rng, time_s = np.random.default_rng(9), np.arange(round(seconds * fps)) / fps
    weights = np.zeros((len(time_s), 52), np.float32)
    for column in range(0, 52, 2):  # about as many live channels as speech has
        for _ in range(4):
            speed, phase = rng.uniform(1, 15), rng.uniform(0, 6)
            weights[:, column] += 0.2 * (1 + np.sin(speed * time_s + phase))
    return np.clip(weights, 0, 1)


def reduce_weights(weights, max_error):
    """For each channel the rows kept; jaw and lips keep the tightest row of every closure."""
    gap = lip_gap(weights)
    closures = [a + int(np.argmin(gap[a : b + 1])) for a, b in closed_runs(weights)]
    return [
        reduce_keys(weights[:, c], max_error, keep=closures if c in (JAW, CLOSE) else ())
        for c in range(len(ARKIT_52))
    ]


class TestKeys:
    @pytest.mark.parametrize("max_error", [0.0, 0.001, 0.01, 0.05, 0.5])
    @pytest.mark.parametrize("kind", ["noise", "walk", "sine", "steps", "spike", "ramp"])
    def test_the_bound_holds(self, kind, max_error):
        rng, n = np.random.default_rng(6), 1_000
        curve = {
            "noise": rng.random(n),
            "walk": np.cumsum(rng.normal(0, 0.01, n)),
            "sine": np.sin(np.arange(n) / 20),
            "steps": (np.arange(n) // 100 % 2).astype(float),
            "spike": (np.arange(n) == 500).astype(float),
            "ramp": np.arange(n) / n,
        }[kind]
        kept = reduce_keys(curve, max_error)
        assert kept[0] == 0
        assert (np.diff(kept) > 0).all()
        rebuilt = np.interp(np.arange(n), kept, curve[kept])
        assert np.abs(rebuilt - curve).max() <= max_error + 1e-12
        if kind in ("steps", "spike", "ramp") and 0 < max_error < 0.5:
            assert len(kept) <= {"steps": 20, "spike": 5, "ramp": 2}[kind]
        if kind == "sine" and max_error == 0.01:
            assert len(kept) < n / 5

    @pytest.mark.parametrize(
        ("values", "kept"),
        [([0.3], [0]), ([0.3] * 50, [0]), ([0.3, 0.4], [0, 1]), ([0, 0, 1], [0, 1, 2])],
    )
    def test_small_curves(self, values, kept):
        assert reduce_keys(values, 0.01).tolist() == kept

    def test_forced_keys_stay(self):
        assert set(reduce_keys(np.zeros(50), 0.1, keep=(7, 30))) >= {0, 7, 30}

    @pytest.mark.parametrize(
        ("values", "max_error", "keep"),
        [([], 0.1, ()), ([[1.0]], 0.1, ()), ([np.nan], 0.1, ()), ([1.0], -1, ()),
         ([1.0], np.nan, ()), ([1.0], np.inf, ()), ([1.0], 0.1, (1,)), ([1.0], 0.1, (-1,))],
    )  # fmt: skip
    def test_wrong_input(self, values, max_error, keep):
        with pytest.raises(InputError):
            reduce_keys(values, max_error, keep=keep)

    def test_all_channels_within_the_bound(self):
        weights = speech_like(20)
        for column, kept in enumerate(reduce_weights(weights, 0.01)):
            rebuilt = np.interp(np.arange(len(weights)), kept, weights[kept, column])
            assert np.abs(rebuilt - weights[:, column]).max() <= 0.01
            if column % 2:
                assert kept.tolist() == [0]

    @pytest.mark.parametrize("max_error", [0.02, 0.1, 0.3])
    def test_closures_meet_exactly(self, talking, max_error):
        weights = talking(30, 10.0, TestClosures.moments, rows=2)
        kept = reduce_weights(weights, max_error)
        rows = np.arange(len(weights))
        rebuilt = np.column_stack([np.interp(rows, k, weights[k, c]) for c, k in enumerate(kept)])
        for first, last in closed_runs(weights):
            assert lip_gap(rebuilt)[first : last + 1].min() < CLOSED_GAP

    def test_a_minute_is_fast(self):
        weights = speech_like(60)
        best = min(self.seconds(weights) for _ in range(3))
        assert best < 0.3, f"{best:.2f} s; noise of a busy machine passes in one of three runs"

    def seconds(self, weights: np.ndarray) -> float:
        before = time.process_time()
        reduce_weights(weights, 0.005)
        return time.process_time() - before


def test_columns_are_those_of_arkit():
    assert (ARKIT_52[JAW], ARKIT_52[CLOSE]) == ("jawOpen", "mouthClose")
