# SPDX-License-Identifier: GPL-3.0-or-later
"""All of the add-on's classes in, a working add-on out, in the order that Blender needs."""

from __future__ import annotations

from typing import Any, Final

import bpy

from . import handlers, preferences, properties
from .buttons import adjust, bones, character, engine, export, generate, takes
from .panels import meshes, speech, status, take_tools
from .session import session
from .words import table

CLASSES: Final[tuple[Any, ...]] = (
    *properties.CLASSES,
    *preferences.CLASSES,
    *generate.CLASSES,
    *character.CLASSES,
    *bones.CLASSES,
    *takes.CLASSES,
    *adjust.CLASSES,
    *export.CLASSES,
    *engine.CLASSES,
    *status.CLASSES,  # a panel must be known before those inside it
    *meshes.CLASSES,
    *speech.CLASSES,
    *take_tools.CLASSES,
)


def register() -> None:
    """Make the add-on known to Blender."""
    for kind in CLASSES:
        bpy.utils.register_class(kind)
    properties.attach()
    handlers.attach()
    bpy.app.translations.register(__package__, table.DICTIONARY)


def unregister() -> None:
    """Take everything back; the engine's process ends."""
    engine.stop()
    session.close()
    bpy.app.translations.unregister(__package__)
    handlers.detach()
    properties.detach()
    for kind in reversed(CLASSES):
        bpy.utils.unregister_class(kind)
