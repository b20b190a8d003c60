# SPDX-License-Identifier: GPL-3.0-or-later
"""The old place of `exomni_core.matching.bones`, kept for scripts that import it from here."""

from exomni_core.matching.bones import bone_curves, guess_bones

__all__ = ["bone_curves", "guess_bones"]
