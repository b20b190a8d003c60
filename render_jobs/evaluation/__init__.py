# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips, runs and references in, measured tables out."""
