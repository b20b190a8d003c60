# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's head file in, a template out."""
