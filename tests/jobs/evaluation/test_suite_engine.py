# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender eval suite` with the embedded engine: clips, synthetic references, speech, latency."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from render_jobs.cli.commands import main
from render_jobs.evaluation.suite.cells import read_set
from render_jobs.evaluation.suite.config import read_config

CONFIG = """
[suite]
title = "Small"
[[set]]
name = "en"
prompts = "en.jsonl"
synthetic = { from = "neutral", seed = 2 }
meta = "en/meta.lst"
[[system]]
name = "neutral"
engine = "embedded"
[[system]]
name = "quiet"
engine = "embedded"
prompt = { style = "quiet" }
[metrics.face]
[metrics.sync]
[metrics.consistency]
hyp = "hyp.jsonl"
[metrics.tts]
hyp = "hyp.jsonl"
[metrics.latency]
n = 1
warmup = 0
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The suite run twice; the second time with everything there."""
    place = tmp_path_factory.mktemp("suite")
    lines = [
        {"id": "one", "text": "Bob may buy a map.", "language": "en"},
        {"id": "two", "text": "Five wolves.", "language": "en"},
        {"id": "bad"},
    ]
    (place / "en.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (place / "hyp.jsonl").write_text(
        '{"id": "one", "text": "Bob may buy a mat"}\n{"id": "two", "text": "five wolves"}\n'
    )
    (place / "en").mkdir()
    (place / "en/meta.lst").write_text(
        "one|p|p.wav|Bob may buy a map.\ntwo|p|p.wav|Five wolves.\nbad|p|p.wav|Nothing.\n"
    )
    (place / "suite.toml").write_text(CONFIG)
    found = []
    for _ in range(2):
        command = ["eval", "suite", str(place / "suite.toml"), "-o", str(place / "out"), "--json"]
        ended = CliRunner().invoke(main, command)
        assert ended.exit_code == 1, ended.output
        found.append(json.loads(ended.output.strip().splitlines()[-1]))
    return place, found[0], found[1]


def result(found: dict[str, Any], metric: str, system: str) -> dict[str, Any]:
    one: dict[str, Any] = next(
        r for r in found["results"] if (r["metric"], r["system"]) == (metric, system)
    )
    return one


def test_engines_are_run_and_bad_prompts_counted(done):
    _, found, _ = done
    for metric in ("face", "sync", "consistency", "tts"):
        counts = result(found, metric, "quiet")["counts"]
        assert (counts["n"], counts["n_scored"], counts["n_failed"]) == (3, 2, 1), metric


def test_faces_are_measured_against_synthetic_references(done):
    place, found, _ = done
    near = result(found, "face", "neutral")
    assert "model=synthetic" in near["settings"]["reference_config"]
    assert 0 < near["metrics"]["lve_l2_mm"]["mean"] < near["baselines"]["neutral"]["lve_l2_mm"]
    assert "SYNTHETIC" in (place / "out/report.html").read_text()


def test_speech_is_scored(done):
    _, found, _ = done
    group = result(found, "consistency", "neutral")["groups"][0]
    assert group["error_rate"] == pytest.approx(100 * (1 / 5 + 0) / 2)
    tts = result(found, "tts", "neutral")["groups"]["en"]
    assert tts["missing"] == 1
    assert tts["error_rate"] == pytest.approx(10.0)
    assert tts["error_rate_with_missing"] == pytest.approx(100 * (0.2 + 0 + 1) / 3, abs=1e-3)


def test_sums_of_sync_come_from_its_rows(done):
    place, found, _ = done
    text = (place / "out/rows/sync/neutral/en.jsonl").read_text()
    rows = [row for row in map(json.loads, text.splitlines()) if row["status"] == "scored"]
    hits = sum((row["closure_hit"] or 0) * row["closure_hit_of"] for row in rows)
    count = sum(row["closure_hit_of"] for row in rows)
    share = result(found, "sync", "neutral")["groups"][0]["shares"]["closure_hit"]
    assert share["of"] == count > 0
    assert share["value"] == pytest.approx(hits / count)


def test_what_a_clock_measures_lies_apart_and_is_kept(done):
    place, first, second = done
    assert first["results"] == second["results"]
    plain = json.loads((place / "out/suite.json").read_text())
    assert "latency" not in {r["metric"] for r in plain["results"]}
    timed = json.loads((place / "out/latency.json").read_text())["results"]
    assert {r["metric"] for r in timed} == {"latency"}
    assert timed[0]["summary"]["items"] == 1


def test_the_report_shows_the_mouth_over_its_sounds(done):
    place, _, _ = done
    page = (place / "out/report.html").read_text()
    assert 'class="shut"' in page
    assert "synthetic reference" in page
    assert "2.158" in page
    assert "Seed-TTS-Eval" in page


def test_the_example_is_whole(repo):
    config = read_config(repo / "examples/suite/suite.toml")
    sets = [read_set(one) for one in config.sets]
    assert [one.config.name for one in sets] == ["en", "zh", "de"]
    for one in sets:
        assert not one.bad
        assert 0 < sum(mode == "lipsync" for mode in one.modes.values()) < len(one.ids)


@pytest.mark.slow
def test_the_example_runs_without_a_failure(repo, tmp_path):
    config = str(repo / "examples/suite/suite.toml")
    ended = CliRunner().invoke(main, ["eval", "suite", config, "-o", str(tmp_path), "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.output.strip().splitlines()[-1])
    assert found["counts"]["n_failed"] == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3 + 3 + 1 + 1 + 1  # errors, mouths, lags, durations, error rates
