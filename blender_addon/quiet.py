# SPDX-License-Identifier: GPL-3.0-or-later
"""TODO."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

_quiet = 0  # above 0, update callbacks do nothing: code sets the values, not a user


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Set values without what their change would start in the panel."""
    global _quiet
    _quiet += 1
    try:
        yield
    finally:
        _quiet -= 1
