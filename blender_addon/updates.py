# SPDX-License-Identifier: GPL-3.0-or-later
"""A value changed by hand in the panel in, what follows from it out: Blender's update callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import character
from .quiet import is_quiet
from .session import session
from .takes import adjust


def _by_hand(react: Callable[[Any], None]) -> Callable[[Any, Any], None]:
    """A callback that calls `react` with what changed, unless code changed it.

    A callback has no report, so the panel shows its failure.
    """

    def on_change(changed: Any, _context: Any) -> None:
        if not is_quiet():
            with session.showing_failure():
                react(changed)

    return on_change


on_adjust = _by_hand(adjust.rewrite_now)
on_start_moved = _by_hand(adjust.follow_start)
on_mend = _by_hand(character.mend_row)
