# SPDX-License-Identifier: GPL-3.0-or-later
"""A block of code that sets values in, no reaction out: it silences the update callbacks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

_QUIET: Final = ContextVar("exomni_quiet", default=False)


def is_quiet() -> bool:
    """Whether code sets the values at the moment, not a user."""
    return _QUIET.get()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Set values without what their change would start in the panel."""
    token = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(token)
