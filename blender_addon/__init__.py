# SPDX-License-Identifier: GPL-3.0-or-later
"""blender_addon: the clip in the animator's scene (a later release); nothing to import yet."""
