# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a reference-free evaluation in, its Markdown tables and terminal lines out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from exomni_core.metrics.sync.smoothness import SMOOTHNESS
from render_jobs.evaluation.output import markdown_table, shown

SHARES: Final = {
    "closure_hit": "p, b, m closed",
    "closure_hit_within_a_frame": "p, b, m closed, give or take a frame",
    "false_closure": "closed in vowels (false)",
    "tuck_hit": "f, v tucked",
    "false_tuck": "tucked in vowels (false)",
    "rounding_hit": "u, o, w rounded",
    "false_rounding": "rounded in i, e (false)",
    "viseme_recall": "nearest pose is right",
}
_METHOD: Final = (
    "Hits are counted in the frames of each sound; lips touch where jawOpen - mouthClose < 0.03. "
    "*Shifted* is the same face half a clip later: what chance reaches. Lag: aperture against "
    "loudness at 100 Hz, pooled over clips; positive means that the face is late (natural speech: "
    "some 10 to 20 ms early). Steps are per frame of 1/30 s. *Nearest pose* is by the embedded "
    "engine's own table of poses, so it favours that engine. Sounds by `events` and `file` are "
    "exact, `aligned` come from forced alignment of the known text, `own` from the engine itself."
)


def sync_markdown(result: Mapping[str, Any]) -> str:
    """All tables: one column for each language and route."""
    groups = result["groups"]
    counts = result["counts"]
    parts = [
        f"# Sync of {result['settings']['clips']}\n",
        f"{counts['n_scored']} of {counts['n']} clips measured, {counts['n_failed']} failed. "
        f"{_METHOD}\n",
        markdown_table(("", *(_title(g) for g in groups)), table_rows(groups)),
        "## Openness of the vowels\n",
        markdown_table(("", *(_title(g) for g in groups)), _vowel_rows(groups)),
        "## Nearest pose by group\n",
        markdown_table(("", *(_title(g) for g in groups)), _group_rows(groups)),
    ]
    if result["failures"]:
        parts.append("## Not measured\n")
        rows = [(f["id"], f["reason"]) for f in result["failures"][:50]]
        parts.append(markdown_table(("id", "why"), rows))
    if notes := result["settings"]["notes"]:
        parts += ["## Notes\n", "\n".join(f"- {note}" for note in notes) + "\n"]
    return "\n".join(parts)


def sync_lines(result: Mapping[str, Any], width: int = 100) -> list[str]:
    """The same for a terminal, without the groups of poses: as many columns a block as fit."""
    groups = result["groups"]
    if not groups:
        return [f"none of {result['counts']['n']} clips could be measured"]
    header = ("of n (when shifted)", *(_title(g) for g in groups))
    vowels = [
        (f"open in {row[0]}" if len(row[0]) == 1 else row[0], *row[1:])
        for row in _vowel_rows(groups)
    ]
    rows = [
        [cell.replace("(shifted ", "(") for cell in row]
        for row in (header, *table_rows(groups), *vowels)
    ]
    titles, *columns = (list(column) for column in zip(*rows, strict=True))
    blocks = [[_padded(titles, str.ljust)]]
    for column in (_padded(column, str.rjust) for column in columns):
        if len(blocks[-1]) > 1 and sum(2 + len(c[0]) for c in (*blocks[-1], column)) - 2 > width:
            blocks.append([blocks[0][0]])
        blocks[-1].append(column)
    texts = [["  ".join(cells) for cells in zip(*block, strict=True)] for block in blocks]
    return [line for k, text in enumerate(texts) for line in ([""] if k else []) + text]


def _padded(cells: Sequence[str], pad: Callable[[str, int], str]) -> list[str]:
    width = max(map(len, cells))
    return [pad(cell, width) for cell in cells]


def table_rows(groups: list[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Shares with what chance reaches, lag and smoothness; one cell for each group."""
    rows = [
        ("clips", *(str(g["clips"]) for g in groups)),
        ("seconds", *(f"{g['seconds']:.0f}" for g in groups)),
        ("sounds by", *(", ".join(f"{n} {t}" for t, n in g["truth"].items()) for g in groups)),
    ]
    rows += [
        (title, *(_share(g["shares"][name]) for g in groups)) for name, title in SHARES.items()
    ]
    rows += [
        ("lag (ms)", *(_lag(g["offset"]) for g in groups)),
        ("lag, quartiles of clips (ms)", *(_quartiles(g["offset"]) for g in groups)),
        ("correlation at the peak", *(shown(g["offset"]["r"]) for g in groups)),
    ]
    rows += [
        (line.title, *(shown(g["smoothness"][line.key]) for g in groups))
        for metric in SMOOTHNESS
        for line in metric.lines
    ]
    return rows


def _vowel_rows(groups: list[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    rows = [(v, *(_vowel(g["aperture"], v) for g in groups)) for v in ("a", "o", "e", "i", "u")]
    order = [f"{g['aperture']['in_order']} of {g['aperture']['pairs']}" for g in groups]
    return [*rows, ("pairs in order a > o > e > i > u", *order)]


def _group_rows(groups: list[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    names = list(groups[0]["viseme_groups"]) if groups else []
    return [(name, *(_share(g["viseme_groups"][name]) for g in groups)) for name in names]


def _title(group: Mapping[str, Any]) -> str:
    return (
        group["language"]
        if group["language"] == "all"
        else " ".join((group["language"], group["route"]))
    )


def _share(entry: Mapping[str, Any]) -> str:
    if entry["value"] is None:
        return "–"
    text = f"{entry['value']:.3f} of {entry['of']}"
    if entry.get("if_shifted") is not None:
        text += f" (shifted {entry['if_shifted']:.2f})"
    return text


def _lag(offset: Mapping[str, Any]) -> str:
    if offset["ms"] is None:
        return "–"
    text = f"{offset['ms']:+.0f}"
    if offset["low"] is not None:
        text += f" [{offset['low']:+.0f}, {offset['high']:+.0f}]"
    return text if offset["enough"] else f"{text}, too little"


def _quartiles(offset: Mapping[str, Any]) -> str:
    if offset["quartiles_ms"] is None:
        return "–"
    low, high = offset["quartiles_ms"]
    return f"{low:+.0f} to {high:+.0f}"


def _vowel(aperture: Mapping[str, Any], vowel: str) -> str:
    mean = aperture["means"].get(vowel)
    return "–" if mean is None else f"{mean:.3f} of {aperture['n'][vowel]}"
