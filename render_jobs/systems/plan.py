# SPDX-License-Identifier: GPL-3.0-or-later
"""A system, a prompts file and a run folder in, a plan out: what to make and what is finished.

Changes nothing. A clip counts as finished only if its content key says that the same system, prompt
and sound made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.clip import frame_count, load_hashed_clip
from exomni_core.errors import ClipError, InputError
from exomni_core.prompt import BadLine
from exomni_core.storage.files import content_key, sha256_file
from render_jobs.batch.folder import BatchFolder, Row
from render_jobs.batch.plan import Item, Plan, relative_to
from render_jobs.systems.config import (
    AdapterSystem,
    ClipsSystem,
    CoefficientsSystem,
    System,
    system_to_json,
)
from render_jobs.systems.items import SystemItem, SystemOptions, read_items, sound_hash
from render_jobs.systems.steps import face_notes
from render_jobs.video.make import carries_key, video_key
from templates.library import find_template, template_hash

# Raise it when clips must be made anew although nothing in the key has changed.
SYSTEM_KEY_VERSION: Final = 1


@dataclass(frozen=True)
class SystemPlan:
    """A plan, and what the system gets for each of its items, by id."""

    plan: Plan
    given: Mapping[str, SystemItem]


def plan_system(system: System, options: SystemOptions, folder: BatchFolder) -> SystemPlan:
    """Read prompts and folder, and say what is to be done; InputError for prompts and template."""
    found, bad_lines = read_items(options.prompts, options.audio_from)
    found = found[: options.limit] if options.limit else found
    template_sha256 = ""
    if options.video:
        template_sha256 = template_hash(find_template(options.settings.template))
    bad = [_bad_row(line, system) for line in bad_lines]
    items, given = [], {}
    for one in found:
        try:
            one = replace(one, sound_sha256=sound_hash(one))
            given[one.item_id] = one
            items.append(_plan_item(system, one, options, folder, template_sha256))
        except InputError as error:
            sentence = f"{where(options, one.line)}: {error}"
            line = BadLine(one.line, sentence, error.field, one.item_id)
            bad.append(_bad_row(line, system))
    return SystemPlan(Plan(tuple(items), tuple(bad), template_sha256), given)


def where(options: SystemOptions, line: int) -> str:
    """`prompts.jsonl:3`, the beginning of every sentence about a row."""
    return f"{options.prompts.name}:{line}"


def _plan_item(
    system: System, given: SystemItem, options: SystemOptions, folder: BatchFolder, template: str
) -> Item:
    row = Row(given.item_id, given.line, "done", engine=system.name)
    item = Item(given.line, given.prompt, _key(system, given), row)
    if options.overwrite:
        return item
    item = _resume(item, folder)
    if item.clip_sha256 is None:
        return item
    if not options.video:
        return replace(item, video_done=True)
    return _resume_video(item, options, folder, template)


def _resume(item: Item, folder: BatchFolder) -> Item:
    """The item with the clip that an earlier run has made of the same things, if it has."""
    path = folder.clip(item.item_id)
    try:
        clip, sha256 = load_hashed_clip(path)
    except ClipError:
        return item
    if clip.provenance.get("key") != item.clip_key:
        return item
    row = replace(
        item.row,
        status="skipped",
        clip=relative_to(path, folder),
        duration_s=round(clip.duration_s, 6),
        frames=len(clip.weights),
        route=clip.route,
        notes=face_notes(clip),
        seconds={"generate": 0.0},
        sha256={"clip": sha256},
        key={"clip": item.clip_key},
    )
    return replace(item, row=row, clip_sha256=sha256)


def _resume_video(
    item: Item, options: SystemOptions, folder: BatchFolder, template_sha256: str
) -> Item:
    assert item.clip_sha256 is not None
    video = folder.video(item.item_id)
    key = video_key(item.clip_sha256, template_sha256, options.settings)
    if not (video.is_file() and carries_key(video, key)):
        return item
    row = replace(
        item.row,
        video=relative_to(video, folder),
        frames=frame_count(item.row.duration_s or 0.0, options.settings.frame_rate.fps),
        sha256={**item.row.sha256, "video": sha256_file(video)},
        key={**item.row.key, "video": key},
    )
    return replace(item, row=row, video_done=True)


def _bad_row(bad: BadLine, system: System) -> Row:
    return Row(bad.id, bad.line, "failed", engine=system.name, error=bad.error, field=bad.field)


def _key(system: System, item: SystemItem) -> str:
    """What a clip is made of. Files of others are known by size and date."""
    plain = system_to_json(system)
    facts: dict[str, Any] = {
        "kind": plain.pop("kind"),
        "system": plain,
        "prompt": item.prompt.to_json(),
        "sound": item.sound_sha256,
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
