# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments in, ffmpeg command lines out; finds the program. Needs the standard library alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from exomni_core.errors import EnvironmentProblem


def find_ffmpeg() -> str:
    """The ffmpeg program: the one that imageio-ffmpeg brings, else the system's."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        if found := shutil.which("ffmpeg"):
            return found
        raise EnvironmentProblem(
            "ffmpeg was not found; run: pip install imageio-ffmpeg, or install ffmpeg"
        ) from error


def quiet_command(*arguments: str, program: str = "") -> list[str]:
    """An ffmpeg command line that asks nothing and prints errors alone; for `run_ffmpeg`."""
    return [program or find_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", *arguments]


def file_argument(path: Path) -> str:
    """A path as ffmpeg takes it: never mistaken for an option or a protocol (`a:b.mp4`)."""
    return f"file:{path.resolve()}"
