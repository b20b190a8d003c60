# SPDX-License-Identifier: GPL-3.0-or-later
"""A system and a prompts file in, a run folder out as `batch` makes it: manifest, clips, videos.

With another run's speech, every system moves its lips to the same sound, so that `pairs` can set
the faces side by side. Each prompt stands alone; what is finished is not made again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.arkit import ARKIT_52
from exomni_core.clip import Clip, load_clip, load_face, save_clip
from exomni_core.errors import ClipError, ExOmniError, InputError, WorkerError
from exomni_core.formats.convert import clip_from_face
from exomni_core.prompt import BadLine
from exomni_core.storage.files import content_key, sha256_file
from render_jobs.batch.folder import BatchFolder, Journal, Row, lock_folder, work_folder, write_run
from render_jobs.batch.render_clips import RenderJob, render_clips
from render_jobs.systems.config import (
    AdapterSystem,
    ClipsSystem,
    CoefficientsSystem,
    EngineSystem,
    System,
    kind_of,
)
from render_jobs.systems.engine import run_engine
from render_jobs.systems.items import SystemItem, SystemOptions, read_items, sound_hash
from render_jobs.systems.making import Made, Maker

# Raise it when clips must be made anew although nothing in the key has changed.
SYSTEM_KEY_VERSION: Final = 1


RowCallback = Callable[[Row], None]


def run_system(
    system: System, options: SystemOptions, on_row: RowCallback | None = None
) -> list[Row]:
    """Do the whole run and return one row for each prompt, in file order.

    Raises InputError (prompts, folder, a program that can't be started), EnvironmentProblem.
    """
    if isinstance(system, EngineSystem):
        return run_engine(system, options, on_row or (lambda _: None))
    folder = BatchFolder(options.out)
    items, bad = read_items(options.prompts, options.audio_from)
    if options.limit:
        items = items[: options.limit]
    with lock_folder(folder), work_folder(folder):
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
        self.maker = Maker(system, folder)
        self.rows: dict[int, Row] = {}

    def finish(self, items: Sequence[SystemItem], bad: Sequence[BadLine]) -> list[Row]:
        journal = Journal(self.folder)
        try:
            for line in bad:
                self._record(journal, Row(line.id, line.line, "failed", engine=self.system.name,
                                          error=line.error, field=line.field))  # fmt: skip
            with contextlib.closing(self._clips(items)) as rows:
                made = [row for row in rows if self._keep(journal, row)]
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

    def _clips(self, items: Sequence[SystemItem]) -> Generator[Row]:
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
        # Closed at once when we are stopped: what runs for it must end.
        with contextlib.closing(self.maker.make(todo)) as results:
            for item, result, seconds in results:
                yield self._row_of(item, result, keys[item.item_id], seconds)

    def _row_of(
        self, item: SystemItem, result: Made | ExOmniError, key: str, seconds: float
    ) -> Row:
        if isinstance(result, ExOmniError):
            return self._failed(item, result)
        try:
            return self._store(item, result, key, seconds)
        except InputError as error:
            return self._failed(item, error)

    def _store(self, item: SystemItem, made: Made, key: str, seconds: float) -> Row:
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
        from render_jobs.video.encode import probe

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
