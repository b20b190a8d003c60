# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech units in, sound out, and back: flow, vocoder, speech tokenizer."""
