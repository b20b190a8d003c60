# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines in, calls of the other packages out: `exorender`, one file per verb."""
