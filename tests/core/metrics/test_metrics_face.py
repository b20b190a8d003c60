# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of face metrics whatever the data: zero, order, units, Jensen, baselines."""

from __future__ import annotations

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, UNITALKER_51
from exomni_core.errors import InputError
from exomni_core.head_regions import find_lip_pair, find_lips, ids_hash
from exomni_core.metrics.bootstrap import intervals, paired_difference
from exomni_core.metrics.faces.baselines import BASELINES, baselines
from exomni_core.metrics.faces.dynamics import dynamics
from exomni_core.metrics.faces.face import best_lag, bilabial_hits, lve, offsets
from exomni_core.metrics.faces.registry import clip_metrics
from exomni_core.metrics.resample import align, to_rate
from exomni_core.metrics.series import Series, by_name, measured, with_mouth_close


def test_a_face_against_itself_is_no_error(small_head, curves):
    same = curves(90)
    found = clip_metrics(same, same.copy(), small_head(), 30.0)
    for name in ("lve_l2_mm", "lve_sq_mm2", "mve_mm", "upper_vertex_error_mm", "coef_mae_all52"):
        assert found[name] == 0.0, name
    assert found["lip_jerk_ratio"] == pytest.approx(1.0)
    assert found["av_lag_frames"] == 0


def test_the_order_of_columns_does_not_matter(curves):
    weights = curves(30)
    order = np.random.default_rng(0).permutation(52)
    found, missing = by_name(weights[:, order], [ARKIT_52[i] for i in order])
    assert np.array_equal(found, weights)
    assert missing == ()


def test_51_names_are_all_but_the_tongue():
    assert {*UNITALKER_51} == {*ARKIT_52} - {"tongueOut"}
    assert len(UNITALKER_51) == 51


@pytest.mark.parametrize("unit_to_mm", [10.0, 1.0])
def test_metres_centimetres_and_millimetres_give_the_same_mm(small_head, curves, unit_to_mm):
    pred, ref = curves(60, 1), curves(60, 2)
    metres = clip_metrics(pred, ref, small_head(1000.0), 30.0, [(0.5, 0.7)])
    other = clip_metrics(pred, ref, small_head(unit_to_mm), 30.0, [(0.5, 0.7)])
    for name, value in metres.items():
        assert other[name] == pytest.approx(value, rel=1e-9), name


def test_squared_is_at_least_the_square(small_head, curves):
    for seed in range(5):
        found = clip_metrics(curves(45, seed), curves(45, seed + 50), small_head(), 30.0)
        assert found["lve_sq_mm2"] >= found["lve_l2_mm"] ** 2


def test_lve_needs_the_lips_alone(small_head, curves):
    pred, ref, basis = curves(50, 1), curves(50, 2), small_head()
    by_hand = []
    for a, b in zip(pred, ref, strict=True):
        moved = (a - b) @ basis.lips
        by_hand.append(max(np.linalg.norm(moved[[k, k + 20, k + 40]]) for k in range(20)))
    assert lve(offsets(pred - ref, basis.lips))[0] == pytest.approx(np.mean(by_hand), rel=1e-12)


@pytest.mark.parametrize("late", [-7, -1, 0, 4, 15])
def test_lag_is_found_and_positive_is_late(late):
    curve = np.convolve(np.random.default_rng(3).normal(size=200), np.hanning(7), "same")
    lag, r = best_lag(np.roll(curve, late), curve)
    assert lag == late
    assert r > 0.95


def test_bilabials_at_the_edges():
    closed, opened = np.ones(30, bool), np.zeros(30, bool)
    intervals_s = [(-0.5, -0.2), (0.0, 0.05), (0.98, 1.02), (1.2, 1.4)]
    found = bilabial_hits(closed, opened, 30.0, intervals_s)
    assert found == {
        "bilabial_intervals_used": 2,
        "bilabial_closed_pred": 2,
        "bilabial_closed_ref": 0,
    }


def test_resampling_keeps_its_own_clock():
    ramp = np.arange(181)[:, None] / 60.0
    assert np.allclose(to_rate(ramp, 60.0)[:, 0], np.arange(91) / 30.0)
    assert np.array_equal(to_rate(ramp, 60.0), ramp[::2])
    assert len(to_rate(ramp[:100], 25.0)) == int(99 / 25 * 30 + 1e-9) + 1
    assert len(to_rate(ramp[:1], 60.0)) == 1


@pytest.mark.parametrize(
    ("pred", "ref", "warns", "refuses"),
    [(300, 300, 0, 0), (303, 300, 0, 0), (20, 17, 0, 0), (304, 300, 1, 0), (320, 300, 1, 1),
     (44, 40, 1, 0), (46, 40, 1, 1)],
)  # fmt: skip
def test_length_rules(pred, ref, warns, refuses):
    a, b = np.ones((pred, 52)), np.ones((ref, 52))
    if refuses:
        with pytest.raises(InputError, match=r"don't belong together; --allow-length-mismatch"):
            align(a, 30.0, b, 30.0)
    both = align(a, 30.0, b, 30.0, allow_mismatch=True)
    assert len(both.pred) == len(both.ref) == min(pred, ref)
    assert bool(both.warning) == bool(warns)


def test_baselines_rank_as_they_must(small_head, curves):
    ref, other, basis = curves(120, 1), curves(80, 2), small_head()
    found = baselines(ref, other, basis)
    l2 = {name: found[f"baseline_{name}_lve_l2_mm"] for name in BASELINES}
    assert l2["damped_0.7"] == pytest.approx(0.3 * l2["neutral"])
    assert l2["damped_0.7"] == pytest.approx(lve(offsets(0.3 * ref, basis.lips))[0], rel=1e-9)
    assert l2["delayed_3"] < l2["delayed_6"]
    assert l2["meanpose"] < l2["neutral"]
    late = ref[np.maximum(np.arange(120) - 6, 0)]
    assert l2["delayed_6"] == pytest.approx(lve(offsets(ref - late, basis.lips))[0], rel=1e-9)
    assert all(found[f"baseline_{n}_lve_sq_mm2"] >= l2[n] ** 2 * (1 - 1e-9) for n in BASELINES)
    alone = baselines(ref, None, basis)
    assert alone["baseline_shuffled_lve_l2_mm"] > 0


def test_claire_mouth_close_and_its_warning():
    weights = np.zeros((20, 52))
    weights[:, CHANNEL_INDEX["mouthClose"]] = 0.5
    weights[:, CHANNEL_INDEX["jawOpen"]] = 0.1
    series = measured(Series(weights, 30.0))
    assert "ref-mouthclose claire" in series.warnings[0]
    fixed = with_mouth_close(series, "claire").weights
    assert np.allclose(fixed[:, CHANNEL_INDEX["jawOpen"]], 0.6)
    assert np.allclose(fixed[:, CHANNEL_INDEX["mouthClose"]], 0.5)
    assert "both large" in measured(Series(fixed, 30.0)).warnings[0]


def test_dynamics_count_blinks_and_frozen_frames(small_head):
    weights = np.zeros((600, 52))
    for start in (100, 300, 500):
        weights[start : start + 5, CHANNEL_INDEX["eyeBlinkLeft"]] = 1.0
    found = dynamics(weights, small_head(), 30.0, "pred")
    assert found["blinks_per_min_pred"] == pytest.approx(9.0)
    assert found["frozen_share_pred"] > 0.98
    assert found["std_jaw_pred"] == 0.0
    assert dynamics(weights[:1], small_head(), 30.0, "pred")["frozen_share_pred"] is None


def test_intervals_are_seeded_and_honest():
    rng = np.random.default_rng(0)
    rows = [{"id": k, "v": x, "frames_used": 10} for k, x in enumerate(rng.normal(5, 1, 200))]
    one = intervals(rows, ["v"], seed=3, pooled=["v"])
    assert one == intervals(rows, ["v"], seed=3, pooled=["v"])
    assert one != intervals(rows, ["v"], seed=4, pooled=["v"])
    low, high = one[0]["v"].low, one[0]["v"].high
    # A mean of 200 values of deviation 1: +-1.96 / sqrt(200).
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(200), rel=0.12)
    assert one[1]["v"].low == pytest.approx(low)  # equally long clips
    few = intervals(rows[:1], ["v"], seed=0)[0]["v"]
    assert few.low is None
    assert few.high is None


def test_paired_difference_is_by_id_and_sharper():
    rng = np.random.default_rng(1)
    clips = rng.normal(5, 2, 60)
    noise = rng.normal(0, 0.1, 60)
    a = [{"id": str(k), "v": clips[k] + 0.5 + noise[k]} for k in range(60)]
    b = [{"id": str(k), "v": x} for k, x in enumerate(clips)][::-1]
    b.append({"id": "other", "v": 100.0})
    found = paired_difference(a, b, "v", seed=0)
    assert found["n"] == 60
    assert found["low"] > 0.4
    assert found["high"] < 0.6


def test_lips_are_found_by_motion():
    neutral = np.zeros((100, 3))
    neutral[:, 1] = np.linspace(-1, 1, 100)
    neutral[:, 0] = np.tile([-0.1, 0.1], 50)
    shapes = np.full((52, 100, 3), 1e-4)
    for name in ("mouthPucker", "mouthRollLower"):
        shapes[CHANNEL_INDEX[name], 10:20] = 0.01
        shapes[CHANNEL_INDEX[name], 80:82] = 0.01  # in the forehead: no lip
    shapes[CHANNEL_INDEX["jawOpen"]] = 0.0
    shapes[CHANNEL_INDEX["jawOpen"], :15, 1] = -0.02
    lips = find_lips(neutral, shapes)
    assert lips.tolist() == list(range(10, 20))
    neutral[:, 0] = 0.0
    pair = find_lip_pair(neutral, shapes, lips)
    assert pair.tolist() == [[15, 14]]
    assert ids_hash([3, 1, 2]) == ids_hash(np.array([1, 2, 3]))
    with pytest.raises(InputError, match="--lip-ids"):
        find_lips(neutral, np.zeros((52, 100, 3)))
