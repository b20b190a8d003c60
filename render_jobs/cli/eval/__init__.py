# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines in, measures out: `exorender eval ...`, one file per command."""
