# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark's files hold in, a prompts file that `exorender batch` reads out.

bench, split and reference go into each prompt's `meta`, which is copied to every output. An entry
that can't be used is told and counted, and harms no other.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from exomni_core import __version__
from exomni_core.errors import InputError
from exomni_core.prompt import MAX_ID_BYTES, parse_prompt
from exomni_core.storage.files import check_writable, write_bytes, write_text

Mode = Literal["reply", "lipsync", "say"]
Given = Literal["audio", "text"]


@dataclass(frozen=True)
class Entry:
    """One prompt of a benchmark. name: of the entry, unique within its split.

    audio: an existing file below the benchmark's root, or `sound`: the bytes of one, with its
    ending. text: what is said or asked. reference: the answer that is right, or what is to be
    said. error: why it can't be used.
    """

    name: str
    split: str
    language: str
    text: str = ""
    audio: Path | None = None
    sound: tuple[bytes, str] | None = None
    reference: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class ImportOptions:
    """mode: what an engine shall do with it. given: whether it gets the sound or the text.

    For `lipsync` it gets the sound, with the text as transcript; for `say` the text.
    """

    bench: str
    mode: Mode
    given: Given = "audio"


def import_prompts(
    entries: Iterable[Entry], target: Path, options: ImportOptions
) -> dict[str, Any]:
    """Write `target`; returns counts, by split and in all, and the failures.

    Sounds that come as bytes are written to `audio/` beside it. Raises InputError if nothing can
    be used.
    """
    check_writable(target)
    lines: list[str] = []
    failures: list[dict[str, str]] = []
    counts: Counter[str] = Counter()
    taken: set[str] = set()
    renamed = 0
    for entry in entries:
        name = _free_id(entry, taken)
        try:
            data = _prompt(entry, name, target, options)
            parse_prompt(data, target.parent)
        except InputError as error:
            shown = f"{error.field}: {error}" if error.field else str(error)
            failures.append({"id": entry.name, "split": entry.split, "reason": shown})
            continue
        renamed += name != entry.name
        lines.append(json.dumps(data, ensure_ascii=False, default=str))
        counts[entry.split] += 1
    if not lines:
        why = f", such as {failures[0]['id']}: {failures[0]['reason']}" if failures else ""
        raise InputError(f"nothing of {options.bench} can be used{why}")
    write_text(target, "".join(f"{line}\n" for line in lines))
    return {
        "prompts": str(target),
        "settings": {
            "exomni": __version__,
            "bench": options.bench,
            "mode": options.mode,
            "given": options.given,
        },
        "counts": {
            "n": len(lines) + len(failures),
            "n_written": len(lines),
            "n_failed": len(failures),
            "n_renamed": renamed,
            "splits": dict(counts),
        },
        "failures": failures,
    }


def inside(root: Path, name: str, *, below: Path | None = None) -> Path:
    """The file `name`, relative to `below` (default: the root); InputError if it is not there.

    A path in a downloaded file must not lead out of the root.
    """
    path = (below or root) / name
    resolved = path.resolve()
    if not name or Path(name).is_absolute() or not resolved.is_relative_to(root.resolve()):
        raise InputError(f"its file {name!r} lies outside {root}")
    if not resolved.is_file():
        raise InputError(f"its file {name} is missing in {below or root}")
    return path


def safe_id(text: str) -> str:
    """Text as an id: what can't stand in a file name becomes `-`."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(c if c in "-_." or unicodedata.category(c)[0] in "LMN" else "-" for c in text)
    kept = kept.encode()[: MAX_ID_BYTES - 40].decode(errors="ignore")
    return kept.strip(".-") or "prompt"


def _free_id(entry: Entry, taken: set[str]) -> str:
    """The entry's name as an id; with its split, then a number, where that is taken."""
    base = safe_id(entry.name)
    candidates = [base, safe_id(f"{entry.split}-{entry.name}")]
    number = 2
    while candidates[0].casefold() in taken:
        candidates = candidates[1:] or [f"{base}-{number}"]
        number += len(candidates) == 1
    taken.add(candidates[0].casefold())
    return candidates[0]


def _prompt(entry: Entry, name: str, target: Path, options: ImportOptions) -> dict[str, Any]:
    """The line of a prompts file; InputError says what is missing."""
    if entry.error:
        raise InputError(entry.error)
    meta = {"bench": options.bench, "split": entry.split, "name": entry.name, **entry.meta}
    if entry.reference:
        meta["reference"] = entry.reference
    data: dict[str, Any] = {"id": name, "mode": options.mode, "language": entry.language}
    wants_sound = options.mode == "lipsync" or (
        options.mode == "reply" and options.given == "audio"
    )
    if wants_sound:
        data["audio"] = _sound(entry, name, target)
        if entry.text and options.mode == "lipsync":
            data["transcript"] = entry.text
        elif entry.text:  # what is said in the recording; the engine shall hear it
            meta["text"] = entry.text
    elif not entry.text.strip():
        raise InputError("its text isn't known; add --texts, or use its sound")
    else:
        data["text"] = entry.text
    return {**data, "meta": meta}


def _sound(entry: Entry, name: str, target: Path) -> str:
    if entry.sound is not None:
        raw, ending = entry.sound
        path = target.parent / "audio" / f"{name}{ending}"
        write_bytes(path, raw)
        return f"audio/{path.name}"
    if entry.audio is None:
        raise InputError("it has no sound; use its text")
    try:
        relative = os.path.relpath(entry.audio.resolve(), target.parent.resolve())
    except ValueError:  # another drive
        return str(entry.audio.resolve())
    return Path(relative).as_posix()
