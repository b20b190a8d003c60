# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's sources in, the Blender extension's zips out."""
