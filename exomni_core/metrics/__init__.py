# SPDX-License-Identifier: GPL-3.0-or-later
"""Faces, sounds, texts and clocks in, numbers with their settings out: how good a clip is."""
