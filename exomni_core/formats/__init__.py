# SPDX-License-Identifier: GPL-3.0-or-later
"""A face file of another program in, a face track out, and a clip out as such a file."""
