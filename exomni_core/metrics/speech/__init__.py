# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts and transcripts in, error rates of speech out."""
