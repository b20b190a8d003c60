# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt's embeddings in, tokens and units out, step by step."""
