# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes and plain data in, whole files out, and back: atomic writes, hashes, archives."""
