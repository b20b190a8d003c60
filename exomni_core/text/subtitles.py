# SPDX-License-Identifier: GPL-3.0-or-later
"""A text that may be subtitles (SubRip, WebVTT, LRC) in -> its spoken lines alone out."""

from __future__ import annotations

import re
from typing import Final

from exomni_core.text.traced import Edit, Traced

_TIME: Final = r"(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_TIMING: Final = re.compile(
    rf"(?P<name>(?:(?<=\A)|(?<=\n)|(?<=\s))\d{{1,6}}\s{{1,3}})?{_TIME}\s*-->\s*{_TIME}"
    r"(?:[ \t]+(?:align|line|position|size|vertical|region|[XY][12]):\S+)*"
)
_NAMED: Final = re.compile(rf"^[^\n]*\n(?={_TIME}\s*-->)", re.MULTILINE)  # a cue's name in WebVTT
_HEADER: Final = re.compile(r"\A\s*WEBVTT[^\n]*(?:\n(?!\s*\n)(?![^\n]*-->)[^\n]*)*")
_BLOCK: Final = re.compile(r"(?:(?<=\n)|\A)(?:NOTE|STYLE|REGION)\b[^\n]*(?:\n(?!\s*\n)[^\n]+)*")
_TAG: Final = re.compile(
    r"</?(?:[bicuv]|ruby|rt|lang|font|span)(?:[ .][^<>\n]*)?>|<\d[\d:.]*>|\{\\[^{}\n]*\}"
)
_LYRICS_TIME: Final = re.compile(r"[\[<](?:\d{1,2}:)?\d{1,2}:\d{2}(?:[.,:]\d{1,3})?[\]>]")


def without_subtitle_marks(text: Traced) -> tuple[Traced, list[str]]:
    """`text` without the numbers, times, headers and tags of subtitles, and notes of what went.

    A text without a line of times (`00:01:02,500 --> 00:01:04,000`) is left alone, except for
    times in brackets, which nobody speaks.
    """
    notes: list[str] = []
    raw = text.text
    if "-->" in raw and (timings := list(_TIMING.finditer(raw))):
        text = _without_timings(text, timings)
        notes.append(
            f"read as subtitles: the numbers and times of {_count(timings)} are not spoken"
        )
    stamps = list(_LYRICS_TIME.finditer(text.text))
    if stamps:
        text = text.edited(Edit(m.start(), m.end(), " ") for m in stamps)
        count = "1 time" if len(stamps) == 1 else f"{len(stamps)} times"
        notes.append(f"{count} in brackets not spoken, such as {stamps[0].group()}")
    return text, notes


def _without_timings(text: Traced, timings: list[re.Match[str]]) -> Traced:
    raw = text.text
    gone = [_span_of(timing, number, timings) for number, timing in enumerate(timings)]
    if header := _HEADER.match(raw):
        gone.append(header.span())
        gone += [m.span() for m in _BLOCK.finditer(raw)]
        gone += [m.span() for m in _NAMED.finditer(raw)]
    gone += [m.span() for m in _TAG.finditer(raw)]
    return text.edited(Edit(a, b, _blank_for(raw[a:b])) for a, b in joined(gone))


def _blank_for(mark: str) -> str:
    """What stands in the place of a mark: a tag parts no word, a time does."""
    return "" if mark[0] in "<{" else "\n"


def _span_of(timing: re.Match[str], number: int, timings: list[re.Match[str]]) -> tuple[int, int]:
    """A time with its cue's number before it, if that counts up; else the number is text."""
    start, end = timing.span()
    name = timing.group("name")
    if name is not None:
        before = timings[number - 1].group("name") if number else None
        counts_up = before is None or int(name) == int(before) + 1
        if not (counts_up or name.endswith("\n")):
            start += len(name)
    return start, end


def joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """`spans` in order, those that overlap as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif end > start:
            found.append((start, end))
    return found


def _count(timings: list[re.Match[str]]) -> str:
    return "1 cue" if len(timings) == 1 else f"{len(timings)} cues"
