# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces and their references on one clock in, distances in millimetres and their table out."""
