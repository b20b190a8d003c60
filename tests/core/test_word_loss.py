# SPDX-License-Identifier: GPL-3.0-or-later
"""A sample of the word-loss run: no generated line loses a word."""

from __future__ import annotations

from types import ModuleType

from exomni_core.embedded.engine import EmbeddedEngine

EVERY = 29  # of 500 lines: all twelve languages, all kinds


def test_no_line_loses_a_word(word_loss: ModuleType) -> None:
    lines = word_loss.make_lines(500)[::EVERY]
    assert len({line.language for line in lines}) == 12
    assert {line.kind for line in lines} == set(word_loss.KINDS)
    row = word_loss.measure(lines, EmbeddedEngine()).row()
    assert row["lose_a_word_silently"] == 0, row
    assert row["tell_a_lost_word"] == 0, row
    assert (row["wrong_language"], row["other_sounds"]) == (0, 0), row
    assert row["shortest_word_ms"] > 5.0


def test_the_run_sees_a_lost_word(word_loss: ModuleType) -> None:
    line = word_loss.Line("numbers", "en", "one two three four five six seven", True)
    clip = EmbeddedEngine().generate(word_loss.Prompt(id="a", text="one two three four five"))
    assert word_loss.lost_words(line, clip) == ["six", "seven"]
    clip = EmbeddedEngine().generate(word_loss.Prompt(id="a", text=line.text))
    assert word_loss.lost_words(line, clip) == []
