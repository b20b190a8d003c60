# SPDX-License-Identifier: GPL-3.0-or-later
"""A text and edits in -> the edited text out, which knows where each character came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Edit(NamedTuple):
    """Put `new` in the place of text[start:end]; start == end inserts."""

    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Traced:
    """A text made from a source: origin[k] is the place in the source that text[k] stands for."""

    text: str
    origin: tuple[int, ...]

    def edited(self, edits: Iterable[Edit]) -> Traced:
        """The text after `edits`, which are in order of place and do not overlap.

        New characters keep the places of the old ones as far as there are as many; further ones
        stand for the last of these, inserted ones for the character before.
        """
        parts: list[str] = []
        places: list[int] = []
        at = 0
        for start, end, new in edits:
            parts.append(self.text[at:start])
            places += self.origin[at:start]
            parts.append(new)
            for k in range(len(new)):
                place = min(start + k, end - 1) if end > start else start - 1
                places.append(self.origin[place] if place >= 0 else 0)
            at = end
        if not parts:
            return self
        parts.append(self.text[at:])
        places += self.origin[at:]
        return Traced("".join(parts), tuple(places))


def trace(source: str) -> Traced:
    """`source` unchanged, each character standing for itself."""
    return Traced(source, tuple(range(len(source))))
