# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of golden fixtures in -> one line per array with its error; exit 1 on any miss.

    python tests/golden/check.py --exomni DIR --glm4voice DIR

DIR is laid out like the published fixtures; shapes, seeds and sizes are read from it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from result import Result  # noqa: E402 (after the paths)

CHECKS = {"exomni": ("exomni",), "glm4voice": ("glm4voice_tokenizer", "glm4voice_decoder")}


def results(kind: str, folder: Path) -> Iterator[Result]:
    """Every array of a folder of that kind."""
    for module in CHECKS[kind]:
        yield from importlib.import_module(module).check(folder)


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for kind in CHECKS:
        parser.add_argument(f"--{kind}", type=Path, metavar="DIR")
    chosen = vars(parser.parse_args())
    started, count, misses = time.perf_counter(), 0, 0
    for kind, folder in chosen.items():
        if folder is None:
            continue
        if not any(folder.glob("*_manifest.json")):
            parser.error(f"{folder} holds no fixtures (no *_manifest.json); name another folder")
        for result in results(kind, folder):
            count += 1
            misses += not result.ok
            state = "ok  " if result.ok else "MISS"
            numbers = f"{result.error:9.2e} <= {result.tolerance:7.1e}"
            print(f"{state} {result.name:62} {numbers}  {result.note}".rstrip())
    print(f"{count - misses} of {count} arrays match, in {time.perf_counter() - started:.0f} s")
    if not count:
        print("nothing was compared; name at least one folder that holds fixtures")
    return 1 if misses or not count else 0


if __name__ == "__main__":
    sys.exit(main())
