# SPDX-License-Identifier: GPL-3.0-or-later
"""The mouth's quality over many sentences and voices, against sound times the engine never saw."""

from __future__ import annotations

from types import ModuleType

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("language", "route", "least_hit"),
    [
        ("en", "events", 1.0), ("zh", "events", 1.0),
        ("en", "transcript", 0.98), ("zh", "transcript", 0.98),
        ("en", "none", 0.75), ("zh", "none", 0.38),
    ],
)  # fmt: skip
def test_mouth(bench: ModuleType, language: str, route: str, least_hit: float) -> None:
    tally = bench.Tally()
    sentences, voices = (
        (bench.HELD_OUT, bench.ENGLISH_VOICES)
        if language == "en"
        else (bench.MANDARIN, bench.MANDARIN_VOICES)
    )
    bench.measure(sentences, voices, route, language, tally)
    row = tally.row()
    strict = route != "none"
    assert row["hit" if strict else "hit_within_a_frame"] >= least_hit, row
    assert row["false_closure"] <= 0.03, row
    assert abs(row["lag_ms"]) <= 45, row
    assert row["largest_step"] <= 0.35, row
    assert row["largest_third_difference"] <= 0.5, row
    assert row["fastest_opening_mm_s"] <= 290, row
    assert row["flashes_per_minute"] <= 1.0, row
