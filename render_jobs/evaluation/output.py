# SPDX-License-Identifier: GPL-3.0-or-later
"""An evaluation's result in, its files out: result.json, rows.csv, table.md; each in one step."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exomni_core.storage.files import write_text


def write_result(folder: Path, result: Mapping[str, Any], markdown: str) -> list[Path]:
    """Write the three files into `folder`; returns their paths."""
    files = {
        folder / "result.json": json_text(result),
        folder / "rows.csv": csv_text(result.get("rows", [])),
        folder / "table.md": markdown,
    }
    for path, text in files.items():
        write_text(path, text)
    return list(files)


def json_text(result: Mapping[str, Any]) -> str:
    """The result as JSON that people can read, one line for each row; no NaN."""
    rows = result.get("rows", [])
    head = json.dumps({**result, "rows": []}, ensure_ascii=False, indent=1, allow_nan=False)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    return head.removesuffix("[]\n}") + f"[\n{lines}\n]\n}}\n"


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with all keys that occur, in order of their first appearance; None is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; numbers are rounded to four significant digits, None is a dash."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(shown(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def shown(value: object) -> str:
    """A value for people: four significant digits, at most four decimals; None is a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value).replace("|", "\\|")
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def with_interval(entry: Mapping[str, Any]) -> str:
    """`7.09 [6.10, 8.21]`, or the mean alone where there is no interval."""
    if entry.get("low") is None:
        return shown(entry["mean"])
    return f"{shown(entry['mean'])} [{shown(entry['low'])}, {shown(entry['high'])}]"


def _cell(value: object) -> object:
    return "; ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
