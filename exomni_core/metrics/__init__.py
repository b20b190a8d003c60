# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of faces: coefficient files in, numbers with their settings out; numpy alone."""
