# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches in groups of several clips: a prompt that fails harms only its own row."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_engine import FakeEngine

from exomni_core.clip import load_clip
from render_jobs.batch import plan as batch_plan
from render_jobs.batch import steps
from render_jobs.batch.plan import BatchOptions
from render_jobs.batch.run import Observer, Summary, run_batch
from render_jobs.workers.pool import WorkerCommand

FAKE = str(Path(__file__).with_name("fake_generate_worker.py"))
Run = Callable[..., tuple[Summary, list[list[str]]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that makes clips of some texts, and gives the rows and the groups asked for."""
    log = tmp_path / "groups"
    command = WorkerCommand("generate worker", (sys.executable, FAKE, str(log)))
    monkeypatch.setitem(steps.COMMANDS, steps.GENERATORS, lambda *_: command)

    def run(*texts: str, rows: int | None = 4) -> tuple[Summary, list[list[str]]]:
        log.write_text("")
        monkeypatch.setattr(batch_plan, "load_engine", lambda *_: FakeEngine(rows))
        prompts = tmp_path / "p.jsonl"
        lines = [json.dumps({"id": f"r{i}", "text": text}) for i, text in enumerate(texts)]
        prompts.write_text("\n".join(lines))
        options = BatchOptions(prompts, tmp_path / "out", video=False, workers=2)
        summary = run_batch(options, Observer())
        for row in summary.rows:
            if row.status != "failed":
                key = load_clip(tmp_path / "out" / str(row.clip)).provenance["key"]
                assert key == row.key["clip"]
        return summary, [line.split() for line in log.read_text().splitlines()]

    return run


def statuses(summary: Summary) -> list[str]:
    return [row.status for row in summary.rows]


def test_clips_are_made_in_groups_of_rows(run: Run) -> None:
    summary, groups = run(*"abcdef")
    assert statuses(summary) == ["done"] * 6
    assert groups == [["r0", "r1", "r2", "r3"], ["r4", "r5"]]


def test_an_engine_that_makes_one_at_a_time_gets_one_at_a_time(run: Run) -> None:
    summary, groups = run(*"abc", rows=None)
    assert statuses(summary) == ["done"] * 3
    assert sorted(groups) == [["r0"], ["r1"], ["r2"]]


@pytest.mark.parametrize(
    ("text", "says", "field"),
    [("bad", "p.jsonl:3: text: the text is odd", "text"), ("bug", "ZeroDivisionError: oops", None)],
)
def test_a_bad_prompt_harms_only_its_own_row(
    run: Run, text: str, says: str, field: str | None
) -> None:
    summary, groups = run("a", "b", text, "d")
    assert statuses(summary) == ["done", "done", "failed", "done"]
    assert says in str(summary.rows[2].error)
    assert summary.rows[2].field == field
    assert groups == [["r0", "r1", "r2", "r3"], ["r0", "r1"], ["r2", "r3"], ["r2"], ["r3"]]


def test_one_that_brings_the_worker_down_falls_alone(run: Run) -> None:
    summary, groups = run("a", "crash", "c", "d", "e")
    assert statuses(summary) == ["done", "failed", "done", "done", "done"]
    assert "ended by signal 9" in str(summary.rows[1].error)
    assert groups.count(["r0", "r1", "r2", "r3"]) == 2  # tried once more, as always
    assert groups.count(["r1"]) == 2


def test_a_rerun_asks_only_for_what_is_missing(run: Run) -> None:
    run("a", "bad", "c")
    summary, groups = run("a", "b", "c")
    assert statuses(summary) == ["skipped", "done", "skipped"]
    assert groups == [["r1"]]
