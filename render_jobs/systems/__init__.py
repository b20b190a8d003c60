# SPDX-License-Identifier: GPL-3.0-or-later
"""A system and a prompts file in, a run folder as `batch` makes it out."""
