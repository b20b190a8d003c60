# SPDX-License-Identifier: GPL-3.0-or-later
"""A file, a folder, a batch run or a list of responses in, one item per clip by its id out.

Nothing is read here but lists: a clip that is missing or failed stays an item, with its reason, so
that it is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.formats.format import endings, readable
from exomni_core.storage.foreign import load_json, read_at_most
from exomni_core.storage.json_lines import MAX_BYTES, of_system, read_json_lines, whole_lines

LISTS: Final = ("responses.jsonl", "references.jsonl")
_NO_FACES: Final = {
    "reference.json", "provenance.json", "run.json", "study.json", "result.json", "rows.csv",
}  # fmt: skip
_A2F_FOLDER: Final = "animation_frames.csv"  # Audio2Face-3D writes one folder per clip
_CONFIG_KEYS: Final = ("model", "model_id", "model_version", "style", "config_sha256", "fps")


@dataclass(frozen=True)
class Item:
    """One clip of a system or of the reference.

    path: its face file, None if there is none. fps, names: as its list tells, for files that don't.
    error: why there is no face. config: what made it, as text (for references). text, language,
    audio: what is said, if the list tells.
    """

    id: str
    path: Path | None
    fps: float | None = None
    names: tuple[str, ...] | str | None = None
    error: str = ""
    system: str = ""
    config: str = ""
    text: str = ""
    language: str = ""
    audio: Path | None = None


def read_items(place: Path, *, system: str = "") -> tuple[Item, ...]:
    """All items at `place`, by id.

    place: a face file, a .jsonl of responses or references, or a folder with one of those lists, a
    batch run, or face files named by id. system: only these lines of a list. Raises InputError for
    an empty place, a doubled id, or several systems where none is chosen.
    """
    if place.is_dir():
        items = _of_folder(place, system)
    elif place.suffix.lower() == ".jsonl":
        items = _of_list(place, system)
    elif place.is_file():
        items = [Item(place.stem, place, config=_config_beside(place.parent))]
    else:
        raise InputError(f"there is no {place}")
    if not items:
        raise InputError(f"{place} holds no clips; nothing can be measured")
    doubled = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if doubled:
        raise InputError(f"{place} holds {doubled[0]!r} twice; keep one file for each id")
    return tuple(sorted(items, key=lambda item: item.id))


def pair_up(
    preds: Sequence[Item], refs: Sequence[Item], *, single: bool = False
) -> list[tuple[str, Item | None, Item | None]]:
    """(id, prediction, reference) of every id that either side knows, by id.

    single: two files that belong together whatever they are called. Raises InputError if no id is
    shared.
    """
    if single:
        return [(preds[0].id, preds[0], refs[0])]
    left, right = {i.id: i for i in preds}, {i.id: i for i in refs}
    if not left.keys() & right.keys():
        raise InputError(
            f"no id is on both sides: predictions are called {preds[0].id!r} ..., references "
            f"{refs[0].id!r} ..."
        )
    return [(name, left.get(name), right.get(name)) for name in sorted(left.keys() | right.keys())]


def one_config(refs: Iterable[Item]) -> str:
    """The configuration that made all references; InputError if there are several."""
    counts = Counter(item.config for item in refs if item.path is not None)
    if len(counts) > 1:
        told = "; ".join(f"{c or 'none told'}: {n}" for c, n in counts.most_common(3))
        raise InputError(
            f"the references were made by {len(counts)} configurations ({told}); compare with one"
        )
    return next(iter(counts), "")


def _of_folder(folder: Path, system: str) -> list[Item]:
    for name in LISTS:
        if (folder / name).is_file():
            return _of_list(folder / name, system)
    if (folder / "manifest.jsonl").is_file():
        return _of_batch(folder)
    config = _config_beside(folder)
    items = []
    for path in sorted(folder.iterdir()):
        inside = path / _A2F_FOLDER
        if path.is_dir() and inside.is_file():
            items.append(Item(path.name, inside, config=_config_beside(path) or config))
        elif _is_face(path):
            items.append(Item(path.stem, path, config=config))
    return items


def _is_face(path: Path) -> bool:
    known = path.suffix.lower() in endings(readable()) and path.name not in _NO_FACES
    return known and path.is_file() and not path.name.endswith(".names.json")


def _of_batch(folder: Path) -> list[Item]:
    """A batch run: the last row of each id; a prompt without an id is named by its line."""
    items: dict[str, Item] = {}
    for number, row in enumerate(whole_lines(_manifest(folder / "manifest.jsonl")), 1):
        name = str(row.get("id") or f"line-{row.get('line', number)}")
        clip = row.get("clip")
        path = _inside(folder, clip) if isinstance(clip, str) else None
        if path is not None and row.get("status") != "failed":
            items[name] = Item(name, path)
        else:
            items[name] = Item(name, None, error=str(row.get("error") or "no clip was made"))
    return list(items.values())


def _manifest(path: Path) -> bytes:
    try:
        return read_at_most(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} can't be read: {reason}") from error


def _of_list(path: Path, system: str) -> list[Item]:
    rows = of_system(read_json_lines(path), path, system)
    return [_item(row, path) for _, row in rows]


def _item(row: Mapping[str, Any], path: Path) -> Item:
    face, fps, names = row.get("face"), row.get("face_fps", row.get("fps")), row.get("face_names")
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise InputError(f"{path}: a line has no id", field="id")
    error = str(row.get("error") or "")
    if isinstance(names, list):
        names = tuple(str(name) for name in names)
    return Item(
        id=row["id"],
        path=path.parent / face if isinstance(face, str) and face and not error else None,
        fps=float(fps) if isinstance(fps, (int, float)) and not isinstance(fps, bool) else None,
        names=names if isinstance(names, (tuple, str)) else None,
        error=error or ("" if isinstance(face, str) and face else "its line names no face"),
        system=str(row.get("system", "")),
        config=_config(row),
        text=str(row.get("text") or ""),
        language=str(row.get("lang") or row.get("language") or ""),
        audio=path.parent / str(row["audio"]) if row.get("audio") else None,
    )


def _inside(folder: Path, name: str) -> Path | None:
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def _config_beside(folder: Path) -> str:
    path = folder / "reference.json"
    if not path.is_file():
        return ""
    try:
        data = load_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} can't be read as JSON: {error}") from error
    return _config(data) if isinstance(data, dict) else ""


def _config(row: Mapping[str, Any]) -> str:
    parts = [f"{key}={row[key]}" for key in _CONFIG_KEYS if row.get(key) not in (None, "")]
    return ", ".join(parts)
