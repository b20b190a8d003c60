# SPDX-License-Identifier: GPL-3.0-or-later
"""All of the add-on's classes, in the order in which Blender must learn of them."""

from __future__ import annotations

from typing import Any, Final

import bpy

from . import handlers, panel, preferences, properties
from .buttons import character as character_operators
from .buttons import engine as engine_operators
from .buttons import export
from .buttons import generate as operators
from .buttons import takes as take_operators
from .session import session
from .words import table as translations

CLASSES: Final[tuple[Any, ...]] = (
    *properties.CLASSES,
    *preferences.CLASSES,
    *operators.CLASSES,
    *character_operators.CLASSES,
    *take_operators.CLASSES,
    *export.CLASSES,
    *engine_operators.CLASSES,
    *panel.CLASSES,
)


def register() -> None:
    """Make the add-on known to Blender."""
    for kind in CLASSES:
        bpy.utils.register_class(kind)
    properties.attach()
    handlers.attach()
    bpy.app.translations.register(__package__, translations.DICTIONARY)


def unregister() -> None:
    """Take everything back; the engine's process ends."""
    engine_operators.stop()
    session.close()
    bpy.app.translations.unregister(__package__)
    handlers.detach()
    properties.detach()
    for kind in reversed(CLASSES):
        bpy.utils.unregister_class(kind)
