# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and data sets of others in, our own measured files out."""
