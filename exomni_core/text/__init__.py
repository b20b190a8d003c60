# SPDX-License-Identifier: GPL-3.0-or-later
"""A text as a user wrote it in; what a voice should speak, with language and notes, out."""
