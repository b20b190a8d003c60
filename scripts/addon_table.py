# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests noted in build/addon-tested.json in, the table of tested versions in the docs out.

`python scripts/addon_table.py` after a run of tests/jobs/addon_kit (EXOMNI_BPY_PYTHONS: for more
versions) and of scripts/blender_window.sh. A file without the two marks is left alone.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
RECORD = PROJECT / "build" / "addon-tested.json"
FILES = (PROJECT / "docs" / "addon.md", PROJECT / "README.md")
START, END = "<!-- tested versions: start -->", "<!-- tested versions: end -->"
COLUMNS = {
    "install": ("install", "register", "core"), "match": ("match",), "Say": ("say",),
    "lip-sync": ("lipsync",), "takes, adjust": ("takes",), "undo": ("undo",),
    "export": ("export",), "unregister": ("unregister", "again", "no orphans"),
}  # fmt: skip


def table(found: dict[str, dict]) -> str:
    """Markdown: a row for each Blender; every cell is what a test saw."""
    names = list(COLUMNS)
    lines = ["| Blender | Python | how | " + " | ".join(names) + " |"]
    lines.append("| --- " * (3 + len(names)) + "|")
    for version in sorted(found, key=lambda name: [int(n) for n in re.findall(r"\d+", name)]):
        row = found[version]
        cells = [cell(row["checks"], checks) for checks in COLUMNS.values()]
        how = row.get("how", "wheel, headless")
        lines.append(f"| {version} | {row['python']} | {how} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(checks: dict[str, str], names: tuple[str, ...]) -> str:
    """`yes`, `NO`, or a dash for what that run did not look at."""
    seen = [checks[name] for name in names if name in checks]
    return "–" if not seen else "NO" if any(seen) else "yes"


def main() -> int:
    """Write the table into every file that has a place for it; 1 if a check had failed."""
    if not RECORD.is_file():
        print(f"{RECORD} is not there yet; run: pytest tests/jobs/addon_kit", file=sys.stderr)
        return 1
    found = json.loads(RECORD.read_text(encoding="utf-8"))
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        before, start, rest = text.partition(START)
        _, end, after = rest.partition(END)
        if start and end:
            path.write_text(f"{before}{START}\n{table(found)}\n{END}{after}", encoding="utf-8")
            print(f"wrote {path.relative_to(PROJECT)}")
    return int(any(error for row in found.values() for error in row["checks"].values()))


if __name__ == "__main__":
    sys.exit(main())
