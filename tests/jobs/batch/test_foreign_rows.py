# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a manifest that was changed since, and recordings that are no files."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from render_jobs.batch.folder import Row, read_rows

GOOD = Row("a", 1, "done", clip="clips/a.clip", duration_s=1.5, notes=["x"], key={"clip": "0f"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", None), ("key", {"clip": 1}), ("key", ["clip"]), ("sha256", None), ("seconds", None),
        ("seconds", {"render": "1"}), ("clip", 7), ("line", None), ("line", "1"), ("line", True),
        ("status", []), ("status", "gone"), ("notes", None), ("notes", "x"), ("id", ["a"]),
        ("duration_s", "long"), ("more", 1),
    ],
)  # fmt: skip
def test_a_row_that_was_changed_is_passed_over(tmp_path, name, value):
    rows = [asdict(GOOD), asdict(GOOD) | {"id": "b", name: value}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "manifest.jsonl").write_text(text, encoding="utf-8")
    assert read_rows(tmp_path / "manifest.jsonl") == {"a": GOOD}


def test_the_given_manifest(shared):
    assert read_rows(shared / "cases" / "manifest_key_null.jsonl") == {}
