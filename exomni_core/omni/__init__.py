# SPDX-License-Identifier: GPL-3.0-or-later
"""The neural engine: text or speech in; reply text, speech and face out. Only it loads torch."""
