# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the code in, the same tables in the docs out, each between two marks.

`python scripts/docs_tables.py` writes them; with `--check` it writes nothing and ends with 1 if one
differs. A test does that check.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from exomni_core.matching.stand_ins import VISEME_INSTEAD, VISEME_SUMS, Clamp
from exomni_core.metrics.faces.dynamics import LIVELINESS
from exomni_core.metrics.faces.registry import METRICS
from exomni_core.metrics.latency import MEASURES
from exomni_core.metrics.sync.smoothness import SMOOTHNESS
from exomni_core.retime import CLOSED_GAP

PROJECT = Path(__file__).resolve().parents[1]


def viseme_sums() -> str:
    """The sum over channels and the limit of every viseme."""
    rows = [(name, _sum(weights), _limit(clamp)) for name, (clamp, weights) in VISEME_SUMS.items()]
    return table(("viseme", "sum (`*` is the mean of both sides)", "limit"), rows)


def visemes_instead() -> str:
    """Which visemes replace one that a head lacks, the best choice first."""
    rows = [
        (name, "; or ".join(_choice(choice) for choice in choices))
        for name, choices in VISEME_INSTEAD.items()
    ]
    return table(("viseme", "replaced by"), rows)


def face_metrics() -> str:
    """Every metric against a reference."""
    return table(("metric", "formula"), [(f"`{m.name}`", m.formula) for m in METRICS])


def liveliness() -> str:
    """Every measure of one side alone."""
    return table(("measure", "formula"), [(f"`{m.name}`", m.formula) for m in LIVELINESS])


def smoothness() -> str:
    """Every measure of smoothness."""
    return table(("measure", "formula"), [(f"`{m.name}`", m.formula) for m in SMOOTHNESS])


def times() -> str:
    """Every measure of a request's time."""
    return table(("measure", "formula"), [(f"`{m.name}`", m.formula) for m in MEASURES])


def _sum(weights: Mapping[str, float]) -> str:
    """`2 gap − pucker`, where jawOpen and mouthClose that cancel each other are the gap."""
    jaw, close = weights.get("jawOpen", 0.0), weights.get("mouthClose", 0.0)
    terms = []
    for name, weight in weights.items():
        if jaw and jaw == -close:
            if name == "mouthClose":
                continue
            name = "gap" if name == "jawOpen" else name
        terms.append((weight, _short(name)))
    first, *rest = (f"{'−' if w < 0 else '+'} {_factor(abs(w))}{name}" for w, name in terms)
    start = first.removeprefix("+ ").replace("− ", "−")
    return " ".join([start, *rest])


def _short(channel: str) -> str:
    bare = channel.removeprefix("mouth")
    return bare[0].lower() + bare[1:]


def _factor(value: float) -> str:
    return "" if value == 1.0 else f"{value:g} "


def _limit(clamp: Clamp) -> str:
    over = f"(gap − {CLOSED_GAP:g})"
    if clamp.closes:
        return f"at most 1 − {clamp.closes:g} {over}"
    return f"at most {clamp.opens:g} {over}"


def _choice(choice: Mapping[str, float]) -> str:
    return " and ".join(f"{share:g} {name}" if share else name for name, share in choice.items())


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


# (file, mark) -> what stands between `<!-- mark: start -->` and `<!-- mark: end -->`.
TABLES: Mapping[tuple[str, str], Callable[[], str]] = {
    ("docs/matching.md", "visemes"): viseme_sums,
    ("docs/matching.md", "instead"): visemes_instead,
    ("docs/evaluation.md", "face metrics"): face_metrics,
    ("docs/evaluation.md", "liveliness"): liveliness,
    ("docs/evaluation.md", "smoothness"): smoothness,
    ("docs/evaluation.md", "latency"): times,
}


def with_table(text: str, mark: str, content: str) -> str:
    """The text with `content` between the two marks; ValueError if they aren't there."""
    start, end = f"<!-- {mark}: start -->", f"<!-- {mark}: end -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"there is no {start} ... {end}")
    return f"{before}{start}\n{content}\n{end}{after}"


def outdated() -> dict[Path, str]:
    """The files whose tables differ from the code, with the text that they should have."""
    texts: dict[Path, str] = {}
    for (name, mark), make in TABLES.items():
        path = PROJECT / name
        texts[path] = with_table(texts.get(path) or path.read_text("utf-8"), mark, make())
    return {path: text for path, text in texts.items() if text != path.read_text("utf-8")}


def main() -> int:
    """Write or check; 1 if a check found a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    check = parser.parse_args().check
    found = outdated()
    for path, text in found.items():
        print(f"{'differs' if check else 'wrote'}: {path.relative_to(PROJECT)}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main())
