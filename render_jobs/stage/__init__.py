# SPDX-License-Identifier: GPL-3.0-or-later
"""A template in, a Blender scene with camera, light and a moving head out."""
