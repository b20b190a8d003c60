# SPDX-License-Identifier: GPL-3.0-or-later
"""The word-loss run: 500 lines in twelve languages."""

from __future__ import annotations

from types import ModuleType

import pytest

from exomni_core.embedded.engine import EmbeddedEngine

pytestmark = pytest.mark.slow


def test_no_line_of_500_loses_a_word_silently(word_loss: ModuleType) -> None:
    row = word_loss.measure(word_loss.make_lines(500), EmbeddedEngine()).row()
    assert row["lose_a_word_silently"] == 0, row
    assert row["tell_a_lost_word"] <= 5, row
    assert (row["wrong_language"], row["other_sounds"]) == (0, 0), row
