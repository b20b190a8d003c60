# SPDX-License-Identifier: GPL-3.0-or-later
"""A script or transcript in -> its spoken words out: no stage directions, no speakers' names.

Careful by intent: what could be meant to be spoken stays, and what goes is told in a note.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from exomni_core.text.script_words import (
    FILLERS,
    NOISES,
    PRONOUNS,
    ROLES,
    SPOKEN_LABELS,
    STAGE_VERBS,
)
from exomni_core.text.subtitles import joined
from exomni_core.text.traced import Edit, Traced

_LONGEST_DIRECTION: Final = 6  # words
_MARKS_SHOWN: Final = 4  # of what is not spoken, in a note
_BRACKETS: Final = re.compile(
    r"\[[^\[\]\n]{1,80}\]|\([^()\n]{1,80}\)|（[^（）\n]{1,40}）|【[^【】\n]{1,40}】"
    r"|(?<![\w*])\*[^*\n]{1,40}\*(?![\w*])"
)
_CAPTION_SIGNS: Final = re.compile(r"[♩♪♫♬🎵🎶]+|(?<!\S)>>+(?!\S)")  # song; another speaker
_WORD: Final = re.compile(r"[^\s,;:!?。，、…/&]+")
# A name before a colon at the start of a line, or one in capitals after a sentence's end.
_NAME: Final = r"[^\W\d_](?:[\w.'’-]|[ \t](?=[\w(])){0,30}?(?:[ \t]?#?\d{1,2})?"
_LABEL: Final = re.compile(
    rf"(?:^|(?<=[.!?…。！？][ \t]))[ \t]*(?:[-–—•][ \t]*)?(?P<name>{_NAME})[ \t]*"
    r"(?:[\[(（][^\])）\n]{0,40}[\])）][ \t]*)?(?:：[ \t]*|:[ \t]+|:(?=\r?\n))(?=[^/\d])",
    re.MULTILINE,
)
_BRACKETED_LABEL: Final = re.compile(
    rf"^[ \t]*\[(?P<name>{_NAME})\][ \t]*[:：][ \t]*|^[ \t]*\[(?P<inner>{_NAME})[:：]\][ \t]*",
    re.MULTILINE,
)


def without_script_marks(text: Traced, *, is_transcript: bool) -> tuple[Traced, list[str]]:
    """`text` without stage directions and speakers' names, and notes of what is not spoken.

    is_transcript: of a recording, in which names before a colon are hardly ever spoken.
    """
    notes: list[str] = []
    names = _speakers(text.text, is_transcript)
    text = text.edited(Edit(a, b, " ") for a, b, _ in names)
    directions = _directions(text.text, set(_starts_after(names, text)))
    text = text.edited(Edit(a, b, " ") for a, b, _ in directions)
    signs = list(_CAPTION_SIGNS.finditer(text.text))
    text = text.edited(Edit(*m.span(), " ") for m in signs)
    if names:
        notes.append(f"not spoken, as speakers' names: {_list([name for _, _, name in names])}")
    if directions:
        shown = _list([words for _, _, words in directions])
        notes.append(f"not spoken, as stage directions: {shown}")
    if signs:
        notes.append(f"not spoken, as signs of captions: {_list([m.group() for m in signs])}")
    return text, notes


def _starts_after(names: list[tuple[int, int, str]], text: Traced) -> list[int]:
    """Where in the edited text something follows a speaker's name, which stood there before."""
    removed, starts = 0, []
    for start, end, _ in names:
        starts.append(start - removed + 1)
        removed += end - start - 1
    return [start for start in starts if start <= len(text.text)]


def _speakers(text: str, is_transcript: bool) -> list[tuple[int, int, str]]:
    """(start, end, name) of each speaker's name with its colon."""
    found = [
        (m.start(), m.end(), m.group("name") or m.group("inner"))
        for m in _BRACKETED_LABEL.finditer(text)
    ]
    labels = [m for m in _LABEL.finditer(text) if not _is_spoken_label(m.group("name"))]
    at_lines = Counter(_key(m.group("name")) for m in labels if _begins_line(text, m))
    turns = _is_dialogue(text, labels, at_lines, is_transcript)
    interview = {"q", "a"} <= set(at_lines)
    for match in labels:
        name = match.group("name")
        begins = _begins_line(text, match)
        if (
            (_is_capitals(name) and _begins_sentence(text[match.end() :]))
            or (_is_role(name) and (begins or name[-1].isdigit()))
            or (begins and interview and _key(name) in ("q", "a"))
            or (begins and _looks_like_name(name) and (turns or at_lines[_key(name)] >= 2))
        ):
            start = match.start("name")
            found.append((start, match.end(), name))
    spans = set(joined([(a, b) for a, b, _ in found]))
    return sorted({(a, b, name) for a, b, name in found if (a, b) in spans})


def _is_dialogue(
    text: str, labels: list[re.Match[str]], at_lines: Counter[str], is_transcript: bool
) -> bool:
    """Whether what stands before colons at the start of lines are people who speak in turn."""
    if sum(at_lines.values()) < 2:
        return False
    if is_transcript:
        return True
    names = [match.group("name") for match in labels]
    proven = any(_is_role(n) or _is_capitals(n) or at_lines[_key(n)] > 1 for n in names)
    lines = [line for line in text.split("\n") if line.strip()]
    return proven and sum(at_lines.values()) >= 0.6 * len(lines)


def _begins_sentence(rest: str) -> bool:
    """Whether `rest` begins as speech does: not with a small letter, as an explanation would."""
    first = next((c for c in rest if c.isalnum()), "")
    return not first.islower()


def _begins_line(text: str, match: re.Match[str]) -> bool:
    line_start = text.rfind("\n", 0, match.start("name")) + 1
    return not text[line_start : match.start("name")].strip(" \t-–—•")


def _key(name: str) -> str:
    return " ".join(name.casefold().split())


def _is_spoken_label(name: str) -> bool:
    """Whether it is one of the words that people do say before a colon ("Warning: ...")."""
    words = _key(name).split()
    return words[0].strip(".'’") in SPOKEN_LABELS or words[-1] in SPOKEN_LABELS or len(words) > 4


def _is_capitals(name: str) -> bool:
    letters = [c for c in name if c.isalpha()]
    return len(letters) >= 3 and all(c.isupper() for c in letters)


def _is_role(name: str) -> bool:
    words = [w for w in _key(name).split() if not w.strip("#").isdigit()]
    bare = [w.rstrip("0123456789") for w in words]
    return bool(bare) and bare[-1] in ROLES and len(bare) <= 2


def _looks_like_name(name: str) -> bool:
    """One to three words, each with a capital, or signs of a script that has none."""
    words = name.split()
    cased = [w for w in words if w[0].lower() != w[0].upper()]
    if any(w[0].islower() for w in cased):
        return False
    return len(words) <= 3 if cased else len(name) <= 6


def _directions(text: str, after_names: set[int]) -> list[tuple[int, int, str]]:
    """(start, end, words) of each bracket that is not meant to be spoken."""
    found = []
    for match in _BRACKETS.finditer(text):
        inside = match.group()[1:-1].strip()
        words = [w.strip(".'’\"").casefold() for w in _WORD.findall(inside)]
        if not words or len(words) > _LONGEST_DIRECTION:
            continue
        before = text[: match.start()].rstrip(" \t")
        opens = (
            not before
            or before[-1] in '.!?…:\n。！？：—–"”»'
            or any(k <= match.start() and not text[k : match.start()].strip() for k in after_names)
        )
        if _is_noise(words, inside) or (opens and _is_action(words, inside)):
            found.append((match.start(), match.end(), match.group()))
    return found


def _is_noise(words: list[str], inside: str) -> bool:
    """Only words for noises and manners, at least one of them: "soft music playing"."""
    known = [word in NOISES for word in words]
    others = [
        word in FILLERS or (len(word) > 4 and word.endswith("ly")) or word.isdigit()
        for word in words
    ]
    return (
        any(known)
        and all(a or b for a, b in zip(known, others, strict=True))
        and (not inside.endswith("?"))
    )


def _is_action(words: list[str], inside: str) -> bool:
    """What someone does, where a line or sentence begins: "turns to Mary", "angrily", "to Bob"."""
    if any(mark in inside for mark in "?!;"):
        return False
    if words[0] in STAGE_VERBS or (len(words) > 1 and words[0] in PRONOUNS and _acts(words[1])):
        return True
    manner = len(words) == 1 and len(words[0]) > 4 and words[0].endswith("ly")
    bare = inside.split()
    spoken_to = len(bare) == 2 and bare[0] in ("to", "To", "zu", "à") and bare[1][:1].isupper()
    return manner or spoken_to


def _acts(word: str) -> bool:
    return word in STAGE_VERBS or word in NOISES


def _list(found: list[str]) -> str:
    """What is not spoken, each once, not too many of them."""
    different = list(dict.fromkeys(" ".join(one.split()) for one in found))
    more = f" and {len(different) - _MARKS_SHOWN} more" if len(different) > _MARKS_SHOWN else ""
    return ", ".join(different[:_MARKS_SHOWN]) + more
