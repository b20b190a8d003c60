# SPDX-License-Identifier: GPL-3.0-or-later
"""An old import in, `exomni_core.matching.bones` out; kept for scripts that use it."""

from exomni_core.matching.bones import bone_curves, guess_bones

__all__ = ["bone_curves", "guess_bones"]
