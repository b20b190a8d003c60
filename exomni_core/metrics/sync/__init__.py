# SPDX-License-Identifier: GPL-3.0-or-later
"""A face and the sounds it should show in, how well and how late it shows them out."""
