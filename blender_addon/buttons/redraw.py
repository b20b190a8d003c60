# SPDX-License-Identifier: GPL-3.0-or-later
"""The windows in, what shows progress drawn again out."""

from __future__ import annotations

from typing import Any


def redraw(context: Any) -> None:
    """Draw sidebars and preferences again, so that progress shows."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()
            if area.type == "PREFERENCES":
                area.tag_redraw()
