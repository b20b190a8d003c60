# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in, a sealed study with blinded videos out."""
