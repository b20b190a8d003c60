# SPDX-License-Identifier: GPL-3.0-or-later
"""The old place of `exomni_core.matching.overrides`, kept for scripts that import it from here."""

from exomni_core.matching.overrides import Choice, Overrides, from_json, to_json

__all__ = ["Choice", "Overrides", "from_json", "to_json"]
