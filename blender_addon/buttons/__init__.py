# SPDX-License-Identifier: GPL-3.0-or-later
"""A press of a button in, what it does out: the operators, one subject a file."""
