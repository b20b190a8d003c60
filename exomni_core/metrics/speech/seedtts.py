# SPDX-License-Identifier: GPL-3.0-or-later
"""A Seed-TTS-Eval list in, its utterances out: what to say, in whose voice.

A line that can't be used becomes a BadUtterance and harms no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exomni_core.errors import InputError
from exomni_core.storage.files import is_file_name
from exomni_core.storage.foreign import read_text

# Where the lists of a download lie: (file, language, split).
LISTS: Final = (
    ("en/meta.lst", "en", "en"),
    ("zh/meta.lst", "zh", "zh"),
    ("zh/hardcase.lst", "zh", "zh-hard"),
)


@dataclass(frozen=True)
class Utterance:
    """One line. id: the name of its wav, without the ending. text: what is to be said.

    prompt_text, prompt_wav: the voice to imitate; gt_wav: a person saying it. Paths are as in the
    file, relative to the list's folder.
    """

    id: str
    text: str
    prompt_text: str = ""
    prompt_wav: str = ""
    gt_wav: str = ""


@dataclass(frozen=True)
class BadUtterance:
    """A line that can't be used, and why."""

    line: int
    reason: str
    id: str = ""


def read_list(path: Path) -> list[Utterance | BadUtterance]:
    """All lines of a list of 2, 3, 4 or 5 fields between `|`.

    `utt|text`, `utt|text|prompt_wav` (then an ending `.wav` of utt is cut), and
    `utt|prompt_text|prompt_wav|text[|gt_wav]`. Raises InputError if the file can't be read or has
    no line at all.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise InputError(f"{path} can't be read: {reason}", field="meta") from error
    rows: list[Utterance | BadUtterance] = []
    taken: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = _parse(line.strip("\r\n"), number)
        if isinstance(row, Utterance):
            first = taken.setdefault(row.id, number)
            if first != number:
                row = BadUtterance(number, f"its name is already used in line {first}", row.id)
        rows.append(row)
    if not rows:
        raise InputError(
            f"{path} has no lines; a line is utt|prompt_text|prompt_wav|text", field="meta"
        )
    return rows


def language_of_list(path: Path) -> str:
    """The language that the folder's name tells, as in the release; empty if it tells none."""
    name = path.resolve().parent.name.lower()
    return name if name in ("en", "zh") else ""


def _parse(line: str, number: int) -> Utterance | BadUtterance:
    fields = line.split("|")
    name = fields[0].strip()
    if not 2 <= len(fields) <= 5:
        return BadUtterance(
            number, f"line {number} has {len(fields)} fields between |; a list has 2 to 5", name
        )
    if len(fields) == 3:
        name = name.removesuffix(".wav")
    text = fields[3] if len(fields) >= 4 else fields[1]
    if not is_file_name(name):
        return BadUtterance(number, f"line {number} names its wav {name!r}; it must be a file name")
    if not text.strip():
        return BadUtterance(number, f"line {number} has no text to say", name)
    if len(fields) >= 4:
        gt_wav = fields[4].strip() if len(fields) == 5 else ""
        return Utterance(name, text, fields[1], fields[2].strip(), gt_wav)
    return Utterance(name, text, prompt_wav=fields[2].strip() if len(fields) == 3 else "")
