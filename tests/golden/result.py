# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of comparing one golden array: its name, the error found and the one allowed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """error, tolerance: largest absolute difference, or a count of wrong integers."""

    name: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance
