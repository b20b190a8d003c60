# SPDX-License-Identifier: GPL-3.0-or-later
"""A study in, a web page for its raters and their ratings on disk out."""
