# SPDX-License-Identifier: GPL-3.0-or-later
"""The golden fixture to the last digit; and each known mistake in a formula breaks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exomni_core.errors import InputError
from exomni_core.metrics import resample
from exomni_core.metrics.aggregate import mean_of, pooled_mean
from exomni_core.metrics.faces import face, fixture


@pytest.fixture(scope="session")
def golden(shared: Path) -> tuple[Path, dict[str, Any]]:
    folder = shared / "golden" / "lve"
    return folder / "public.npz", json.loads((folder / "expected_public.json").read_text())


def test_every_leaf_of_the_public_fixture(golden, differences):
    path, expected = golden
    found = json.loads(json.dumps(fixture.score_fixture(path), allow_nan=False))
    assert differences(expected, found, 1e-9) == []


def squared(lip_error):
    worst = face.square(lip_error).max(axis=1)
    return float(worst.mean()), float(worst.mean())


def mean_over_lips(lip_error):
    lengths = face.square(lip_error)
    return float(np.sqrt(lengths).mean()), float(lengths.mean())


def by_index(values, names):
    table = np.zeros((len(values), 52))
    table[:, : np.shape(values)[1]] = values
    return table, ()


def stretched(pred, pred_fps, ref, ref_fps, *, to_fps=30.0, allow_mismatch=False):
    a, b = resample.to_rate(pred, pred_fps, to_fps), resample.to_rate(ref, ref_fps, to_fps)
    moments = np.linspace(0, len(a) - 1, len(b))
    a2 = np.column_stack([np.interp(moments, np.arange(len(a)), c) for c in a.T])
    return resample.Aligned(a2, b, len(a), len(b))


def padded(pred, pred_fps, ref, ref_fps, *, to_fps=30.0, allow_mismatch=False):
    a, b = resample.to_rate(pred, pred_fps, to_fps), resample.to_rate(ref, ref_fps, to_fps)
    count = max(len(a), len(b))
    a2, b2 = (np.pad(x, ((0, count - len(x)), (0, 0))) for x in (a, b))
    return resample.Aligned(a2, b2, len(a), len(b))


def swapped(rows):
    found = true_aggregate(rows)
    for name in ("lve_l2_mm", "lve_sq_mm2"):
        a, b = f"{name}_sample_mean", f"{name}_frame_pooled"
        found[a], found[b] = found[b], found[a]
    return found


true_aggregate = fixture.aggregate
true_fdd, true_jerk, true_lag = face.fdd_sums, face._jerk, face.best_lag
MUTATIONS = {
    "squared instead of L2": (face, "lve", squared, "lve_l2_mm"),
    "mean instead of max over lips": (face, "lve", mean_over_lips, "lve_l2_mm"),
    "pooled and sample mean swapped": (
        fixture, "aggregate", lambda rows: swapped(rows), "lve_l2_mm_sample_mean"),
    "pooled mean over samples": (
        fixture, "pooled_mean", lambda rows, name: mean_of(r[name] for r in rows), "frame_pooled"),
    "51 names mapped by index": (fixture, "by_name", by_index, "per_sample/2/lve_l2_mm"),
    "stretched instead of cut": (fixture, "align", stretched, "per_sample/1/lve_l2_mm"),
    "padded instead of cut": (fixture, "align", padded, "per_sample/1/lve_l2_mm"),
    "FDD sign": (face, "fdd_sums", lambda p, r: true_fdd(r, p), "fdd_sq_mm2"),
    "lag sign": (face, "best_lag", lambda p, r: true_lag(r, p), "av_lag_frames"),
    "sample deviation": (
        face, "_deviation", lambda v: v.std(axis=0, ddof=1), "fdd_sq_mm2"),
    "closure at 15 %": (face, "CLOSED_SHARE", 0.15, "closure_threshold_mm"),
    "no frame of tolerance around bilabials": (
        face, "bilabial_hits",
        lambda p, r, fps, i: face_hits_without_margin(p, r, fps, i), "bilabial_closed"),
    "jerk by frames": (face, "_jerk", lambda lips, fps: true_jerk(lips, 1.0), "lip_jerk_pred"),
    "lag limited to 3 frames": (face, "MAX_LAG_FRAMES", 3, "per_sample/4/av_lag_frames"),
    "mouth without the jaw": (
        face, "_MOUTH", np.array([n.startswith("mouth") for n in face.ARKIT_52]), "coef_mae_mouth"),
}  # fmt: skip


def face_hits_without_margin(pred, ref, fps, intervals):
    table = np.asarray(intervals).reshape(-1, 2)
    return true_hits(
        pred, ref, fps, np.column_stack([table[:, 0] + 1 / fps, table[:, 1] - 1 / fps])
    )


true_hits = face.bilabial_hits


@pytest.mark.parametrize("mistake", MUTATIONS)
def test_a_mistake_breaks_the_golden_comparison(mistake, golden, differences, monkeypatch):
    path, expected = golden
    module, name, mutant, where = MUTATIONS[mistake]
    monkeypatch.setattr(module, name, mutant)
    wrong = differences(expected, fixture.score_fixture(path), 1e-9)
    assert any(where in leaf for leaf in wrong), wrong[:10]


def test_pooled_and_sample_mean_differ_as_told():
    rows = [
        {"frames_used": 1, "v": 1.0},
        {"frames_used": 3, "v": 2.0},
        {"frames_used": 9, "v": None},
    ]
    assert mean_of(row["v"] for row in rows) == 1.5
    assert pooled_mean(rows, "v") == 1.75
    assert mean_of([None]) is None


def write_fixture(path: Path, samples: list[dict[str, Any]], **changes: Any) -> Path:
    rng = np.random.default_rng(1)
    names = np.array(face.ARKIT_52)
    arrays: dict[str, Any] = {
        "neutral": rng.normal(0, 5, (40, 3)), "deltas": rng.normal(0, 0.3, (52, 40, 3)),
        "names": names, "lip_ids": np.arange(10), "upper_ids": np.arange(20, 30),
        "lip_open_pairs": np.array([[0, 1]]), "unit_to_mm": np.float64(10.0),
        "fps": np.float64(30.0), "n_samples": len(samples),
    }  # fmt: skip
    for number, sample in enumerate(samples):
        arrays |= {f"{key}_{number:03d}": value for key, value in sample.items()}
    np.savez(path, **(arrays | changes))
    return path


def sample(frames: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(frames)
    names = np.array(face.ARKIT_52)
    return {
        "pred": rng.random((frames, 52)),
        "pred_names": names,
        "pred_fps": 30.0,
        "ref": rng.random((frames, 52)),
        "ref_fps": 30.0,
        "bilabial": np.empty((0, 2)),
    } | changes


def test_clips_of_few_frames_have_no_velocity_and_no_jerk(tmp_path):
    path = write_fixture(tmp_path / "f.npz", [sample(1), sample(2), sample(3), sample(4)])
    rows = fixture.score_fixture(path)["per_sample"]
    one, two, three, four = rows
    assert one["lve_l2_mm"] > 0
    assert one["lip_velocity_error_mm_s"] is None
    assert one["av_lag_frames"] is None
    assert one["lip_opening_pearson"] is None
    assert one["fdd_sq_mm2"] == 0.0
    assert two["lip_velocity_error_mm_s"] > 0
    assert two["lip_jerk_pred_mm_s3"] is None
    assert three["lip_jerk_ratio"] is None
    assert four["lip_jerk_ratio"] > 0


def test_a_still_reference_has_no_correlation_and_no_ratio(tmp_path):
    still = np.tile(np.linspace(0, 1, 52), (40, 1))
    path = write_fixture(tmp_path / "f.npz", [sample(40, ref=still), sample(40, pred=still)])
    found = fixture.score_fixture(path)
    row, other = found["per_sample"]
    assert row["lip_opening_pearson"] is None
    assert row["lip_opening_std_ratio"] is None
    assert row["lip_jerk_ratio"] is None
    assert row["av_lag_frames"] is None
    assert other["lip_opening_pearson"] is None
    assert other["lip_opening_std_ratio"] == pytest.approx(0.0, abs=1e-12)
    assert found["aggregate"]["mean_lip_opening_pearson"] is None
    json.dumps(found, allow_nan=False)


def test_bad_samples_harm_only_themselves(tmp_path):
    broken = np.random.default_rng(0).random((9, 52))
    broken[3, 7] = np.nan
    unknown = np.array([*face.ARKIT_52[:-1], "tongueSideways"])
    samples = [
        sample(20),
        sample(9, pred=broken),
        sample(9, pred_names=unknown),
        sample(9, ref=np.empty((0, 52))),
        sample(20, pred_fps=60.0),
    ]
    del samples[0]["bilabial"]
    found = fixture.score_fixture(write_fixture(tmp_path / "f.npz", samples))
    rows = found["per_sample"]
    assert "no finite number for cheekSquintRight in frame 3" in rows[1]["error"]
    assert "tongueSideways" in rows[2]["error"]
    assert "no frames" in rows[3]["error"]
    assert rows[1]["lve_l2_mm"] is None
    assert rows[0]["bilabial_intervals_used"] == 0
    assert rows[4]["frames_pred"] == 10
    assert found["aggregate"]["frames_used_total"] == 30
    mean = (rows[0]["lve_l2_mm"] + rows[4]["lve_l2_mm"]) / 2
    assert found["aggregate"]["mean_lve_l2_mm"] == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"n_samples": 0}, "holds no samples"),
        ({"n_samples": 2}, "sample 1 lacks pred"),
        ({"lip_ids": np.array([99])}, "the lip list names vertices 99 to 99"),
        ({"lip_ids": np.array([], int)}, "the lip list is empty"),
        ({"names": np.array(["jawOpen"])}, "52 deltas but 1 names"),
        ({"unit_to_mm": np.nan}, "no length"),
    ],
)
def test_a_broken_fixture_is_refused(tmp_path, changes, complaint):
    path = write_fixture(tmp_path / "f.npz", [sample(9)], **changes)
    with pytest.raises(InputError, match=complaint):
        fixture.score_fixture(path)


def test_files_that_are_no_fixture(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="can't be read as an npz"):
        fixture.score_fixture(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", a=1)
    with pytest.raises(InputError, match="it lacks neutral, deltas"):
        fixture.score_fixture(tmp_path / "b.npz")
