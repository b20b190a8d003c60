# SPDX-License-Identifier: GPL-3.0-or-later
"""English texts of the add-on in, Chinese and Japanese out, for Blender's own translation."""

from __future__ import annotations

from typing import Final

DICTIONARY: Final[dict[str, dict[tuple[str, str], str]]] = {}
