# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of heads and looks in, checked arrays and descriptors out; nothing here needs Blender."""
