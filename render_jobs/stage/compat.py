# SPDX-License-Identifier: GPL-3.0-or-later
"""A wish in, its effect out, in the way that this version of Blender (4.2 to 5.2) wants.

The only file on the render side that may ask for Blender's version. (Actions differ too; those
live in `exomni_core/keyframes.py`.)
"""

from __future__ import annotations

from typing import Any, Final

import bpy

VERSION: Final[tuple[int, int, int]] = tuple(bpy.app.version)


def engine_id(engine: str) -> str:
    """Blender's name for one of our render engines (see templates/render_engines.py)."""
    # EEVEE was rewritten for 4.2 under a new name and got its old name back in 5.0.
    eevee = "BLENDER_EEVEE" if VERSION >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"
    return {"eevee": eevee, "cycles": "CYCLES"}.get(engine, "BLENDER_WORKBENCH")


def choose_video_output(render: Any) -> None:
    """Let `render` (a scene's render settings) write a movie; 5.0 made that a separate choice."""
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.image_settings.color_mode = "RGB"


def choose_still_output(render: Any) -> None:
    """Let `render` (a scene's render settings) write PNG stills, with alpha."""
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGBA"
    render.image_settings.compression = 0


def choose_float_output(render: Any) -> None:
    """Let `render` (a scene's render settings) write stills as they were lit: OpenEXR, 32 bits."""
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "OPEN_EXR"
    render.image_settings.color_mode = "RGB"
    render.image_settings.color_depth = "32"


def node_tree_of(datablock: Any) -> Any:
    """The node tree of a material or world; from 5.0 they always have one."""
    if VERSION < (5, 0, 0):
        datablock.use_nodes = True
    return datablock.node_tree
