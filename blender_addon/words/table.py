# SPDX-License-Identifier: GPL-3.0-or-later
"""English texts of the add-on in, Chinese and Japanese out, for Blender's own translation."""

from __future__ import annotations

from typing import Final

from . import ja as translations_ja
from . import zh as translations_zh

DICTIONARY: Final = {
    language: {
        (context, text): translated
        for text, translated in table.items()
        for context in ("*", "Operator")  # Blender looks buttons up in a context of their own
    }
    for language, table in (("zh_HANS", translations_zh.TABLE), ("ja_JP", translations_ja.TABLE))
}
