# SPDX-License-Identifier: GPL-3.0-or-later
"""Sections of plain text, tables and figures in; one Markdown text or one HTML page out.

Everything in a block is plain text and is escaped here; only a figure's SVG goes in as it is.
The page is a single file without scripts that opens offline, in light and in dark.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Union
from urllib.parse import quote

from render_jobs.reporting.page_style import STYLE


@dataclass(frozen=True)
class Text:
    """One paragraph; kind: "", "lead" (set larger) or "soft" (paler)."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True)
class Link:
    """A cell whose words lead to a file. place: its path relative to the page."""

    words: str
    place: str


Cell = Union[str, Link]  # noqa: UP007


@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns; the first `word_columns` are words, the rest numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    word_columns: int = 1
    folded: str = ""  # the line that unfolds it; "": always open


@dataclass(frozen=True)
class Figure:
    """An SVG drawing and what it shows. In Markdown the caption stands for it."""

    svg: str
    caption: str


Block = Text | Bullets | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """GitHub-flavoured Markdown, ending in a newline."""
    parts = [f"# {_plain(title)}"]
    for section in sections:
        parts.append(f"## {_plain(section.title)}")
        parts += [_markdown(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Text):
        return f"**{_plain(block.text)}**" if block.kind == "lead" else _plain(block.text)
    if isinstance(block, Bullets):
        return "\n".join(f"- {_plain(item)}" for item in block.items)
    if isinstance(block, Figure):
        return f"*Figure (in report.html): {_plain(block.caption)}*"
    marks = ["---" if place < block.word_columns else "---:" for place in range(len(block.columns))]
    lines = [_row(block.columns), "| " + " | ".join(marks) + " |", *map(_row, block.rows)]
    caption = f"\n\n*{_plain(block.caption)}*" if block.caption else ""
    return "\n".join(lines) + caption


def _row(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(_markdown_cell(cell) for cell in cells) + " |"


def _markdown_cell(cell: Cell) -> str:
    if isinstance(cell, Link):
        return f"[{_plain(cell.words)}]({quote(cell.place)})"
    return _plain(cell)


def _plain(text: str) -> str:
    """`text` so that Markdown shows it as it is, on one line."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", one_line)


_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def to_html(title: str, sections: Sequence[Section]) -> str:
    """A whole page with its style; no script, nothing loaded from elsewhere."""
    body = "\n".join(_section(section) for section in sections)
    return _PAGE.format(title=html.escape(title), style=STYLE, body=body)


def _section(section: Section) -> str:
    blocks = "\n".join(_html(block) for block in section.blocks)
    return f"<section>\n<h2>{html.escape(section.title)}</h2>\n{blocks}\n</section>"


def _html(block: Block) -> str:
    if isinstance(block, Text):
        mark = f' class="{block.kind}"' if block.kind else ""
        return f"<p{mark}>{_words(block.text)}</p>"
    if isinstance(block, Bullets):
        items = "".join(f"<li>{_words(item)}</li>" for item in block.items)
        return f"<ul>{items}</ul>"
    if isinstance(block, Figure):
        drawing = f'<div class="wide" tabindex="0">{block.svg}</div>'
        return f"<figure>{drawing}<figcaption>{_words(block.caption)}</figcaption></figure>"
    table = _html_table(block)
    if not block.folded:
        return table
    return f"<details><summary>{html.escape(block.folded)}</summary>{table}</details>"


def _words(text: str) -> str:
    """Escaped; a number stays on one line with its percent sign, and `p = 0.05` is not broken."""
    kept = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)
    kept = re.sub(r"\bp ([=<]) (?=\d)", "p\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", kept)
    return html.escape(kept)


def _html_table(block: Table) -> str:
    def cell(tag: str, place: int, text: Cell) -> str:
        words = html.escape(text.words if isinstance(text, Link) else text)
        if isinstance(text, Link):
            words = f'<a href="{html.escape(quote(text.place))}">{words}</a>'
        if place >= block.word_columns:
            return f'<{tag} class="n">{words}</{tag}>'
        # long_names_like_these may break after an underscore
        return f"<{tag}>{words if isinstance(text, Link) else words.replace('_', '_<wbr>')}</{tag}>"

    def line(tag: str, cells: Sequence[Cell]) -> str:
        return "<tr>" + "".join(cell(tag, p, text) for p, text in enumerate(cells)) + "</tr>"

    caption = f'<p class="caption">{html.escape(block.caption)}</p>' if block.caption else ""
    rows = "".join(line("td", row) for row in block.rows)
    head = line("th", block.columns)
    # focusable, so that keys can scroll a table wider than the window
    return (
        f'<div class="wide" tabindex="0"><table><thead>{head}</thead><tbody>{rows}</tbody></table>'
        f"</div>{caption}"
    )
