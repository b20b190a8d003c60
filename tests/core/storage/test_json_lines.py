# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON lines: which file and line is wrong, and texts with strange ends of lines inside."""

import json

import pytest

from exomni_core.errors import InputError
from exomni_core.storage.json_lines import of_system, read_json_lines, whole_lines


def test_a_text_may_hold_other_ends_of_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = {"id": "a", "text": "one\u2028two\x85three\x0cfour"}
    path.write_text("\ufeff" + json.dumps(row, ensure_ascii=False) + "\r\n\n", encoding="utf-8")
    assert read_json_lines(path) == [(1, row)]
    assert list(whole_lines(path.read_bytes()[3:])) == [row]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"id": 1}\n{"id"', "line 2 is no JSON"),
        (b"\n[1]\n", "line 2 is no JSON object"),
        (b" \n", "is empty"),
        (b"\xff\n", "no UTF-8"),
        (b"[" * 200_000, "line 1 is no JSON"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, data, said):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said):
        read_json_lines(path)


def test_lines_that_a_kill_cut_short_are_left_out():
    assert list(whole_lines(b'{"a": 1}\n{"b": \n[2]\n{"c": 3}')) == [{"a": 1}, {"c": 3}]


def test_one_system_at_a_time(tmp_path):
    rows = [(1, {"id": "x", "system": "a"}), (2, {"id": "x", "system": "b"})]
    assert of_system(rows, tmp_path, "b") == rows[1:]
    assert of_system(rows[:1], tmp_path, "") == rows[:1]
    with pytest.raises(InputError, match="holds the systems a, b; choose one"):
        of_system(rows, tmp_path, "")
    with pytest.raises(InputError, match="no line of system 'c'; it has a, b"):
        of_system(rows, tmp_path, "c")
