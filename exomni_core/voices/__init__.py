# SPDX-License-Identifier: GPL-3.0-or-later
"""Text in, speech with timed sounds out."""
