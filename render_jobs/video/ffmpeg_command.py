# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments in, ffmpeg command lines out; finds the program. Needs the standard library alone."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from exomni_core.errors import EnvironmentProblem
from exomni_core.processes.life import how_it_ended
from exomni_core.storage.logs import last_line
from render_jobs.workers.groups import Group

ENCODERS: Final[Mapping[str, tuple[str, ...]]] = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("prores_ks", "pcm_s16le"),
    ".webm": ("libvpx-vp9", "libopus"),
    ".png": ("png",),
}
CHECK_S: Final = 30.0  # it answers in a tenth of a second
_GET: Final = "run: pip install imageio-ffmpeg, and unset IMAGEIO_FFMPEG_EXE if it names another"


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


def check_ffmpeg(*endings: str, timeout_s: float = CHECK_S) -> str:
    """The ffmpeg program, which runs and can write files with these endings.

    Raises EnvironmentProblem: it is missing, can't be started, fails, hangs or lacks an encoder.
    """
    program = find_ffmpeg()
    listing = _listing(program, timeout_s)
    needed = [name for ending in endings for name in ENCODERS[ending]]
    if lacking := [name for name in needed if f" {name} " not in listing]:
        raise EnvironmentProblem(f"{program} lacks the encoder {' and '.join(lacking)}; {_GET}")
    return program


def _listing(program: str, timeout_s: float) -> str:
    """What it says of its encoders."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        try:
            with Group(
                (program, "-hide_banner", "-encoders"),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=complaints,
            ) as group:
                code = group.process.wait(timeout_s)
        except OSError as error:
            raise EnvironmentProblem(
                f"{program} can't be started ({error.strerror}); {_GET}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise EnvironmentProblem(
                f"{program} gave no answer within {timeout_s:g} s; {_GET}"
            ) from error
        out.seek(0)
        complaints.seek(0)
        if code != 0:
            word = last_line(complaints.read()) or f"it {how_it_ended(code)}"
            raise EnvironmentProblem(f"{program} can't be used ({word}); {_GET}")
        return out.read().decode("utf-8", "replace")


def quiet_command(*arguments: str, program: str = "") -> list[str]:
    """An ffmpeg command line that asks nothing and prints errors alone; for `run_ffmpeg`."""
    return [program or find_ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", *arguments]


def file_argument(path: Path) -> str:
    """A path as ffmpeg takes it: never mistaken for an option or a protocol (`a:b.mp4`)."""
    return f"file:{path.resolve()}"
