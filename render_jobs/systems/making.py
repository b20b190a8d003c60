# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts in, what a system makes of each out: a face with its sound, a clip or a video.

Finished files are read, programs run, models driven; a fault stays with its own prompt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.clip import Clip, load_clip
from exomni_core.errors import ExOmniError, InputError, WorkerError
from exomni_core.formats.convert import read_face
from exomni_core.formats.face_track import FaceTrack
from render_jobs.systems.adapter import DriverInput, run_adapter
from render_jobs.systems.config import (
    AdapterSystem,
    ClipsSystem,
    CoefficientsSystem,
    ProgramSystem,
    System,
)
from render_jobs.systems.items import MODEL_RATE_HZ, SystemItem, write_item_wav
from render_jobs.systems.program import run_program
from render_jobs.workers.programs import Running


@dataclass(frozen=True, eq=False)
class Made:
    """What a system made of an item: coefficients with a sound, a clip, or a video."""

    track: FaceTrack | None = None
    clip: Clip | None = None
    video: Path | None = None
    name: str = ""
    sound: Path | None = None
    notes: tuple[str, ...] = ()


def make_face(system: System, item: SystemItem, work: Path, log: Path, running: Running) -> Made:
    """What the system has or makes of one item; not for adapters.

    work: a folder for unfinished files. log: where a program's words go. Raises InputError,
    WorkerError, and Cancelled after `running.stop()`.
    """
    if isinstance(system, ClipsSystem):
        path = system.folder / f"{item.item_id}.clip"
        return Made(clip=load_clip(path), name=path.name, sound=item.sound)
    if isinstance(system, CoefficientsSystem):
        return _from_files(system, item)
    assert isinstance(system, ProgramSystem)
    return _by_program(system, item, work / item.item_id, log, running)


def make_by_adapter(
    system: AdapterSystem,
    items: Sequence[SystemItem],
    work: Path,
    on_made: Callable[[SystemItem, Made | ExOmniError, float], None],
    running: Running,
) -> dict[str, Any]:
    """Have a model's driver make all items; on_made hears of each at once, with its seconds.

    Returns the driver's provenance; its log is `work`/driver.log. Raises InputError when it can't
    be started, and Cancelled after `running.stop()`.
    """
    inputs, by_id = [], {}
    for item in items:
        try:
            wav = write_item_wav(item, work / "wav", MODEL_RATE_HZ)
        except InputError as error:
            on_made(item, error, 0.0)
            continue
        by_id[item.item_id] = item
        out = work / "out" / f"{item.item_id}.npz"
        inputs.append(DriverInput(item.item_id, wav, out, item.text, item.language))
    (work / "out").mkdir(parents=True, exist_ok=True)
    outs = {one.item_id: one.out for one in inputs}
    began = time.perf_counter()

    def on_item(item_id: str, error: str) -> None:
        nonlocal began
        seconds, began = round(time.perf_counter() - began, 3), time.perf_counter()
        item = by_id[item_id]
        on_made(item, _adapter_result(outs[item_id], item, error), seconds)

    return run_adapter(system, inputs, work, on_item, running) if inputs else {}


def _by_program(
    system: ProgramSystem, item: SystemItem, work: Path, log: Path, running: Running
) -> Made:
    values = {"id": item.item_id, "text": item.text, "language": item.language, "audio": ""}
    if any("{audio}" in part for part in system.command):
        values["audio"] = str(write_item_wav(item, work, None).resolve())
    result = run_program(system, values, work.resolve(), log, running)
    notes = (f"it took {result.attempts} attempts",) if result.attempts > 1 else ()
    # What it was heard to speak; asked to move lips to a given sound, it keeps to that.
    sound = result.audio or item.sound
    name = f"{item.item_id}{system.output}"
    if system.output == ".clip":
        return Made(clip=load_clip(result.out), name=name, sound=sound, notes=notes)
    if system.output == ".mp4":
        return Made(video=result.out, name=name, notes=notes)
    track = read_face(result.out, fps=system.fps, names=system.names or None)
    return Made(track=track, name=name, sound=sound, notes=notes)


def _from_files(system: CoefficientsSystem, item: SystemItem) -> Made:
    path = system.folder / system.files.format(id=item.item_id)
    if not path.is_file():
        raise InputError(f"{path} is missing; make it, then run the same command again")
    sound = item.sound
    if system.audio and not item.from_run:
        sound = system.folder / system.audio.format(id=item.item_id)
    if sound is None:
        raise InputError(
            "there is no speech for these coefficients; give the prompt audio, name a pattern "
            "audio in systems.toml, or take another run's speech with --audio-from",
            field="audio",
        )
    track = read_face(path, fps=system.fps, names=system.names or None)
    if system.mouth_close == "claire":
        weights = track.weights.copy()
        weights[:, CHANNEL_INDEX["jawOpen"]] += weights[:, CHANNEL_INDEX["mouthClose"]]
        track = replace(track, weights=weights)
    return Made(track=track, name=path.name, sound=sound)


def _adapter_result(out: Path, item: SystemItem, error: str) -> Made | ExOmniError:
    if error:
        return WorkerError(error)
    try:
        track = read_face(out)
    except InputError as problem:
        return problem
    return Made(track=track, name=out.name, sound=item.sound)
