# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording's header and its blocks of many channels in, mono samples and notes out."""
