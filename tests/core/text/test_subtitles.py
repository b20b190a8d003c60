# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtitles are read as their lines; a text that only looks a little like them is left alone."""

from __future__ import annotations

import pytest

from exomni_core.text.subtitles import without_subtitle_marks
from exomni_core.text.traced import trace

SRT = (
    "1\n00:00:01,000 --> 00:00:03,500\nHello there.\n\n"
    "2\n00:00:04,000 --> 00:00:06,000\n<i>How</i> are {\\an8}my 3 friends?\n"
)
VTT = (
    "WEBVTT - A title\nKind: captions\n\nNOTE nobody reads\nthis comment\n\nSTYLE\n::cue { x }\n\n"
    "intro\n00:01.000 --> 00:03.000 align:start position:0%\n<v Anna>Hi, <c.loud>Bob</c>!\n\n"
    "00:04.000 --> 00:05.000\nGood <00:04.500>bye.\n"
)


def read(text: str) -> tuple[str, list[str]]:
    traced, notes = without_subtitle_marks(trace(text))
    return " ".join(traced.text.split()), notes


@pytest.mark.parametrize(
    ("text", "spoken", "cues"),
    [
        (SRT, "Hello there. How are my 3 friends?", 2),
        (SRT.replace("\n", "\r\n"), "Hello there. How are my 3 friends?", 2),
        (SRT.replace("\n", " "), "Hello there. How are my 3 friends?", 2),
        (VTT, "Hi, Bob! Good bye.", 2),
        ("7\n00:00:01.5 --> 00:00:02.5 X1:10 X2:20\nOne.", "One.", 1),
        ("1 00:01,000 --> 00:02,000 I am 5 2 00:03,000 --> 00:04,000 Yes.", "I am 5 Yes.", 2),
    ],
)
def test_numbers_times_and_tags_are_not_spoken(text: str, spoken: str, cues: int) -> None:
    read_text, notes = read(text)
    assert read_text == spoken
    assert len(notes) == 1
    assert f"{cues} cue" in notes[0]


def test_times_in_brackets_are_not_spoken() -> None:
    spoken, notes = read("[00:12.00]Line one\n[00:15.30]Line two")
    assert spoken == "Line one Line two"
    assert notes == ["2 times in brackets not spoken, such as [00:12.00]"]


@pytest.mark.parametrize(
    "text",
    [
        "The gate opens at 10:30 --> take bus 5.",
        "Add 1 <b or c> 2, and a < b.",
        "NOTE this well. WEBVTT is a format.",
        "The score was 3:2 after 00:45.",
        "I waited (for 10:30).",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert read(text) == (text, [])
