# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender batch --engine omni`: groups, resuming, and what makes a clip another clip."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import psutil
import soundfile

from exomni_core.clip import load_clip
from render_jobs.batch.folder import BatchFolder
from render_jobs.batch.plan import BatchOptions, make_plan

CLI = [sys.executable, "-m", "render_jobs.cli", "batch"]
PAST = [{"role": "user", "audio": "before.wav"}, {"role": "assistant", "text": "Hm."}]
PROMPTS: list[dict[str, Any]] = [
    {"id": "say", "text": "Good morning, my friend."},
    {"id": "answer", "text": "Who are you?", "mode": "reply", "max_tokens": 10},
    {"id": "lips", "audio": "asked.wav"},
    {"id": "bad", "text": "Hi.", "voice": "f2"},
    {"id": "again", "text": "And?", "mode": "reply", "max_tokens": 10, "history": PAST},
]


@pytest.fixture
def prompts(repo: Path, tmp_path: Path) -> Path:
    samples, rate_hz = soundfile.read(repo / "examples" / "recording.flac")
    soundfile.write(tmp_path / "asked.wav", samples[: 2 * rate_hz], rate_hz)
    soundfile.write(tmp_path / "before.wav", samples[-rate_hz:], rate_hz)
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(json.dumps(prompt) for prompt in PROMPTS) + "\n")
    return path


def command(prompts: Path, model: Path, *options: str) -> list[str]:
    out = str(prompts.with_name("out"))
    chosen = ["--engine", "omni", "--model", str(model), "--no-video", "--json", *options]
    return [*CLI, str(prompts), "--out", out, *chosen]


def run(prompts: Path, model: Path, *options: str, code: int = 0) -> dict[str, Any]:
    """The JSON summary."""
    done = subprocess.run(
        command(prompts, model, *options), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == code, done.stderr + done.stdout
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def rows(prompts: Path) -> list[dict[str, Any]]:
    text = (prompts.parent / "out" / "manifest.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def keys(prompts: Path, model: Path, **engine_options: Any) -> dict[str, str]:
    """The content key of each prompt's clip."""
    options = BatchOptions(
        prompts,
        prompts.with_name("out"),
        engine="omni",
        video=False,
        engine_options={"model": str(model), **engine_options},
    )
    plan = make_plan(options, BatchFolder(options.out))
    return {item.prompt.id: item.clip_key for item in plan.items}


def test_every_mode_is_made_and_a_bad_row_fails_alone(tiny_model: Path, prompts: Path) -> None:
    summary = run(prompts, tiny_model, code=1)
    assert (summary["done"], summary["failed"]) == (4, 1)
    table = rows(prompts)
    assert [row["status"] for row in table] == ["done", "done", "done", "failed", "done"]
    assert table[3]["error"].startswith("p.jsonl:4: voice: the omni engine has one voice")
    clips = {
        row["id"]: load_clip(prompts.parent / "out" / row["clip"]) for row in table if row["clip"]
    }
    for row in table:
        if row["clip"]:
            assert row["frames"] == len(clips[row["id"]].weights)
            assert row["key"]["clip"] == clips[row["id"]].provenance["key"]
            assert row["route"] == "units"
    assert clips["say"].text == "Good morning, my friend."
    assert clips["lips"].duration_s == pytest.approx(2.0)
    assert clips["answer"].text
    assert clips["again"].prompt["history"] == PAST
    assert str(prompts.parent) not in str([clip.prompt for clip in clips.values()])

    summary = run(prompts, tiny_model, "--rows", "2", "--device", "cpu", code=1)
    assert (summary["done"], summary["skipped"], summary["failed"]) == (0, 4, 1)


def test_what_changes_the_clip_changes_its_key_and_nothing_else(
    tiny_model: Path, prompts: Path
) -> None:
    first = keys(prompts, tiny_model)
    assert len(set(first.values())) == len(PROMPTS)
    same: tuple[dict[str, Any], ...] = (
        {"rows": 1},
        {"device": "cpu"},
        {"max_memory_bytes": 1 << 40},
        {"compat": "fixed"},
    )
    for options in same:
        assert keys(prompts, tiny_model, **options) == first
    others: tuple[dict[str, Any], ...] = (
        {"compat": "reference"},
        {"dtype": "bfloat16"},
        {"quantize": "int8"},
        {"align": True},
    )
    for options in others:
        assert not set(keys(prompts, tiny_model, **options).values()) & set(first.values())
    soundfile.write(prompts.with_name("before.wav"), [0.1, 0.2, 0.1], 16_000)
    changed = keys(prompts, tiny_model)
    assert {name for name in first if changed[name] != first[name]} == {"again"}
    prompts.with_name("before.wav").unlink()
    assert set(keys(prompts, tiny_model)) == set(first) - {"again"}


def test_a_killed_run_keeps_its_clips_and_a_killed_worker_is_replaced(
    tiny_model: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "p.jsonl"
    lines = [{"id": f"r{i}", "text": f"Number {i}, please."} for i in range(8)]
    prompts.write_text("\n".join(map(json.dumps, lines)))
    options = ("--rows", "2")
    process = subprocess.Popen(command(prompts, tiny_model, *options), stdout=subprocess.DEVNULL)
    clips = tmp_path / "out" / "clips"
    wait_for_clips(clips, 1)
    [worker] = [
        child
        for child in psutil.Process(process.pid).children()
        if "render_jobs.batch.generate_worker" in " ".join(child.cmdline())
    ]
    worker.kill()
    wait_for_clips(clips, 3)  # somebody took its place
    process.kill()
    process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in clips.glob("[!.]*")}
    summary = run(prompts, tiny_model, *options)
    assert summary["skipped"] == len(kept) >= 3
    assert summary["done"] == 8 - len(kept)
    assert all((clips / name).stat().st_mtime_ns == then for name, then in kept.items())


def wait_for_clips(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(folder.glob("[!.]*"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_missing_weights_stop_the_run_before_any_work(tmp_path: Path, prompts: Path) -> None:
    answer = run(prompts, tmp_path / "nowhere", code=3)
    assert "exorender models pull" in answer["error"]
