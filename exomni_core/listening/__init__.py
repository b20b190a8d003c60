# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording in, its words and sounds with times out."""
