# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets in, bounded requests out: what the engine service and the study server share."""
