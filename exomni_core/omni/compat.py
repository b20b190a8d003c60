# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose behaviour: the release's to the letter, or the same with its mistakes mended."""

from __future__ import annotations

from typing import Literal

Compat = Literal["fixed", "reference"]
