# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields and texts in, Blender properties and translated texts out; types for base classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import bpy

if TYPE_CHECKING:  # bpy has no types of its own, and a class may not be made from nothing known

    class _Struct:
        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    class Mixin(_Struct):
        """What operators and panels share."""

    class Operator(_Struct):
        """A button's work."""

    class Panel(_Struct):
        """A part of the sidebar."""

    class PropertyGroup(_Struct):
        """Data in a .blend."""

    class UIList(_Struct):
        """A list's rows."""

    class AddonPreferences(_Struct):
        """Settings of this machine."""

else:
    Mixin = object  # Blender reads properties of plain bases alone, not of its own types
    Operator, Panel, UIList = bpy.types.Operator, bpy.types.Panel, bpy.types.UIList
    PropertyGroup, AddonPreferences = bpy.types.PropertyGroup, bpy.types.AddonPreferences

_T = TypeVar("_T", bound=type)


def fields(**properties: Any) -> Callable[[_T], _T]:
    """Declare Blender properties on a class, in order; the same as annotations in its body.

    Annotations that are calls are no types, so that type checkers refuse them.
    """

    def declare(kind: _T) -> _T:
        kind.__annotations__ = properties
        return kind

    return declare


def tr(text: str, **values: Any) -> str:
    """`text` in Blender's interface language, with `{names}` filled in."""
    translated: str = bpy.app.translations.pgettext_iface(text)
    return translated.format(**values) if values else translated
