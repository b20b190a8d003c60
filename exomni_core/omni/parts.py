# SPDX-License-Identifier: GPL-3.0-or-later
"""The old place of `exomni_core.omni.weights.parts`, kept for scripts that import it from here."""

from exomni_core.omni.weights.parts import PARTS, PartLoader

__all__ = ["PARTS", "PartLoader"]
