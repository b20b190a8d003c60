# SPDX-License-Identifier: GPL-3.0-or-later
"""blender_addon: a typed line or a recording in, a speaking character in the scene out."""

from __future__ import annotations


def register() -> None:
    """Called by Blender when the add-on is switched on."""
    from . import _vendor, registration  # the first of them finds the core for all the others

    assert _vendor.CORE
    registration.register()


def unregister() -> None:
    """Called by Blender when the add-on is switched off or Blender ends."""
    from . import registration

    registration.unregister()
