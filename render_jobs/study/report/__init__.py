# SPDX-License-Identifier: GPL-3.0-or-later
"""Ratings in, statistics and a report out."""
