# SPDX-License-Identifier: GPL-3.0-or-later
"""Text or a recording in -> a clip out, offline: the default engine, without GPU or weights."""
