# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder by some system in, its items by id out: a batch run, a folder of clips, or of videos.

Only looks; nothing is rendered, copied or changed here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from exomni_core.clip import load_clip
from exomni_core.errors import ClipError, InputError
from exomni_core.prompt import check_id
from render_jobs.batch.folder import BatchFolder, read_rows

VIDEO_SUFFIXES: Final = (".mp4", ".mov", ".mkv", ".webm")
UNKNOWN_LANGUAGE: Final = "und"
_PREFIX: Final = re.compile(r"(en|zh|de|fr|es|it|ja|ko|pt|ru)[-_.]", re.IGNORECASE)
_SYSTEM_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]|_(?!_))*")


@dataclass(frozen=True)
class RunItem:
    """What a system made of one prompt. duration_s: of its clip's sound, 0 where there is no clip.

    error: why there is nothing, in one sentence.
    """

    item_id: str
    clip: Path | None = None
    video: Path | None = None
    language: str = ""
    duration_s: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Run:
    """One side of a study. kind: how the folder was read, for the description."""

    name: str
    folder: Path
    kind: str
    items: Mapping[str, RunItem] = field(default_factory=dict)


def read_run(folder: Path, name: str = "") -> Run:
    """Read a run; `name` is what it is called in the study, by default after its folder.

    Raises InputError when the folder holds neither a manifest nor clips nor videos.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name what exorender batch made", field="run")
    name = check_system_name(name or _name_after(folder))
    if (folder / "manifest.jsonl").is_file():
        return Run(name, folder, "batch run", _batch_items(folder))
    clips = _files_by_id(folder, "clips", (".clip",))
    videos = _files_by_id(folder, "videos", VIDEO_SUFFIXES)
    if not clips and not videos:
        raise InputError(
            f"{folder} holds no manifest.jsonl, no .clip and no .mp4 file; name what exorender "
            "batch made, or a folder of clips or videos named by prompt id",
            field="run",
        )
    items = {
        key: _with_clip_facts(RunItem(key, clips.get(key), videos.get(key)))
        for key in sorted(clips.keys() | videos.keys())
    }
    return Run(name, folder, "clips" if clips else "videos", items)


def read_runs(folders: Sequence[Path], names: Sequence[str] = ()) -> list[Run]:
    """Several runs, each under a name of its own; InputError for a name that stands twice."""
    if names and len(names) != len(folders):
        raise InputError(
            f"{len(names)} names were given for {len(folders)} runs; give one each", field="names"
        )
    runs = [
        read_run(folder, name)
        for folder, name in zip(folders, names or [""] * len(folders), strict=True)
    ]
    for number, run in enumerate(runs):
        if run.name in [other.name for other in runs[:number]]:
            raise InputError(
                f"two runs are called {run.name!r}; tell them apart with --names a,b", field="names"
            )
    return runs


def check_system_name(name: str) -> str:
    """The name if it can stand in a pair's id; InputError."""
    if len(name) > 60 or not _SYSTEM_NAME.fullmatch(name):
        raise InputError(
            f"{name[:60]!r} can't name a system; use letters, digits, '-', '.' and single '_'",
            field="names",
        )
    return name


def shared_language(item_id: str, runs: Sequence[Run]) -> str:
    """The language of an item: what a run says, else a prefix of its id such as `zh_`, else und."""
    for run in runs:
        item = run.items.get(item_id)
        if item is not None and item.language:
            return item.language
    found = _PREFIX.match(item_id)
    return found[1].lower() if found else UNKNOWN_LANGUAGE


def _name_after(folder: Path) -> str:
    squeezed = re.sub(r"[^A-Za-z0-9.-]+", "_", folder.resolve().name).strip("_.-")
    return squeezed[:60] or "system"


def _batch_items(folder: Path) -> dict[str, RunItem]:
    layout = BatchFolder(folder)
    items: dict[str, RunItem] = {}
    for item_id, row in read_rows(layout.manifest).items():
        if not _is_id(item_id):
            continue
        clip, video = layout.clip(item_id), layout.video(item_id)
        item = RunItem(
            item_id,
            clip if row.clip and clip.is_file() else None,
            video if row.video and video.is_file() else None,
        )
        if row.status == "failed":
            item = RunItem(item_id, error=row.error or "it failed without a word")
        elif item.clip is None and item.video is None:
            item = RunItem(item_id, error="its files are gone from the run's folder")
        items[item_id] = _with_clip_facts(item)
    return items


def _files_by_id(folder: Path, inner: str, suffixes: Sequence[str]) -> dict[str, Path]:
    """Files with those suffixes in `folder` and `folder/inner`, by stem; the first suffix wins."""
    found: dict[str, Path] = {}
    for place in (folder, folder / inner):
        for suffix in suffixes:
            for path in sorted(place.glob(f"*{suffix}")):
                if path.is_file() and _is_id(path.stem):
                    found.setdefault(path.stem, path)
    return found


def _is_id(text: str) -> bool:
    try:
        return check_id(text) == text
    except InputError:
        return False


def _with_clip_facts(item: RunItem) -> RunItem:
    """The item with the language that its clip tells; a broken clip becomes its error."""
    if item.clip is None:
        return item
    try:
        clip = load_clip(item.clip)
    except ClipError as error:
        return RunItem(item.item_id, error=str(error))
    base = clip.language.replace("_", "-").partition("-")[0].lower()
    language = {"cmn": "zh", "yue": "zh"}.get(base, base)
    return replace(item, language=language, duration_s=clip.duration_s)
