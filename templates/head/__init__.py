# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in -> the built-in head (`templates.head.build.build_head`), made by code alone."""
