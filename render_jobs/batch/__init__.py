# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompts file in, a folder of clips and videos out."""
