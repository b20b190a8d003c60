# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip in, a video or stills out, through a render worker and ffmpeg."""
