# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in, pieces of SVG text out; colours come from the page's style sheet, by class.

The same numbers give the same bytes: no dates, no random marks.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

WIDTH: Final = 820.0


def drawing(parts: Sequence[str], height: float, label: str) -> str:
    """The whole drawing, WIDTH wide; `label` is what it is called for those who can't see it."""
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def rect(x: float, y: float, width: float, height: float, kind: str, inside: str = "") -> str:
    """A filled rectangle; `inside`: markup such as `title(...)`."""
    size = f'width="{width:.1f}" height="{height:.1f}"'
    end = f">{inside}</rect>" if inside else "/>"
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" {size}{end}'


def circle(x: float, y: float, radius: float, kind: str, inside: str = "") -> str:
    """A dot; `inside`: markup such as `title(...)`."""
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}">{inside}</circle>'


def curve(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def text(x: float, y: float, words: str, kind: str) -> str:
    """Escaped words at a place."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{html.escape(words)}</text>'


def title(words: str) -> str:
    """What a pointer over a mark shows."""
    return f"<title>{html.escape(words)}</title>"
