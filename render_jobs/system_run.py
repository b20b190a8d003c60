# SPDX-License-Identifier: GPL-3.0-or-later
"""A system and a prompts file in, a run folder out as `batch` makes it: manifest, clips, videos.

With another run's speech, every system moves its lips to the same sound, so that `pairs` can set
the faces side by side. Each prompt stands alone; what is finished is not made again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.arkit import ARKIT_52
from exomni_core.clip import Clip, load_clip, load_face, save_clip
from exomni_core.errors import ClipError, EnvironmentProblem, ExOmniError, InputError, WorkerError
from exomni_core.files import remove_leftovers, sha256_file, write_text
from exomni_core.formats import FaceTrack, clip_from_face, read_face
from exomni_core.prompt import BadLine
from render_jobs.manifest import BatchFolder, Journal, Row, content_key, lock_folder, write_run
from render_jobs.settings import RenderSettings
from render_jobs.system_adapter import AdapterJob, run_adapter
from render_jobs.system_items import (
    MODEL_RATE_HZ,
    SystemItem,
    read_items,
    sound_hash,
    write_item_wav,
)
from render_jobs.system_program import run_program
from render_jobs.system_render import RenderJob, render_clips
from render_jobs.systems import (
    AdapterSystem,
    ClipsSystem,
    CoefficientsSystem,
    EngineSystem,
    ProgramSystem,
    System,
    kind_of,
)

# Raise it when clips must be made anew although nothing in the key has changed.
SYSTEM_KEY_VERSION: Final = 1


@dataclass(frozen=True)
class SystemOptions:
    """What the user asked for. audio_from: a run whose speech is used; limit: prompts, 0 = all."""

    prompts: Path
    out: Path
    audio_from: Path | None = None
    settings: RenderSettings = RenderSettings()
    video: bool = True
    blender: Path | None = None
    workers: int = 0
    overwrite: bool = False
    limit: int = 0


@dataclass(frozen=True, eq=False)
class _Made:
    """What a system made of an item: coefficients with a sound, a clip, or a video."""

    track: FaceTrack | None = None
    clip: Clip | None = None
    video: Path | None = None
    name: str = ""
    sound: Path | None = None
    notes: tuple[str, ...] = ()


RowCallback = Callable[[Row], None]


def run_system(
    system: System, options: SystemOptions, on_row: RowCallback | None = None
) -> list[Row]:
    """Do the whole run and return one row for each prompt, in file order.

    Raises InputError (prompts, folder, a program that can't be started), EnvironmentProblem.
    """
    if isinstance(system, EngineSystem):
        return _run_engine(system, options, on_row or (lambda _: None))
    folder = BatchFolder(options.out)
    items, bad = read_items(options.prompts, options.audio_from)
    if options.limit:
        items = items[: options.limit]
    with lock_folder(folder), _work(folder):
        run = _Run(system, options, folder, on_row or (lambda _: None))
        state = "stopped"
        try:
            rows = run.finish(items, bad)
            state = "finished"
        finally:
            write_run(folder, _Asked(options, asdict(system)), state, run.rows.values())
        return rows


@dataclass(frozen=True)
class _Asked:
    """What `run.json` records."""

    options: SystemOptions
    system: Mapping[str, Any]


class _Run:
    """One run's books; items are made, then rendered together."""

    def __init__(
        self, system: System, options: SystemOptions, folder: BatchFolder, on_row: RowCallback
    ) -> None:
        self.system, self.options, self.folder, self.on_row = system, options, folder, on_row
        self.rows: dict[int, Row] = {}

    def finish(self, items: Sequence[SystemItem], bad: Sequence[BadLine]) -> list[Row]:
        journal = Journal(self.folder)
        try:
            for line in bad:
                self._record(journal, Row(line.id, line.line, "failed", engine=self.system.name,
                                          error=line.error, field=line.field))  # fmt: skip
            made = [row for row in self._clips(items) if self._keep(journal, row)]
            for row in self._videos(made):
                self._record(journal, row)
        finally:
            ordered = [self.rows[line] for line in sorted(self.rows)]
            journal.close(ordered)
        return ordered

    def _keep(self, journal: Journal, row: Row) -> bool:
        """Whether a video is still to be made of it; else the row is final."""
        if row.status != "failed" and self.options.video and row.video is None:
            return True
        self._record(journal, row)
        return False

    def _record(self, journal: Journal, row: Row) -> None:
        self.rows[row.line] = row
        journal.add(row)
        self.on_row(row)

    def _clips(self, items: Sequence[SystemItem]) -> Iterator[Row]:
        """A row for every item, its clip made or found finished."""
        keys: dict[str, str] = {}
        todo: list[SystemItem] = []
        for item in items:
            try:
                key = keys[item.item_id] = _key(self.system, item)
            except InputError as error:
                yield self._failed(item, error)
                continue
            finished = None if self.options.overwrite else self._finished(item, key)
            if finished is None:
                todo.append(item)
            else:
                yield finished
        for item, result, seconds in self._make(todo):
            if isinstance(result, ExOmniError):
                yield self._failed(item, result)
                continue
            try:
                yield self._store(item, result, keys[item.item_id], seconds)
            except InputError as error:
                yield self._failed(item, error)

    def _make(
        self, items: Sequence[SystemItem]
    ) -> Iterator[tuple[SystemItem, _Made | ExOmniError, float]]:
        system = self.system
        if isinstance(system, AdapterSystem):
            yield from self._make_by_adapter(system, items)
            return
        workers = system.workers if isinstance(system, ProgramSystem) else 1
        with ThreadPoolExecutor(max(1, workers)) as threads:
            yield from zip(items, *_unzip(threads.map(self._make_one, items)), strict=True)

    def _make_one(self, item: SystemItem) -> tuple[_Made | ExOmniError, float]:
        started = time.perf_counter()
        try:
            made: _Made | ExOmniError = self._made(item)
        except EnvironmentProblem:
            raise
        except ExOmniError as error:
            made = error
        return made, round(time.perf_counter() - started, 3)

    def _made(self, item: SystemItem) -> _Made:
        if isinstance(self.system, ClipsSystem):
            path = self.system.folder / f"{item.item_id}.clip"
            return _Made(clip=load_clip(path), name=path.name, sound=item.sound)
        if isinstance(self.system, CoefficientsSystem):
            return _from_files(self.system, item)
        assert isinstance(self.system, ProgramSystem)
        return self._by_program(self.system, item)

    def _by_program(self, system: ProgramSystem, item: SystemItem) -> _Made:
        work = self.folder.work / item.item_id
        values = {"id": item.item_id, "text": item.text, "language": item.language, "audio": ""}
        if any("{audio}" in part for part in system.command):
            values["audio"] = str(write_item_wav(item, work, None).resolve())
        log = self.folder.root / "logs" / f"{item.item_id}.log"
        result = run_program(system, values, work.resolve(), log)
        notes = (f"it took {result.attempts} attempts",) if result.attempts > 1 else ()
        # What it was heard to speak; asked to move lips to a given sound, it keeps to that.
        sound = result.audio or item.sound
        name = f"{item.item_id}{system.output}"
        if system.output == ".clip":
            return _Made(clip=load_clip(result.out), name=name, sound=sound, notes=notes)
        if system.output == ".mp4":
            return _Made(video=result.out, name=name, notes=notes)
        track = read_face(result.out, fps=system.fps, names=system.names or None)
        return _Made(track=track, name=name, sound=sound, notes=notes)

    def _make_by_adapter(
        self, system: AdapterSystem, items: Sequence[SystemItem]
    ) -> Iterator[tuple[SystemItem, _Made | ExOmniError, float]]:
        work = self.folder.work / "adapter"
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
        errors: dict[str, str] = {}
        started = time.perf_counter()
        if jobs:
            facts = run_adapter(system, jobs, work, errors.__setitem__)
            self._keep_books(work, facts)
        seconds = round((time.perf_counter() - started) / max(1, len(jobs)), 3)
        for job in jobs:
            item = by_id[job.item_id]
            yield item, _adapter_result(job, item, errors[job.item_id]), seconds

    def _keep_books(self, work: Path, facts: Mapping[str, Any]) -> None:
        """The driver's log and provenance, beside the manifest."""
        with contextlib.suppress(OSError):
            shutil.copyfile(work / "driver.log", self.folder.root / "driver.log")
        text = json.dumps(dict(facts), ensure_ascii=False, indent=1)
        write_text(self.folder.root / "provenance.json", text + "\n")

    def _store(self, item: SystemItem, made: _Made, key: str, seconds: float) -> Row:
        row = self._row(item, key, seconds, made.notes)
        if made.video is not None:
            return self._store_video(row, made.video)
        clip = made.clip
        if clip is None:
            assert made.track is not None
            clip = clip_from_face(made.track, made.name, self._sound_file(made.sound))
        clip = replace(
            clip,
            text=clip.text or item.text,
            language=clip.language or item.language,
            prompt=item.prompt.to_json(),
            engine=self.system.name[:60],
            provenance={**clip.provenance, "key": key, "system": self.system.name},
        )
        path = self.folder.clip(item.item_id)
        sha256 = save_clip(clip, path)
        return replace(
            row,
            clip=path.relative_to(self.folder.root).as_posix(),
            duration_s=round(clip.duration_s, 6),
            frames=len(clip.weights),
            route=clip.route,
            notes=(*row.notes, *_clip_notes(clip)),
            sha256={"clip": sha256},
        )

    def _sound_file(self, sound: Path | None) -> Path | None:
        """A file that holds sound alone; a clip's is taken out as it is."""
        if sound is None or sound.suffix != ".clip":
            return sound
        flac = self.folder.work / f"{sound.stem}.flac"
        flac.write_bytes(load_face(sound).flac)
        return flac

    def _store_video(self, row: Row, made: Path) -> Row:
        from render_jobs.encode import probe

        assert row.id is not None
        try:
            info = probe(made)
        except WorkerError as error:
            raise InputError(f"it wrote no usable video ({error})") from error
        target = self.folder.video(row.id)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, target)
        return replace(
            row,
            video=target.relative_to(self.folder.root).as_posix(),
            duration_s=round(info.video_end_s, 6),
            frames=info.frames,
            sha256={"video": sha256_file(target)},
        )

    def _row(self, item: SystemItem, key: str, seconds: float, notes: Sequence[str]) -> Row:
        return Row(
            item.item_id, item.line, "done", engine=self.system.name, notes=tuple(notes),
            seconds={"generate": seconds}, key={"clip": key},
        )  # fmt: skip

    def _finished(self, item: SystemItem, key: str) -> Row | None:
        """The row of a clip that an earlier run has made of the same things."""
        path = self.folder.clip(item.item_id)
        try:
            clip = load_clip(path)
        except ClipError:
            return None
        if clip.provenance.get("key") != key:
            return None
        return replace(
            self._row(item, key, 0.0, _clip_notes(clip)),
            status="skipped",
            clip=path.relative_to(self.folder.root).as_posix(),
            duration_s=round(clip.duration_s, 6),
            frames=len(clip.weights),
            route=clip.route,
            sha256={"clip": sha256_file(path)},
        )

    def _failed(self, item: SystemItem, error: ExOmniError) -> Row:
        culprit = getattr(error, "field", None)
        place = f"{self.options.prompts.name}:{item.line}"
        return Row(item.item_id, item.line, "failed", engine=self.system.name,
                   error=f"{place}: {error}", field=culprit)  # fmt: skip

    def _videos(self, rows: Sequence[Row]) -> Iterator[Row]:
        """The rows with their videos."""
        jobs = [
            RenderJob(row.id, self.folder.clip(row.id), self.folder.video(row.id))
            for row in rows
            if row.id is not None
        ]
        if not jobs:
            return
        made = render_clips(jobs, self.options.settings, self.folder.work,
                            blender=self.options.blender, workers=self.options.workers)  # fmt: skip
        for row in rows:
            assert row.id is not None
            result = made[row.id]
            if result.error:
                yield replace(row, status="failed", error=result.error)
                continue
            yield replace(
                row,
                video=self.folder.video(row.id).relative_to(self.folder.root).as_posix(),
                frames=result.frames,
                sha256={**row.sha256, "video": result.sha256},
                key={**row.key, "video": result.key},
            )


def _unzip(pairs: Iterator[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    listed = list(pairs)
    return [a for a, _ in listed], [b for _, b in listed]


def _from_files(system: CoefficientsSystem, item: SystemItem) -> _Made:
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
    return _Made(track=track, name=path.name, sound=sound)


def _adapter_result(job: AdapterJob, item: SystemItem, error: str) -> _Made | ExOmniError:
    if error:
        return WorkerError(error)
    try:
        track = read_face(job.out)
    except InputError as problem:
        return problem
    return _Made(track=track, name=job.out.name, sound=item.sound)


def _key(system: System, item: SystemItem) -> str:
    """What a clip is made of. Files of others are known by size and date."""
    facts: dict[str, Any] = {
        "system": json.loads(json.dumps(asdict(system), default=str)),
        "kind": kind_of(system),
        "prompt": item.prompt.to_json(),
        "sound": sound_hash(item),
        "version": SYSTEM_KEY_VERSION,
        "exomni": __version__,
    }
    if isinstance(system, ClipsSystem):
        facts["file"] = _stamp(system.folder / f"{item.item_id}.clip")
    elif isinstance(system, CoefficientsSystem):
        facts["file"] = _stamp(system.folder / system.files.format(id=item.item_id))
    elif isinstance(system, AdapterSystem):
        facts["driver"] = _stamp(system.script, content=True)
        facts["checkpoint"] = _stamp(system.checkout / system.checkpoint)
    return content_key(facts)


def _stamp(path: Path, *, content: bool = False) -> list[Any]:
    try:
        if content:
            return [sha256_file(path)]
        known = path.stat()
        return [known.st_size, known.st_mtime_ns]
    except OSError:
        return []


def _clip_notes(clip: Clip) -> list[str]:
    """What the user should know of foreign coefficients."""
    notes = []
    facts = clip.provenance
    if outside := facts.get("clipped_values"):
        total = len(clip.weights) * len(ARKIT_52)
        notes.append(f"{outside / total:.1%} of the values lie outside 0 to 1; they are clipped")
    if missing := facts.get("missing_channels"):
        notes.append(f"without {', '.join(missing)}")
    for name, word in (("frames_added", "held"), ("frames_cut", "cut")):
        if facts.get(name, 0) > 3:
            notes.append(f"the last {facts[name]} frames are {word} to fit the sound")
    return notes


def _run_engine(system: EngineSystem, options: SystemOptions, on_row: RowCallback) -> list[Row]:
    """Let `batch` do it, on prompts that carry the system's fields and the other run's speech."""
    from render_jobs.batch import Observer, run_batch
    from render_jobs.batch_plan import BatchOptions

    class Watch(Observer):
        def row(self, row: Row) -> None:
            on_row(row)

    items, bad = read_items(options.prompts, options.audio_from)
    raw = options.prompts.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = {item.line: _engine_line(system, item, options, raw[item.line - 1]) for item in items}
    for line in bad:  # it stays a bad one, so that it is counted
        lacking = json.dumps({"id": line.id, "mode": "lipsync"})
        lines[line.line] = lacking if line.field == "audio" and line.id else _text(raw, line.line)
    prompts = options.out / "prompts.jsonl"
    write_text(prompts, "".join(lines[number] + "\n" for number in sorted(lines)))
    batch = BatchOptions(
        prompts=prompts,
        out=options.out,
        engine=system.engine,
        engine_options=system.options,
        settings=options.settings,
        workers=options.workers or 1,
        video=options.video,
        overwrite=options.overwrite,
        limit=options.limit,
        blender=options.blender,
    )
    return list(run_batch(batch, Watch()).rows)


def _engine_line(system: EngineSystem, item: SystemItem, options: SystemOptions, raw: bytes) -> str:
    """The line of the prompts file for this engine: its own fields, paths made absolute."""
    line: dict[str, Any] = {**json.loads(raw), **system.prompt}
    if item.from_run:
        for name in ("text", "voice", "rate", "history"):
            line.pop(name, None)
        wav = write_item_wav(item, options.out / "audio", None)
        line |= {"mode": "lipsync", "audio": str(wav.resolve())}
        line |= {"transcript": item.text} if item.text else {}
        line |= {"language": item.language} if item.language else {}
        return json.dumps(line, ensure_ascii=False)
    for part in (line, *line.get("history", ())):
        if isinstance(part, dict) and part.get("audio"):
            part["audio"] = str((options.prompts.parent / part["audio"]).resolve())
    return json.dumps(line, ensure_ascii=False)


def _text(raw: Sequence[bytes], line: int) -> str:
    return raw[line - 1].decode("utf-8", "replace").strip()


@contextlib.contextmanager
def _work(folder: BatchFolder) -> Iterator[None]:
    shutil.rmtree(folder.work, ignore_errors=True)
    for part in (folder.root, folder.clip("x").parent, folder.video("x").parent):
        remove_leftovers(part)
    folder.work.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        shutil.rmtree(folder.work, ignore_errors=True)
