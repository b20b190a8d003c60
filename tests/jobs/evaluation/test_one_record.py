# SPDX-License-Identifier: GPL-3.0-or-later
"""A metric is one record: rows, summary, tables, the suite's numbers and the docs follow."""

from __future__ import annotations

import numpy as np
import pytest
from docs_tables import face_metrics, liveliness

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.metrics.faces import dynamics, registry
from exomni_core.metrics.faces.basis import Regions, make_basis
from exomni_core.metrics.faces.table import summarise
from exomni_core.metrics.record import Line
from render_jobs.evaluation.face_text import face_markdown
from render_jobs.evaluation.suite.numbers import numbers_of
from render_jobs.evaluation.suite.scoring import Scored

JAW = CHANNEL_INDEX["jawOpen"]


@pytest.fixture
def two_more(monkeypatch):
    """A metric against the reference, and one of either side, that nobody has heard of."""
    jaw = registry.FaceMetric(
        "jaw_bias",
        lambda pair: float(pair.error[:, JAW].mean()),
        "mean of the jaw's error",
        (Line("jaw_bias", "bias of the jaw", "jaw's bias"), Line("jaw_bias_abs", "bias, absolute")),
        interval=True,
        absolute=True,
    )
    widest = dynamics.Liveliness(
        "widest",
        lambda face: float(face.weights[:, JAW].max()),
        "widest jaw",
        (Line("widest", "widest jaw"),),
    )
    monkeypatch.setattr(registry, "METRICS", (*registry.METRICS, jaw))
    monkeypatch.setattr(dynamics, "LIVELINESS", (*dynamics.LIVELINESS, widest))


def scored_row(name: str, jaw: float) -> dict:
    """A scored clip of one second whose jaw is too wide by `jaw`, on a head of four vertices."""
    offsets = np.zeros((52, 4, 3))
    offsets[JAW, :2, 1] = -1.0
    ids = np.arange(2)
    basis = make_basis(np.zeros((4, 3)), offsets, Regions(ids, ids + 2, np.empty((0, 2), int)), 1.0)
    ref = np.zeros((30, 52))
    ref[:, JAW] = np.linspace(0.0, 0.5, 30)
    pred = ref.copy()
    pred[:, JAW] += jaw
    row = {"id": name, "status": "scored", "reason": "", "warnings": [], "duration_s": 1.0,
           "frames_used": 30, "outside_pred": 0.0, "outside_ref": 0.0}  # fmt: skip
    row |= registry.clip_metrics(pred, ref, basis, 30.0)
    row |= {
        f"baseline_{b}_{k}": 0.0
        for b in ("neutral", "meanpose", "shuffled", "delayed_3", "delayed_6", "damped_0.7")
        for k in ("lve_l2_mm", "lve_sq_mm2")
    }
    for side, weights in (("pred", pred), ("ref", ref)):
        row |= dynamics.dynamics(weights, basis, 30.0, side)
    return row


def test_one_record_is_enough(two_more):
    rows = [scored_row("a", 0.25), scored_row("b", -0.75)]
    assert rows[0]["jaw_bias"] == pytest.approx(0.25)
    result = summarise(rows, seed=0)
    assert result["metrics"]["jaw_bias"]["mean"] == pytest.approx(-0.25)
    assert result["metrics"]["jaw_bias"]["low"] is not None
    assert result["metrics"]["jaw_bias_abs"]["mean"] == pytest.approx(0.5)
    assert result["dynamics"]["widest_pred"] == pytest.approx(0.25)
    settings = {
        "system": "s", "template": "t", "template_sha256": "0" * 64, "unit_to_mm": 1.0,
        "lips": "list", "lip_count": 2, "lip_sha256": "0" * 64, "upper": "list", "upper_count": 2,
        "reference_config": "", "options": {"ref_mouthclose": "asis", "clip01": False}, "notes": [],
    }  # fmt: skip
    text = face_markdown({"settings": settings, **result, "rows": rows})
    assert "| bias of the jaw | -0.250 [" in text
    assert "| bias, absolute | 0.500 | 2 |" in text
    assert "| widest jaw | 0.250 | 0.500 |" in text
    numbers = numbers_of([Scored("face", "s", "set", {**result, "by_mode": {}}, "rows")])
    assert {"jaw_bias", "jaw_bias_abs", "widest_pred"} <= {one["measure"] for one in numbers}


def test_the_docs_follow(monkeypatch, two_more):
    monkeypatch.setattr("docs_tables.METRICS", registry.METRICS)
    monkeypatch.setattr("docs_tables.LIVELINESS", dynamics.LIVELINESS)
    assert "| `jaw_bias` | mean of the jaw's error |" in face_metrics()
    assert "| `widest` | widest jaw |" in liveliness()
