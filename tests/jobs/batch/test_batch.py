# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender batch` as its users run it: mixed prompts, kills, reruns, equal bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from exomni_core.clip import load_clip
from exomni_core.storage.files import TEMPORARY_MARK, sha256_file

CLI = [sys.executable, "-m", "render_jobs.cli", "batch"]
SMALL = ("--size", "64x96", "--fps", "10")
EN = "The quick brown fox jumps over the lazy dog."
ZH = "你好，今天天气很好。"
DE = "Guten Tag, wie geht es Ihnen?"


def run(prompts: Path, out: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the JSON summary."""
    command = [*CLI, str(prompts), "--out", str(out), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip(), done.stderr
    return done.returncode, json.loads(done.stdout.strip().splitlines()[-1])


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def write_prompts(path: Path, prompts: Sequence[dict[str, Any] | str]) -> Path:
    lines = [p if isinstance(p, str) else json.dumps(p, ensure_ascii=False) for p in prompts]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_tone(path: Path, seconds: float = 0.6, rate: int = 16000) -> None:
    t = np.arange(int(seconds * rate)) / rate
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 220 * t) * np.sin(np.pi * 3 * t) ** 2, rate)


def files_in(out: Path) -> set[str]:
    return {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Good rows in three languages and two modes between eight kinds of bad ones."""
    write_tone(tmp_path / "tone.wav")
    (tmp_path / "empty.wav").touch()
    good: list[dict[str, Any] | str] = [
        {"id": f"{code}-{i}", "text": text, "language": code}
        for i in range(2)
        for code, text in (("en", EN), ("zh", ZH), ("de", DE))
    ]
    return write_prompts(
        tmp_path / "prompts.jsonl",
        [
            *good,
            {"id": "说话", "audio": "tone.wav", "mode": "lipsync", "transcript": "Hello"},
            '{"id": "broken-1", "text": ',
            "not json at all",
            '["a", "list"]',
            {"id": "missing", "audio": "nowhere.wav"},
            {"id": "../escape", "text": EN},
            {"id": "zero", "audio": "empty.wav"},
            {"id": "en-0", "text": "the same id again"},
            {"id": "answer", "text": "Who are you?", "mode": "reply"},
        ],
    )


def test_good_rows_are_made_and_bad_rows_get_one_sentence(mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, summary = run(mixed, out, "--no-video")
    assert (code, summary["done"], summary["failed"]) == (1, 7, 8)
    table = rows(out)
    assert [row["line"] for row in table] == list(range(1, 16))
    for row in table[:7]:
        assert row["status"] == "done"
        clip = load_clip(out / row["clip"])
        assert row["frames"] == len(clip.weights)
        assert row["sha256"]["clip"] == sha256_file(out / row["clip"])
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert [e["line"] for e in errors] == list(range(8, 16))
    for error in errors:
        assert error["error"].startswith(f"prompts.jsonl:{error['line']}: ")
        assert "\n" not in error["error"]
        assert "Traceback" not in error["error"]
    fields = {e["line"]: e["field"] for e in errors}
    assert [fields[n] for n in (11, 12, 13, 14)] == ["audio", "id", "audio", "id"]
    assert fields[15] == "mode"
    assert not (tmp_path / "escape.clip").exists()
    assert not (out / ".work").exists()


def test_a_rerun_skips_what_is_finished_and_redoes_what_changed(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", [{"id": c, "text": EN} for c in "abc"])
    out = tmp_path / "out"
    run(prompts, out, "--no-video")
    before = {p: p.stat().st_mtime_ns for p in (out / "clips").iterdir()}
    assert run(prompts, out, "--no-video")[1]["skipped"] == 3
    assert before == {p: p.stat().st_mtime_ns for p in (out / "clips").iterdir()}
    (out / "clips" / "a.clip").unlink()
    (out / "clips" / "c.clip").write_bytes(b"damaged")
    write_prompts(
        prompts, [{"id": "a", "text": EN}, {"id": "b", "text": DE}, {"id": "c", "text": EN}]
    )
    code, summary = run(prompts, out, "--no-video")
    assert (code, summary["done"], summary["skipped"]) == (0, 3, 0)
    assert load_clip(out / "clips" / "b.clip").text == DE


def test_a_run_says_that_finished_rows_are_made_anew(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", [{"id": c, "text": "Hm."} for c in "ab"])

    def told(*options: str) -> str:
        command = [*CLI, str(prompts), "--out", str(tmp_path / "out"), *options]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "anew" not in told("--no-video", "--limit", "1")
    assert "anew" not in told("--no-video")
    assert "2 made again: the prompt" in told("--no-video", "--style", "lively")
    assert "anew" not in told("--style", "lively", *SMALL)  # the videos are the first
    assert "2 made again: the prompt" in told("--style", "lively", *SMALL, "--look", "clay")


def test_a_damaged_video_is_made_anew_and_frames_tell_of_what_was_asked(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", [{"id": "a", "text": "Hm."}])
    out = tmp_path / "out"
    run(prompts, out, *SMALL)
    first = rows(out)[0]
    video = out / first["video"]
    whole = video.read_bytes()
    video.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # its header still carries the key
    assert run(prompts, out, *SMALL)[1]["done"] == 1
    assert video.read_bytes() == whole
    run(prompts, out, "--no-video")
    assert rows(out)[0]["frames"] == len(load_clip(out / first["clip"]).weights) > first["frames"]


def test_a_changed_recording_is_animated_anew(tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav", 0.5)
    prompts = write_prompts(tmp_path / "p.jsonl", [{"id": "a", "audio": "tone.wav"}])
    run(prompts, tmp_path / "out", "--no-video")
    write_tone(tmp_path / "tone.wav", 0.9)
    assert run(prompts, tmp_path / "out", "--no-video")[1]["done"] == 1
    assert load_clip(tmp_path / "out/clips/a.clip").duration_s == pytest.approx(0.9)


def test_without_a_manifest_the_key_inside_the_file_counts(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", [{"id": "a", "text": "Hm."}])
    out = tmp_path / "out"
    run(prompts, out, *SMALL)
    first = rows(out)[0]
    (out / "manifest.jsonl").unlink()
    assert run(prompts, out, *SMALL, "--contact-sheet")[1]["skipped"] == 1
    second = rows(out)[0]
    assert (out / second["sheet"]).is_file()  # drawn from the finished video
    for name in ("clip", "video", "duration_s", "frames", "sha256", "key"):
        assert first[name] == second[name], name


def test_videos_and_clips_are_equal_in_every_folder(tmp_path: Path) -> None:
    prompts = write_prompts(
        tmp_path / "p.jsonl", [{"id": "a", "text": "One."}, {"id": "b", "text": "Two.", "seed": 5}]
    )
    run(prompts, tmp_path / "first", *SMALL, "--workers", "1", "--contact-sheet")
    run(prompts, tmp_path / "second", *SMALL, "--workers", "2", "--contact-sheet")
    for row, again in zip(rows(tmp_path / "first"), rows(tmp_path / "second"), strict=True):
        assert row["status"] == "done"
        assert row["sha256"] == again["sha256"]
    assert (tmp_path / "first/sheets/a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("wait_s", [0.3, 0.7, 1.1, 1.6])
def test_kill_9_of_the_command_loses_nothing(tmp_path: Path, wait_s: float) -> None:
    prompts = write_prompts(
        tmp_path / "p.jsonl", [{"id": f"r{i}", "text": f"{EN} {i}"} for i in range(12)]
    )
    out = tmp_path / "out"
    victim = subprocess.Popen(
        [*CLI, str(prompts), "--out", str(out), "--no-video"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(wait_s)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    finished = {p.name: p.stat().st_mtime_ns for p in (out / "clips").glob("[!.]*")}
    for name in finished:
        load_clip(out / "clips" / name)  # raises if it is half a file
    code, summary = run(prompts, out, "--no-video")
    assert (code, summary["done"] + summary["skipped"]) == (0, 12)
    assert summary["skipped"] == len(finished)
    after = {p.name: p.stat().st_mtime_ns for p in (out / "clips").iterdir()}
    assert all(after[name] == time_ns for name, time_ns in finished.items())
    assert not [f for f in files_in(out) if TEMPORARY_MARK in f]


@pytest.mark.parametrize("victim_is", ["command", "render worker"])
def test_kill_9_while_rendering(tmp_path: Path, victim_is: str) -> None:
    import psutil

    prompts = write_prompts(
        tmp_path / "p.jsonl", [{"id": f"v{i}", "text": f"Number {i}."} for i in range(3)]
    )
    out = tmp_path / "out"
    options = (*SMALL, "--workers", "1")
    command = [*CLI, str(prompts), "--out", str(out), "--json", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((out / "videos").glob("[!.]*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    children = psutil.Process(process.pid).children()
    if victim_is == "command":
        process.kill()
        process.wait()
        psutil.wait_procs(children, timeout=20)
        assert not [c for c in children if c.is_running() and c.status() != "zombie"]
        assert run(prompts, out, *options)[0] == 0
    else:
        render = [c for c in children if "render_jobs.video.worker" in " ".join(c.cmdline())]
        assert render
        os.kill(render[0].pid, signal.SIGKILL)
        assert process.wait(timeout=300) == 0
    table = rows(out)
    assert all(row["video"] and row["status"] in ("done", "skipped") for row in table)
    expected = {
        f"{kind}/v{i}.{end}"
        for i in range(3)
        for kind, end in (("clips", "clip"), ("videos", "mp4"))
    }
    assert files_in(out) == expected | {"manifest.jsonl", "errors.jsonl", "run.json", ".lock"}


def test_a_second_prompt_of_the_same_id_leaves_the_first_ones_row(tmp_path: Path) -> None:
    from render_jobs.batch.folder import read_rows

    good = {"id": "a", "line": 1, "status": "done", "clip": "clips/a.clip"}
    bad = {"id": "a", "line": 4, "status": "failed", "error": "id 'a' is already used in line 1"}
    later = {"id": "a", "line": 1, "status": "failed", "error": "the disk is full"}
    manifest = tmp_path / "manifest.jsonl"
    for rows, status in (([good, bad], "done"), ([good, bad, later], "failed")):
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert read_rows(manifest)["a"].status == status


def test_two_runs_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    from render_jobs.batch.folder import BatchFolder, lock_folder

    prompts = write_prompts(tmp_path / "p.jsonl", [{"id": "a", "text": EN}])
    with lock_folder(BatchFolder(tmp_path / "out")):
        code, answer = run(prompts, tmp_path / "out", "--no-video")
    assert code == 2
    assert "another exorender is at work" in answer["error"]


def test_an_unknown_template_stops_before_any_work(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.jsonl", [{"id": "a", "text": EN}])
    code, answer = run(prompts, tmp_path / "out", "--template", "nobody")
    assert code == 2
    assert "nobody" in answer["error"]
    assert not (tmp_path / "out" / "clips").exists()
