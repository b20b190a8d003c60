# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender eval latency` on the neural engine: all nine stamps, in their order."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from exomni_core.engine import STAGES, load_engine
from exomni_core.metrics.latency import STAMPS
from exomni_core.prompt import Prompt
from render_jobs.cli.commands import main

REPLY = {"id": "r", "mode": "reply", "text": "Hello there.", "max_tokens": 8}


@pytest.mark.parametrize("way", ["whole", "--stream", "--compat=reference"])
def test_nine_stamps(tiny_model, tmp_path, way):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(REPLY) + "\n")
    arguments = ["eval", "latency", str(path), "--engine", "omni", "--model", str(tiny_model)]
    arguments += ["--n", "1", "--warmup", "1", "--json", *([way] if way != "whole" else [])]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output.strip().splitlines()[-1])
    row = found["rows"][0]
    stamps = {name: row[name] for name in STAMPS}
    assert None not in stamps.values()
    assert 0 < row["t1"] <= row["t2"]
    assert row["t3"] < row["t4"] < row["t5"]
    assert row["t8"] < row["t9"]
    assert row["t6"] <= row["t7"] <= row["delivered"]
    if way != "--stream":
        assert row["t2"] <= row["t3"]
        assert row["t5"] <= row["t8"]
    assert row["units"] > 0
    assert row["text_tokens"] == 8
    settings = found["settings"]
    assert settings["device"] == "cpu"
    assert settings["dtype"] == "float32"
    assert "scaled_dot_product_attention" in settings["attention"]
    assert settings["packages"]["torch"]


def test_a_listener_changes_no_clip(tiny_model):
    told: list[str] = []
    prompt = Prompt("r", mode="reply", text="Hello there.", max_tokens=8, seed=1)
    engines = [
        load_engine("omni", model=tiny_model, device="cpu", **extra)
        for extra in ({}, {"on_stage": told.append})
    ]
    plain, watched = (engine.generate(prompt) for engine in engines)
    assert (plain.audio == watched.audio).all()
    assert (plain.weights == watched.weights).all()
    assert set(told) == set(STAGES)
    assert [stage for stage in told if stage in ("text_done", "units_begin", "face_begin")] == [
        "text_done",
        "units_begin",
        "face_begin",
    ]
