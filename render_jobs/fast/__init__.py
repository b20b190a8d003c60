# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage in, frames out, by our own renderer inside Blender."""
