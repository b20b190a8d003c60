# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in, videos, studies and tables of measures out; and the command `exorender`."""
