# SPDX-License-Identifier: GPL-3.0-or-later
"""The two behaviours: the release's exactly, or the same with its faults fixed."""

from __future__ import annotations

from typing import Literal

Compat = Literal["fixed", "reference"]
