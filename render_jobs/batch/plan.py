# SPDX-License-Identifier: GPL-3.0-or-later
"""Options and a batch folder in, a plan out: what to make, what is finished, what can't be used.

Changes nothing. What lies in the folder counts as finished only if its content hash says that the
same prompt, engine, template and settings made it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from exomni_core.clip import frame_count, load_hashed_clip
from exomni_core.clip_notes import clip_notes
from exomni_core.engine import DEFAULT_ENGINE, Engine, load_engine
from exomni_core.errors import ClipError, InputError
from exomni_core.prompt import BadLine, Prompt, PromptLine, read_prompts
from exomni_core.storage.files import content_key, sha256_file
from render_jobs.batch.folder import BatchFolder, Row, read_rows
from render_jobs.settings import RenderSettings
from render_jobs.video.make import carries_key, video_key
from templates.library import find_template, template_hash

# Raise it when clips must be made anew although prompt and engine are the same.
CLIP_KEY_VERSION: Final = 1


@dataclass(frozen=True)
class BatchOptions:
    """What the user asked for. out: the folder; workers: processes per stage; limit: rows, 0 = all.

    engine_options: for `load_engine`, as plain data.
    seed, language, style: for prompts that give none.
    sheets: a contact sheet beside each video.
    """

    prompts: Path
    out: Path
    engine: str = DEFAULT_ENGINE
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    settings: RenderSettings = RenderSettings()
    workers: int = 1
    video: bool = True
    overwrite: bool = False
    limit: int = 0
    seed: int = 0
    language: str | None = None
    style: str = "neutral"
    blender: Path | None = None
    sheets: bool = False


@dataclass(frozen=True)
class Item:
    """One good prompt and what is to be made of it.

    clip_sha256: of the finished clip, or None if it must be made. video_done: nothing to render.
    row: the row as it will be if all goes well, as far as it is known. recordings: the sound files
    that the prompt names, path -> hex SHA-256. again: an earlier run had finished it, but its
    prompt, engine, head or picture is another now, or its file is lost.
    """

    line: int
    prompt: Prompt
    clip_key: str
    row: Row
    recordings: Mapping[str, str] = field(default_factory=dict)
    clip_sha256: str | None = None
    video_done: bool = False
    again: bool = False

    @property
    def item_id(self) -> str:
        """The prompt's id."""
        return self.prompt.id


@dataclass(frozen=True)
class Plan:
    """All rows of a run: what to make, what is finished, what can't be used.

    rows: clips that the engine makes at a time in one process; None: one, in many processes.
    """

    items: tuple[Item, ...]
    bad: tuple[Row, ...]
    template_sha256: str
    rows: int | None = None

    @property
    def todo(self) -> list[Item]:
        """The items that still need work."""
        return [item for item in self.items if item.clip_sha256 is None or not item.video_done]


def make_plan(options: BatchOptions, folder: BatchFolder) -> Plan:
    """Read the prompts and the folder, change nothing, and say what is to be done."""
    lines = read_prompts(options.prompts, {"style": options.style})
    if options.limit:
        lines = lines[: options.limit]
    before = {} if options.overwrite else read_rows(folder.manifest)
    with contextlib.closing(load_engine(options.engine, **options.engine_options)) as engine:
        return _plan_with(engine, lines, before, options, folder)


def _plan_with(
    engine: Engine,
    lines: Sequence[PromptLine | BadLine],
    before: Mapping[str, Row],
    options: BatchOptions,
    folder: BatchFolder,
) -> Plan:
    version = engine.version()
    template_sha256 = _template_hash(options)
    items, bad = [], []
    for entry in lines:
        if isinstance(entry, BadLine):
            bad.append(_bad_row(entry, options))
            continue
        try:
            item = _plan_item(entry, options, version, engine)
        except InputError as error:
            place = place_of(options, entry.line, error.field)
            bad_line = BadLine(entry.line, f"{place}: {error}", error.field, entry.prompt.id)
            bad.append(_bad_row(bad_line, options))
            continue
        if not options.overwrite:
            old = before.get(entry.prompt.id)
            item = _resume(item, old, options, folder, template_sha256)
            if old is not None and old.status in ("done", "skipped"):
                unlike = item.clip_sha256 is None or (bool(old.video) and not item.video_done)
                item = replace(item, again=unlike)
        items.append(item)
    return Plan(tuple(items), tuple(bad), template_sha256, _rows(engine, options))


def _rows(engine: Engine, options: BatchOptions) -> int | None:
    """How many clips the engine makes at a time, if it makes several."""
    rows = engine.capabilities().rows
    return options.engine_options.get("rows", rows) if rows > 1 else None


def _plan_item(entry: PromptLine, options: BatchOptions, version: str, engine: Engine) -> Item:
    prompt = entry.prompt
    if prompt.seed is None:
        prompt = replace(prompt, seed=options.seed)
    if prompt.language is None and options.language:
        prompt = replace(prompt, language=options.language)
    facts: dict[str, Any] = {
        "prompt": prompt.to_json(),
        "engine": [options.engine, version],
        "version": CLIP_KEY_VERSION,
    }
    recordings = {}
    if more := engine.depends_on(prompt):
        facts["depends_on"] = dict(more)
    if prompt.audio is not None:
        facts["audio"] = recordings[str(prompt.audio.resolve())] = _hash_of(prompt.audio, "audio")
    heard = [message.audio for message in prompt.history if message.audio is not None]
    if heard:
        facts["history_audio"] = [_hash_of(path, "history") for path in heard]
        recordings |= {
            str(p.resolve()): h for p, h in zip(heard, facts["history_audio"], strict=True)
        }
    row = Row(id=prompt.id, line=entry.line, status="done", engine=options.engine)
    return Item(entry.line, prompt, content_key(facts), row, recordings)


def _hash_of(recording: Path, culprit: str) -> str:
    try:
        return sha256_file(recording)
    except OSError as error:
        raise InputError(
            f"{recording} can't be read ({error.strerror}); check the path, which is relative to "
            "the prompts file",
            field=culprit,
        ) from error


def _resume(
    item: Item, old: Row | None, options: BatchOptions, folder: BatchFolder, template_sha256: str
) -> Item:
    """Find what of `item` is finished: the clip by the key inside it, then its video."""
    clip = folder.clip(item.prompt.id)
    try:
        loaded, sha256 = load_hashed_clip(clip)
    except ClipError:  # not there, or damaged
        return item
    if loaded.provenance.get("key") != item.clip_key:
        return item
    if old is None or old.key.get("clip") != item.clip_key:
        old = item.row  # that row tells of another clip
    row = replace(
        item.row,
        clip=relative_to(clip, folder),
        duration_s=round(loaded.duration_s, 6),
        frames=len(loaded.weights),
        route=loaded.route,
        confidence=round(loaded.confidence, 4),
        notes=clip_notes(loaded),
        seconds=old.seconds,
        sha256={"clip": sha256},
        key={"clip": item.clip_key},
    )
    item = replace(item, row=row, clip_sha256=sha256)
    return _resume_video(item, old, options, folder, template_sha256)


def _resume_video(
    item: Item, old: Row, options: BatchOptions, folder: BatchFolder, template_sha256: str
) -> Item:
    if not options.video:
        return replace(item, video_done=True, row=replace(item.row, status="skipped"))
    assert item.clip_sha256 is not None
    key = video_key(item.clip_sha256, template_sha256, options.settings)
    video, sheet = folder.video(item.prompt.id), folder.sheet(item.prompt.id)
    if not video.is_file():
        return item
    sha256 = sha256_file(video)
    # A row that knows this video knows its bytes; without one (killed before it was written) the
    # key in the file's header counts.
    known = old.key.get("video") == key
    finished = old.sha256.get("video") == sha256 if known else carries_key(video, key)
    if not finished:
        return item
    row = replace(
        item.row,
        status="skipped",
        video=relative_to(video, folder),
        frames=frame_count(item.row.duration_s or 0.0, options.settings.frame_rate.fps),
        sheet=relative_to(sheet, folder) if sheet.is_file() else None,
        notes=old.notes if known else item.row.notes,  # of how it was drawn, too
        sha256={**item.row.sha256, "video": sha256},
        key={**item.row.key, "video": key},
    )
    return replace(item, row=row, video_done=True)


def _template_hash(options: BatchOptions) -> str:
    if not options.video:
        return ""
    return template_hash(find_template(options.settings.template), options.settings.look)


def _bad_row(bad: BadLine, options: BatchOptions) -> Row:
    return Row(
        id=bad.id,
        line=bad.line,
        status="failed",
        engine=options.engine,
        error=bad.error,
        field=bad.field,
    )


def place_of(options: BatchOptions, line: int, culprit: str | None) -> str:
    """`prompts.jsonl:3: text`, the beginning of every sentence about a row."""
    return f"{options.prompts.name}:{line}" + (f": {culprit}" if culprit else "")


def relative_to(path: Path, folder: BatchFolder) -> str:
    """`path` as the manifest writes it, with forward slashes."""
    return path.relative_to(folder.root).as_posix()
