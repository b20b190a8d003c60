# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run ends, nothing is left of what a dead worker or its children had begun."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from fake_render_worker import LATE_S

from exomni_core.clip import save_clip
from exomni_core.storage.files import TEMPORARY_MARK
from render_jobs.batch import plan as batch_plan
from render_jobs.batch import single, steps
from render_jobs.batch.folder import BatchFolder, work_folder
from render_jobs.batch.plan import BatchOptions
from render_jobs.batch.run import Observer, run_batch
from render_jobs.batch.single import VideoOptions, render_clip
from render_jobs.evaluation.suite.config import read_config
from render_jobs.evaluation.suite.run import SuiteOptions, run_suite
from render_jobs.study.making.place import building
from render_jobs.workers.pool import WorkerCommand

HERE = Path(__file__).parent
DEAD = 4194303  # the largest number of a process; nobody has it


def marked(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if TEMPORARY_MARK in path.name]


def leave(*folders: Path) -> None:
    """What a killed process may have left there."""
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".x.{DEAD}-{number}{TEMPORARY_MARK}.png").write_bytes(b"half")


def stopped(*folders: Path) -> None:
    leave(*folders)
    raise KeyboardInterrupt


def write_prompts(folder: Path, *texts: str) -> Path:
    lines = [json.dumps({"id": f"r{i}", "text": text}) for i, text in enumerate(texts)]
    (folder / "p.jsonl").write_text("\n".join(lines))
    return folder / "p.jsonl"


@pytest.fixture
def render_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = (sys.executable, str(HERE / "fake_render_worker.py"), str(tmp_path / "died"))
    command = WorkerCommand("render worker", fake)
    monkeypatch.setitem(steps.COMMANDS, steps.RENDERERS, lambda *_: command)
    monkeypatch.setattr(single, "render_worker", lambda *_: command)


def test_a_clip_that_a_dead_worker_had_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = (sys.executable, str(HERE / "fake_generate_worker.py"), str(tmp_path / "log"))
    command = WorkerCommand("generate worker", fake)
    monkeypatch.setitem(steps.COMMANDS, steps.GENERATORS, lambda *_: command)
    monkeypatch.setattr(batch_plan, "load_engine", lambda *_: FakeEngine())
    prompts = write_prompts(tmp_path, "a", "half")
    summary = run_batch(BatchOptions(prompts, tmp_path / "out", video=False), Observer())
    assert [row.status for row in summary.rows] == ["done", "failed"]
    assert not marked(tmp_path / "out")


@pytest.mark.usefixtures("render_command")
def test_a_video_that_a_dead_workers_encoder_goes_on_writing(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path, "Hm.")
    summary = run_batch(BatchOptions(prompts, tmp_path / "out"), Observer())
    assert summary.rows[0].status == "done"
    time.sleep(1.5 * LATE_S)
    assert not marked(tmp_path / "out")
    assert (tmp_path / "out/videos/r0.mp4").read_bytes() == b"a video"


@pytest.mark.usefixtures("render_command")
def test_a_video_by_itself(tmp_path: Path, make_clip) -> None:
    from exomni_core.errors import WorkerError

    save_clip(make_clip(0.3), tmp_path / "a.clip")
    leave(tmp_path)
    video = tmp_path / "x.mp4"
    with pytest.raises(WorkerError):
        render_clip(tmp_path / "a.clip", video, VideoOptions())
    time.sleep(1.5 * LATE_S)
    assert not marked(tmp_path)
    assert render_clip(tmp_path / "a.clip", video, VideoOptions())["frames"] == 3


def test_every_folder_of_a_run_is_swept_at_both_ends(tmp_path: Path) -> None:
    out = tmp_path / "out"
    parts = [out, *(out / name for name in ("clips", "videos", "sheets", "audio"))]
    leave(*parts)
    with work_folder(BatchFolder(out)):
        assert not marked(out)
        leave(*parts, out / ".work")
    assert not marked(out)
    with pytest.raises(KeyboardInterrupt), work_folder(BatchFolder(out)):
        stopped(*parts)
    assert not marked(out)


def test_a_study_that_is_built_in_two_goes(tmp_path: Path) -> None:
    with building(tmp_path / "study") as folder:
        leave(folder / "made", folder / "rendered" / "some")
    assert (folder / "made").is_dir()
    assert not marked(folder)
    leave(folder / "made")
    with building(tmp_path / "study"):
        assert not marked(folder)


def test_a_suite(tmp_path: Path) -> None:
    write_prompts(tmp_path, "Hm.")
    (tmp_path / "suite.toml").write_text(
        '[suite]\ntitle = "t"\n[[set]]\nname = "one"\nprompts = "p.jsonl"\n'
        '[[system]]\nname = "ours"\nengine = "embedded"\n[metrics.sync]\n'
    )
    out = tmp_path / "out"
    leave(out, out / "rows" / "sync" / "ours", out / "runs" / "ours" / "one" / "clips")
    run_suite(read_config(tmp_path / "suite.toml"), SuiteOptions(out, workers=1))
    assert not marked(out)
