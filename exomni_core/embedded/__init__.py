# SPDX-License-Identifier: GPL-3.0-or-later
"""Text or a recording in -> a clip out, offline: the engine that needs no GPU and no weights."""
