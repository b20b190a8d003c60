# SPDX-License-Identifier: GPL-3.0-or-later
"""Long batches: 300 prompts with flat memory and nothing left behind."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow
CLI = [sys.executable, "-m", "render_jobs.cli", "batch"]


def test_300_prompts_leave_memory_flat_and_nothing_behind(tmp_path: Path) -> None:
    """The parent's memory in the last third stays within 5 % of the first third's."""
    prompts = tmp_path / "many.jsonl"
    lines = [{"id": f"p{i}", "text": f"This is number {i}."} for i in range(300)]
    prompts.write_text("\n".join(map(json.dumps, lines)))
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    command = [*CLI, str(prompts), "--out", str(tmp_path / "out"), "--no-video", "--quiet"]
    process = subprocess.Popen(command, env=_environment(scratch), stdout=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    clips = tmp_path / "out" / "clips"
    samples: list[tuple[int, int]] = []  # finished clips, bytes
    files: list[int] = []
    seen: set[psutil.Process] = set()
    while process.poll() is None:
        try:
            samples.append((len(list(clips.glob("[!.]*"))), watched.memory_info().rss))
            files.append(watched.num_fds())
            seen |= set(watched.children(recursive=True))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.05)
    assert process.returncode == 0
    assert len(list(clips.iterdir())) == 300
    early = statistics.median(rss for done, rss in samples if 20 <= done < 100)
    late = statistics.median(rss for done, rss in samples if done >= 200)
    assert late <= 1.05 * early, f"{early / 1e6:.1f} MB grew to {late / 1e6:.1f} MB"
    assert max(files[-20:]) <= max(files[: len(files) // 2]) + 2
    _, alive = psutil.wait_procs(seen, timeout=10)
    assert not alive
    assert list(scratch.iterdir()) == []
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "clips",
        "manifest.jsonl",
        "errors.jsonl",
        "run.json",
        ".lock",
    }


def _environment(scratch: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(scratch)}
