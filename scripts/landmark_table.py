# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head -> a table: for each shape how its main landmark moves, and how it should.

Usage: python scripts/landmark_table.py [--csv]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from templates.head.build import build_head
from templates.head.targets import measure


def main() -> None:
    """Print the table, worst row last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", action="store_true", help="commas instead of columns")
    args = parser.parse_args()
    rows = sorted(measure(build_head()), key=lambda row: row.error)
    line = "{},{},{},{},{}" if args.csv else "{:<20} {:<18} {:>22} {:>22} {:>8}"
    print(line.format("shape", "landmark", "wanted (mm)", "got (mm)", "error %"))
    for row in rows:
        wanted, got = (
            " ".join(f"{value:+.1f}" for value in vector) for vector in (row.wanted, row.got)
        )
        print(line.format(row.shape, row.landmark, wanted, got, f"{100 * row.error:.1f}"))


if __name__ == "__main__":
    main()
