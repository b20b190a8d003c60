# SPDX-License-Identifier: GPL-3.0-or-later
"""An old import in, `exomni_core.omni.weights.parts` out; kept for scripts that use it."""

from exomni_core.omni.weights.parts import PARTS, PartLoader

__all__ = ["PARTS", "PartLoader"]
