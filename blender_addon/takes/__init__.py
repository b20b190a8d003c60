# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in, takes in the scene out: keys, strips, slots, and back."""
