# SPDX-License-Identifier: GPL-3.0-or-later
"""Text and sounds in, what they mean for a mouth out: tokens, languages, phones, visemes."""
