# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program wrote in, the line that says most out: its last."""

from __future__ import annotations

from typing import Final

LOG_TAIL_BYTES: Final = 4096  # how much of the end of a log holds the last line
_LONGEST: Final = 300


def last_line(written: bytes | str) -> str:
    """The last line of `written` that isn't empty, printable, at most 300 characters; or ""."""
    text = written.decode("utf-8", "replace") if isinstance(written, bytes) else written
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(c for c in lines[-1] if c.isprintable())[:_LONGEST] if lines else ""
