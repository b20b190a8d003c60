# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests in, answers out, through helper processes that may crash without harm."""
