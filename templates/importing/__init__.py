# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own head in, a checked template out: what needs no Blender."""
