# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts in, what a system makes of each out: a face with its sound, a clip or a video.

Finished files are read, programs run, models driven; a fault stays with its own prompt.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.clip import Clip, load_clip
from exomni_core.errors import Cancelled, EnvironmentProblem, ExOmniError, InputError, WorkerError
from exomni_core.formats.convert import read_face
from exomni_core.formats.face_track import FaceTrack
from exomni_core.storage.files import write_text
from render_jobs.batch.folder import BatchFolder
from render_jobs.systems.adapter import AdapterJob, run_adapter
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


Result = tuple[SystemItem, "Made | ExOmniError", float]


class Maker:
    """Has one system make things. Logs and provenance go beside the manifest of `folder`."""

    def __init__(self, system: System, folder: BatchFolder) -> None:
        self._system, self._folder = system, folder
        self._running = Running()

    def make(self, items: Sequence[SystemItem]) -> Generator[Result]:
        """Each item with what was made of it, or the error about it, and the seconds it took."""
        system = self._system
        if isinstance(system, AdapterSystem):
            yield from self._make_by_adapter(system, items)
            return
        workers = system.workers if isinstance(system, ProgramSystem) else 1
        with ThreadPoolExecutor(max(1, workers)) as threads:
            try:
                for item, (made, seconds) in zip(
                    items, threads.map(self._make_one, items), strict=True
                ):
                    yield item, made, seconds
            except BaseException:
                self._running.stop()
                threads.shutdown(wait=True, cancel_futures=True)
                raise

    def _make_one(self, item: SystemItem) -> tuple[Made | ExOmniError, float]:
        started = time.perf_counter()
        try:
            made: Made | ExOmniError = self._made(item)
        except (Cancelled, EnvironmentProblem):
            raise
        except ExOmniError as error:
            made = error
        return made, round(time.perf_counter() - started, 3)

    def _made(self, item: SystemItem) -> Made:
        if isinstance(self._system, ClipsSystem):
            path = self._system.folder / f"{item.item_id}.clip"
            return Made(clip=load_clip(path), name=path.name, sound=item.sound)
        if isinstance(self._system, CoefficientsSystem):
            return _from_files(self._system, item)
        assert isinstance(self._system, ProgramSystem)
        return self._by_program(self._system, item)

    def _by_program(self, system: ProgramSystem, item: SystemItem) -> Made:
        work = self._folder.work / item.item_id
        values = {"id": item.item_id, "text": item.text, "language": item.language, "audio": ""}
        if any("{audio}" in part for part in system.command):
            values["audio"] = str(write_item_wav(item, work, None).resolve())
        log = self._folder.root / "logs" / f"{item.item_id}.log"
        result = run_program(system, values, work.resolve(), log, self._running)
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

    def _make_by_adapter(
        self, system: AdapterSystem, items: Sequence[SystemItem]
    ) -> Generator[Result]:
        work = self._folder.work / "adapter"
        jobs, by_id = [], {}
        for item in items:
            try:
                wav = write_item_wav(item, work / "wav", MODEL_RATE_HZ)
            except InputError as error:
                yield item, error, 0.0
                continue
            by_id[item.item_id] = item
            jobs.append(AdapterJob(item.item_id, wav, work / "out" / f"{item.item_id}.npz",
                                   item.text, item.language))  # fmt: skip
        (work / "out").mkdir(parents=True, exist_ok=True)
        yield from self._heard(system, jobs, by_id, work)

    def _heard(
        self,
        system: AdapterSystem,
        jobs: Sequence[AdapterJob],
        items: Mapping[str, SystemItem],
        work: Path,
    ) -> Generator[Result]:
        """Results as the driver has them, so that a run that is stopped keeps what it has."""
        if not jobs:
            return
        results: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        outs = {job.item_id: job.out for job in jobs}
        with ThreadPoolExecutor(1) as thread:
            future = thread.submit(
                run_adapter, system, jobs, work,
                lambda item_id, error: results.put((item_id, error)), self._running,
            )  # fmt: skip
            future.add_done_callback(lambda _: results.put(None))
            began = time.perf_counter()
            try:
                while (heard := results.get()) is not None:
                    item = items[heard[0]]
                    seconds, began = round(time.perf_counter() - began, 3), time.perf_counter()
                    yield item, _adapter_result(outs[heard[0]], item, heard[1]), seconds
            except BaseException:
                self._running.stop()
                raise
            self._keep_books(work, future.result())

    def _keep_books(self, work: Path, facts: Mapping[str, Any]) -> None:
        """The driver's log and provenance, beside the manifest."""
        with contextlib.suppress(OSError):
            shutil.copyfile(work / "driver.log", self._folder.root / "driver.log")
        text = json.dumps(dict(facts), ensure_ascii=False, indent=1)
        write_text(self._folder.root / "provenance.json", text + "\n")


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
