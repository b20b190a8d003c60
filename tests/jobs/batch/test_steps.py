# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps are plain data: a run whose steps go through JSON to another folder has equal bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elsewhere import Elsewhere
from system_tools import program

from exomni_core.audio import write_wav
from exomni_core.errors import EnvironmentProblem, InputError, WorkerError, error_to_json
from exomni_core.retime import FrameRate
from render_jobs.batch import steps
from render_jobs.batch.plan import BatchOptions
from render_jobs.batch.render_clips import WantedVideo, render_clips
from render_jobs.batch.run import run_batch
from render_jobs.batch.runner import Observer, Summary
from render_jobs.settings import RenderSettings
from render_jobs.systems import steps as system_steps
from render_jobs.systems.items import SystemOptions
from render_jobs.systems.run import run_system
from render_jobs.workers.executor import Crew, Executor, Step
from render_jobs.workers.wire import WireMessage

TINY = RenderSettings(width=64, height=96, frame_rate=FrameRate(10))
Told = list[WireMessage]


def write_prompts(folder: Path, *prompts: dict[str, Any]) -> Path:
    (folder / "p.jsonl").write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return folder / "p.jsonl"


def results(out: Path) -> dict[str, bytes]:
    """Every file of a run, without what clocks and the asker's words change."""
    found = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    del found["run.json"]
    rows = [json.loads(line) for line in found.pop("manifest.jsonl").splitlines()]
    plain = [{k: v if k != "seconds" else sorted(v) for k, v in row.items()} for row in rows]
    return found | {"rows": json.dumps(plain).encode()}


def elsewhere(make: Any, node: Path) -> tuple[Callable[..., Executor], list[Elsewhere]]:
    made: list[Elsewhere] = []

    def executor(crews: Sequence[Crew], work: Path) -> Executor:
        sent = [json.loads(json.dumps(vars(crew))) for crew in crews]
        made.append(Elsewhere(make([Crew(**crew) for crew in sent], work), node))
        return made[-1]

    return executor, made


def test_a_batch_elsewhere_gives_the_same_bytes(tmp_path: Path) -> None:
    rate = 16_000
    wave = 0.3 * np.sin(2 * np.pi * 220 * np.arange(rate) / rate).astype(np.float32)
    write_wav(tmp_path / "s.wav", wave, rate)
    prompts = write_prompts(
        tmp_path,
        {"id": "a", "text": "One."},
        {"id": "b", "audio": "s.wav", "mode": "lipsync"},
        {"id": "c", "audio": "missing.wav"},
    )
    settings = RenderSettings(**{**vars(TINY), "head_motion": 0.5})
    far, made = elsewhere(steps.local_executor, tmp_path / "node")
    for place, executor in (("near", steps.local_executor), ("far", far)):
        options = BatchOptions(prompts, tmp_path / place, settings=settings, sheets=True)
        summary = run_batch(options, Observer(), executor)
        assert [row.status for row in summary.rows] == ["done", "done", "failed"]
    assert results(tmp_path / "near") == results(tmp_path / "far")
    assert [step.name for step in made[0].steps].count("video") == 2
    (tmp_path / "far" / "sheets" / "a.png").unlink()
    options = BatchOptions(prompts, tmp_path / "far", settings=settings, sheets=True)
    run_batch(options, Observer(), far)
    assert [step.name for step in made[1].steps] == ["sheet"]
    assert (tmp_path / "far" / "sheets" / "a.png").is_file()


def test_a_system_elsewhere_gives_the_same_bytes(spoken: Path, tmp_path: Path) -> None:
    far, made = elsewhere(system_steps.local_executor, tmp_path / "node")
    for place, executor in (("near", system_steps.local_executor), ("far", far)):
        rows = run_system(
            program(tmp_path, "once", retries=1),
            SystemOptions(spoken, tmp_path / place, settings=TINY),
            None,
            executor,
        )
        assert [row.status for row in rows] == ["done", "done"]
        (tmp_path / "tool" / "tried").unlink()
    assert results(tmp_path / "near") == results(tmp_path / "far")
    assert sorted(step.name for step in made[0].steps) == ["face", "face", "video", "video"]


# ------------------------------------------------------------------- the runner and what it is told


class Scripted:
    """An executor that tells what the test says of each step, and stops as it is told."""

    def __init__(self, tell: Callable[[Step], Told], interrupt_after: int = 1000) -> None:
        self.tell, self.left = tell, interrupt_after
        self.told: list[tuple[int, WireMessage]] = []
        self.steps: list[Step] = []
        self.ended = ""

    def prepare(self, kind: str) -> None:
        pass

    def submit(self, step: Step) -> int:
        self.steps.append(step)
        number = len(self.steps)
        self.told += [(number, message) for message in self.tell(step)]
        return number

    def take(self) -> tuple[int, WireMessage]:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return self.told.pop(0)

    def close(self) -> None:
        self.ended = "closed"

    def kill(self) -> None:
        self.ended = "killed"


def failed(error: Exception) -> WireMessage:
    return {"event": "failed", **error_to_json(error)}


def clip_of(order: dict[str, Any]) -> WireMessage:
    facts = {"duration_s": 1.0, "frames": 30, "route": "x", "confidence": 1.0, "notes": ["n"]}
    return {
        "event": "made",
        "id": order["prompt"]["id"],
        "what": "clip",
        "facts": facts,
        "sha256": "0" * 64,
        "seconds": 0.1,
    }


def run(tmp_path: Path, executor: Scripted, *, video: bool = True) -> Summary:
    prompts = write_prompts(tmp_path, *({"id": name, "text": "Hm."} for name in "abc"))
    options = BatchOptions(prompts, tmp_path / "out", settings=TINY, video=video)
    return run_batch(options, Observer(), lambda *_: executor)


DRAWN = {"event": "done", "frames": 10, "seconds": {"render": 1.0}, "sha256": "1" * 64, "notes": []}


def good(step: Step) -> Told:
    if step.name == "generate":
        return [*map(clip_of, step.request["prompts"]), {"event": "done"}]
    return [{"event": "frames", "count": 4}, {"event": "frames", "count": 6}, DRAWN]


def test_a_step_whose_worker_dies_is_tried_once_more(tmp_path: Path) -> None:
    def tell(step: Step) -> Told:
        video = step.name == "video" and step.request["video"].endswith("b.mp4")
        return [failed(WorkerError("it died"))] if video else good(step)

    executor = Scripted(tell)
    summary = run(tmp_path, executor)
    assert [row.status for row in summary.rows] == ["done", "failed", "done"]
    assert summary.rows[1].error == "p.jsonl:2: it died"
    assert summary.rows[1].clip == "clips/b.clip"  # that is there
    assert summary.frames_rendered == 20
    asked = [step.request["video"][-5] for step in executor.steps if step.name == "video"]
    assert sorted(asked) == ["a", "b", "b", "c"]
    assert executor.ended == "closed"


def test_an_error_of_a_living_worker_is_not_tried_again(tmp_path: Path) -> None:
    def tell(step: Step) -> Told:
        return [failed(InputError("no", field="text"))] if step.name == "generate" else good(step)

    executor = Scripted(tell)
    summary = run(tmp_path, executor)
    assert [row.error for row in summary.rows] == [f"p.jsonl:{n}: text: no" for n in (1, 2, 3)]
    assert len(executor.steps) == 3


def test_a_step_that_says_nothing_of_an_item_fails_it(tmp_path: Path) -> None:
    summary = run(tmp_path, Scripted(lambda _: [{"event": "done"}]), video=False)
    assert ["without an answer" in str(row.error) for row in summary.rows] == [True] * 3


def test_when_it_is_stopped_what_is_done_is_in_the_books(tmp_path: Path) -> None:
    executor = Scripted(good, interrupt_after=1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, executor, video=False)
    assert executor.ended == "killed"
    manifest = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in manifest] == ["a"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "stopped"


@pytest.mark.parametrize(
    ("name", "error"),
    [("face", InputError("it can't be started")), ("video", EnvironmentProblem("no disk"))],
)
def test_what_is_wrong_with_the_machine_ends_a_systems_run(
    name: str, error: Exception, spoken: Path, tmp_path: Path
) -> None:
    def tell(step: Step) -> Told:
        if step.name == name:
            return [failed(error)]
        return [*(clip_of(one["item"]) for one in step.request["items"]), {"event": "done"}]

    executor = Scripted(tell)
    options = SystemOptions(spoken, tmp_path / "out", settings=TINY)
    with pytest.raises(type(error)):
        run_system(program(tmp_path, "good"), options, None, lambda *_: executor)
    assert executor.ended == "killed"


def test_clips_that_are_rendered_for_a_study(tmp_path: Path, make_clip: Any) -> None:
    from exomni_core.clip import save_clip

    wanted = []
    for name in ("good", "dies once", "dies", "odd"):
        save_clip(make_clip(0.2, text=name), tmp_path / f"{name}.clip")
        wanted.append(WantedVideo(name, tmp_path / f"{name}.clip", tmp_path / f"{name}.mp4"))
    tries: list[str] = []

    def tell(step: Step) -> Told:
        name = Path(step.request["clip"]).stem
        tries.append(name)
        if name == "dies" or (name == "dies once" and tries.count(name) == 1):
            return [failed(WorkerError("it died"))]
        return [failed(InputError("odd"))] if name == "odd" else good(step)

    frames: list[int] = []
    made = render_clips(
        wanted,
        TINY,
        tmp_path / "work",
        on_frames=frames.append,
        make_executor=lambda *_: Scripted(tell),
    )
    assert {name: one.error for name, one in made.items()} == {
        "good": "",
        "dies once": "",
        "dies": "it died",
        "odd": "odd",
    }
    assert made["good"].frames == 10
    assert sum(frames) == 20
    assert sorted(tries) == ["dies", "dies", "dies once", "dies once", "good", "odd"]
