# SPDX-License-Identifier: GPL-3.0-or-later
"""exomni_core: prompt -> clip, and what a clip can become. No rendering, no GUI."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
