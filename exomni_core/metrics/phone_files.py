# SPDX-License-Identifier: GPL-3.0-or-later
"""Praat TextGrid, CTM or JSON of who speaks what when in, timed speech sounds out.

JSON: a list, or {"phones": [...]}, of {"symbol", "start_s", "end_s"}.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from exomni_core.clip import Phone
from exomni_core.errors import InputError
from exomni_core.phonetics.phones import ARPABET_TO_IPA, is_closure
from exomni_core.storage.files import is_file_name
from exomni_core.storage.foreign import parse_json, read_text

ENDINGS: Final = (".textgrid", ".ctm", ".json")
_SILENCES: Final = {"", "sil", "sp", "spn", "<eps>", "_", "pau", "<s>", "</s>"}
_NUMBER: Final = r"-?\d+(?:\.\d+)?"
_QUOTED: Final = r'"((?:[^"]|"")*)"'
_TIER: Final = re.compile(rf'"(?:IntervalTier|TextTier)"\s*(?:name\s*=\s*)?{_QUOTED}')
_LONG: Final = re.compile(
    rf"xmin\s*=\s*({_NUMBER})\s*xmax\s*=\s*({_NUMBER})\s*text\s*=\s*{_QUOTED}"
)
_SHORT: Final = re.compile(rf"^({_NUMBER})\s*\n({_NUMBER})\s*\n{_QUOTED}", re.MULTILINE)


def find_phones(folder: Path, clip_id: str) -> Path | None:
    """The phone file of a clip in `folder` (ID.TextGrid, ID.ctm or ID.json), or None."""
    if not is_file_name(clip_id):
        return None
    for path in sorted(folder.glob(f"{_escaped(clip_id)}.*")):
        if path.suffix.lower() in ENDINGS and path.stem == clip_id:
            return path
    return None


def read_phones(path: Path) -> tuple[Phone, ...]:
    """Read one file; symbols may be IPA, ARPAbet (`AH0`) or pinyin initials. Raises InputError."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read as UTF-8 text: {error}") from error
    reader = {".textgrid": _text_grid, ".ctm": _ctm, ".json": _json}.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} is no phone file; known are TextGrid, ctm and json")
    phones = sorted(
        (Phone(_ipa(symbol), start, end) for symbol, start, end in reader(text, path)),
        key=lambda phone: phone.start_s,
    )
    if not phones:
        raise InputError(f"{path} holds no speech sounds")
    if any(not math.isfinite(p.start_s + p.end_s) or p.end_s < p.start_s for p in phones):
        raise InputError(f"{path}: a sound ends before it starts")
    return tuple(phones)


def phones_of(facts: Mapping[str, Any]) -> tuple[Phone, ...]:
    """The speech sounds that a clip.json tells."""
    return tuple(Phone(r["symbol"], r["start_s"], r["end_s"]) for r in facts["phones"])


def bilabial_intervals(phones: Iterable[Phone]) -> list[tuple[float, float]]:
    """(start, end) in seconds of every p, b and m."""
    return [(p.start_s, p.end_s) for p in phones if p.symbol and is_closure(p.symbol)]


def _text_grid(text: str, path: Path) -> list[tuple[str, float, float]]:
    tiers = list(_TIER.finditer(text))
    if not tiers:
        raise InputError(f"{path} is no TextGrid: it has no interval tier")
    chosen = next((t for t in tiers if "phone" in t[1].lower()), tiers[-1])
    after = [t.start() for t in tiers if t.start() > chosen.start()]
    body = text[chosen.end() : min(after, default=len(text))]
    rows = _LONG.findall(body) or _SHORT.findall(body)
    return [(label.replace('""', '"'), float(start), float(end)) for start, end, label in rows]


def _ctm(text: str, path: Path) -> list[tuple[str, float, float]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if not cells or line.startswith((";", "#")):
            continue
        try:
            start, length = float(cells[2]), float(cells[3])
            rows.append((cells[4], start, start + length))
        except (IndexError, ValueError) as error:
            raise InputError(
                f"{path}, line {number}: a CTM line is: name channel start duration symbol"
            ) from error
    return rows


def _json(text: str, path: Path) -> list[tuple[str, float, float]]:
    try:
        data = parse_json(text)
        rows = data["phones"] if isinstance(data, dict) else data
        return [(str(r["symbol"]), float(r["start_s"]), float(r["end_s"])) for r in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'{path} should list {{"symbol", "start_s", "end_s"}} under "phones"'
        ) from error


def _ipa(symbol: str) -> str:
    bare = symbol.strip()
    if bare.lower() in _SILENCES:
        return ""
    return ARPABET_TO_IPA.get(bare.rstrip("012").split("_")[0], bare)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
