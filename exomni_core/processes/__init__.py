# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs in; whether they still live out, and their end when we end."""
