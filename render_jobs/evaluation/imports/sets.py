# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of A2F-Bench, Ex-A2F-EN and Seed-TTS-Eval in, their entries out.

Layouts are those of the releases; nothing is downloaded.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.metrics.speech.seedtts import LISTS, BadUtterance, language_of_list, read_list
from exomni_core.storage.foreign import load_json, read_text
from exomni_core.storage.json_lines import read_json_lines
from render_jobs.evaluation.imports.tables import Entry, inside

# Languages of UniTalker's sets where they are known; other sets need --language.
_SET_LANGUAGES: Final = {"D6": "zh"}
_TABLES: Final = ("table.jsonl", "table.csv", "translations.jsonl", "translations.csv")


def a2f_bench(
    root: Path,
    *,
    sets: Sequence[str] = ("D6",),
    split: str = "test",
    texts: Mapping[str, str] | None = None,
    language: str = "",
) -> Iterator[Entry]:
    """Entries of UniTalker's release: ROOT/D6_.../test.json names the sounds.

    texts: what is said, by the sound's name or path; the release has none. Raises InputError for a
    set or split that is not there.
    """
    for name in sets:
        folder = _set_folder(root, name)
        path = folder / f"{split}.json"
        spoken = language or _SET_LANGUAGES.get(name, "")
        if not spoken:
            raise InputError(
                f"the language of {name} isn't known; add --language", field="language"
            )
        for number, item in enumerate(_data(path), 1):
            yield _a2f_entry(root, folder, f"{name}-{split}", number, item, spoken, texts or {})


def ex_a2f_en(place: Path) -> Iterator[Entry]:
    """Entries of a translation table: a .csv or .jsonl with id, zh, en, wav, or a folder with one.

    wav is relative to the table's folder and may be empty. Raises InputError for a table that
    can't be read.
    """
    path = place if place.is_file() else _table_in(place)
    for number, row in read_table(path):
        name = _text(row, "id")
        error, audio = "", None
        wav, english = _text(row, "wav"), _text(row, "en")
        if not name:
            error = f"line {number} has no id"
        elif not english:
            error = f"line {number} has no English text in the column en"
        elif wav:
            try:
                audio = inside(path.parent, wav)
            except InputError as problem:
                error = str(problem)
        known = ("id", "zh", "en", "wav")
        meta = {"zh": _text(row, "zh"), **{k: v for k, v in row.items() if k not in known and v}}
        yield Entry(name or f"line-{number}", "test", "en", english, audio, meta=meta, error=error)


def seed_tts(place: Path, *, lists: Sequence[str] = (), language: str = "") -> Iterator[Entry]:
    """Entries of Seed-TTS-Eval: its folder (en/meta.lst, zh/meta.lst, zh/hardcase.lst) or one list.

    lists: of `en`, `zh`, `zh-hard`; default: those that are there.
    """
    if place.is_file():
        spoken = language or language_of_list(place)
        if not spoken:
            raise InputError(f"the language of {place} isn't known; add --language en or zh")
        found = [(place, spoken, place.stem)]
    else:
        known = [split for _, _, split in LISTS]
        if unknown := [name for name in lists if name not in known]:
            raise InputError(f"there is no list {unknown[0]!r}; there are {', '.join(known)}")
        found = [
            (place / file, code, split)
            for file, code, split in LISTS
            if split in lists or (not lists and (place / file).is_file())
        ]
        if not found:
            raise InputError(f"{place} holds none of {', '.join(file for file, _, _ in LISTS)}")
    for path, spoken, split in found:
        for row in read_list(path):
            if isinstance(row, BadUtterance):
                yield Entry(row.id or f"line-{row.line}", split, spoken, error=row.reason)
                continue
            told = {
                "prompt_text": row.prompt_text,
                "prompt_wav": row.prompt_wav,
                "gt_wav": row.gt_wav,
            }
            meta = {name: value for name, value in told.items() if value}
            yield Entry(row.id, split, spoken, row.text, reference=row.text, meta=meta)


def read_texts(path: Path) -> dict[str, str]:
    """A .csv or .jsonl table of id (or audio) and text -> text by id."""
    found: dict[str, str] = {}
    for number, row in read_table(path):
        name = _text(row, "id") or _text(row, "audio")
        if not name or not _text(row, "text"):
            raise InputError(f"{path}, line {number}: a text needs the columns id and text")
        found[name] = _text(row, "text")
    return found


def read_table(path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    """(line number, row) of a .jsonl file or of a .csv file with a header; InputError."""
    if path.suffix.lower() == ".jsonl":
        return list(read_json_lines(path))
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise InputError(f"{path} can't be read: {reason}") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    rows: list[tuple[int, Mapping[str, Any]]] = [(reader.line_num, row) for row in reader]
    if not rows:
        raise InputError(f"{path} is empty; a table has a line of column names and rows")
    return rows


def _set_folder(root: Path, name: str) -> Path:
    folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    found = [p for p in folders if p.name == name or p.name.startswith(f"{name}_")]
    if len(found) != 1:
        there = ", ".join(p.name for p in folders[:20]) or "no folders"
        raise InputError(f"{root} has no folder {name}_...; it has {there}", field="sets")
    return found[0]


def _data(path: Path) -> list[Any]:
    try:
        data = load_json(path)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} can't be read as JSON: {reason}") from error
    items = data.get("data") if isinstance(data, dict) else None
    if isinstance(items, dict):
        items = list(items.values())
    if not isinstance(items, list) or not items:
        raise InputError(f'{path} holds no list "data", as the release has it')
    return items


def _a2f_entry(
    root: Path,
    folder: Path,
    split: str,
    number: int,
    item: object,
    language: str,
    texts: Mapping[str, str],
) -> Entry:
    if not isinstance(item, dict) or not isinstance(item.get("audio_path"), str):
        return Entry(
            f"{split}-{number}", split, language, error=f"entry {number} has no audio_path"
        )
    told = item["audio_path"].replace("\\", "/")
    stem = Path(told).stem
    name = f"{split}-{stem}"
    error, audio = "", None
    try:
        audio = _first_inside(root, folder, told)
    except InputError as problem:
        error = str(problem)
    names = (name, stem, told, Path(told).name)
    text = next((texts[key] for key in names if key in texts), "")
    kept = ("annot_type", "annot_path", "fps", "dataset")
    meta = {key: item[key] for key in kept if item.get(key) is not None}
    if item.get("id") is not None:
        meta["identity"] = item["id"]
    meta["audio_path"] = told
    return Entry(name, split, language, text, audio, meta=meta, error=error)


def _first_inside(root: Path, folder: Path, told: str) -> Path:
    """The sound, whether its path is meant from the set's folder or from the root."""
    try:
        return inside(root, told, below=folder)
    except InputError:
        return inside(root, told)


def _table_in(folder: Path) -> Path:
    found = [folder / name for name in _TABLES if (folder / name).is_file()]
    if not found:
        raise InputError(f"{folder} holds none of {', '.join(_TABLES)}; name the table itself")
    return found[0]


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return str(value).strip() if isinstance(value, (str, int, float)) else ""
