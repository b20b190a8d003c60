# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of a mesh's shape keys and bones in, ARKit channels with shares out."""

from exomni_core.matching.match import apply, match

__all__ = ["apply", "match"]
