# SPDX-License-Identifier: GPL-3.0-or-later
"""A file and a Range header in, the span of bytes to send out (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ONE_RANGE: Final = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
}


@dataclass(frozen=True)
class Span:
    """Bytes `start` to before `end` of a whole of `size`; partial: answer 206."""

    start: int
    end: int
    size: int
    partial: bool

    @property
    def content_range(self) -> str:
        """The header that says which part this is."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def span_of(header: str | None, size: int) -> Span | None:
    """What to send of `size` bytes; None when no byte of the wanted range exists (answer 416).

    A header that is malformed or asks for several parts is ignored, as the standard allows.
    """
    whole = Span(0, size, size, partial=False)
    found = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if found is None or not (found[1] or found[2]):
        return whole
    if not found[1]:  # the last so many bytes
        length = min(int(found[2]), size)
        return Span(size - length, size, size, partial=True) if length else None
    start = int(found[1])
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return whole
    return Span(start, end, size, partial=True) if start < size else None
