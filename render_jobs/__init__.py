# SPDX-License-Identifier: GPL-3.0-or-later
"""render_jobs: clips to videos, many at once, and the command `exorender`."""
