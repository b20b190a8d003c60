# SPDX-License-Identifier: GPL-3.0-or-later
"""templates: heads and looks, as arrays and descriptors; nothing here needs Blender."""
