# SPDX-License-Identifier: GPL-3.0-or-later
"""Sections, tables and drawings in, one Markdown text and one HTML page out; for all reports."""
