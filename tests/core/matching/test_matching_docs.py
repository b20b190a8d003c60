# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of visemes in docs/matching.md states the numbers of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from exomni_core.matching.stand_ins import _MAP

DOC = (Path(__file__).resolve().parents[3] / "docs" / "matching.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| ([A-Za-z]+) \| ([^|]*\d[^|]*?) (?:\(only [^|]*\) )?\|$", DOC, re.M))


def channels(sum_text: str) -> dict[str, float]:
    """`2 gap − press*` -> {"jawOpen": 2, "mouthClose": -2, "mouthPress*": -1}."""
    found: dict[str, float] = {}
    for sign, number, name in re.findall(r"(?:^|([+−]) ?)([\d.]+ )?([A-Za-z*]+)", sum_text):
        share = float(number or 1) * (-1 if sign == "−" else 1)
        if name == "gap":
            found |= {"jawOpen": share, "mouthClose": -share}
        else:
            full = name if name in ("jawOpen", "tongueOut") else f"mouth{name[0].upper()}{name[1:]}"
            found[full] = share
    return found


@pytest.mark.parametrize("viseme", _MAP)
def test_the_documented_sum_is_the_codes(viseme: str) -> None:
    assert channels(ROWS[viseme]) == dict(_MAP[viseme][1])


def test_the_table_has_no_other_rows() -> None:
    assert set(ROWS) >= set(_MAP)
    assert channels("2 gap − press*") == {"jawOpen": 2, "mouthClose": -2, "mouthPress*": -1}
