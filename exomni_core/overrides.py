# SPDX-License-Identifier: GPL-3.0-or-later
"""An old import in, `exomni_core.matching.overrides` out; kept for scripts that use it."""

from exomni_core.matching.overrides import Choice, Overrides, from_json, to_json

__all__ = ["Choice", "Overrides", "from_json", "to_json"]
