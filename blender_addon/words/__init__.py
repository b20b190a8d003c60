# SPDX-License-Identifier: GPL-3.0-or-later
"""English words of the panel in, the user's language out."""
