# SPDX-License-Identifier: GPL-3.0-or-later
"""A full disk is one sentence, wherever in a batch it shows."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exomni_core.errors import EnvironmentProblem, error_to_json, full_disk
from render_jobs.batch import folder
from render_jobs.batch.plan import BatchOptions
from render_jobs.batch.run import run_batch
from render_jobs.batch.runner import Observer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits the size of files")


def write_prompts(path: Path) -> Path:
    rows = [{"id": f"r{i}", "text": f"Hello there, number {i}."} for i in range(2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_manifest_that_can_not_grow_ends_the_run_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder, "_append", full)
    options = BatchOptions(write_prompts(tmp_path / "p.jsonl"), tmp_path / "out", video=False)
    with pytest.raises(
        EnvironmentProblem, match=r"out can't be written \(No space left.*free"
    ) as e:
        run_batch(options, Observer())
    assert "\n" not in str(e.value)
    assert not (tmp_path / "out" / ".work").exists()


def test_clips_that_do_not_fit_fail_by_one_sentence_each(tmp_path: Path) -> None:
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000));"
        "from render_jobs.cli import main; sys.argv = ['exorender', *sys.argv[1:]]; main()"
    )
    prompts = str(write_prompts(tmp_path / "p.jsonl"))
    command = ("batch", prompts, "--out", str(tmp_path / "out"), "--no-video")
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = (tmp_path / "out" / "errors.jsonl").read_text().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "can't be written (File too large)" in json.loads(line)["error"]


def test_only_a_lack_of_room_is_called_one() -> None:
    told = error_to_json(OSError(errno.ENOSPC, "No space left on device", "/a/b"))
    assert told["kind"] == "EnvironmentProblem"
    assert told["error"].startswith("/a/b can't be written (No space left on device)")
    assert full_disk(OSError(errno.EACCES, "Permission denied")) is None
