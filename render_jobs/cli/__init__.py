# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines in, calls of the other rooms out: `exorender`, one file a verb."""
