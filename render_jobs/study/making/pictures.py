# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in, how their pictures were made out: what is rendered for a study shall look the same."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exomni_core.errors import InputError
from render_jobs.settings import RenderSettings, settings_from_json
from render_jobs.study.making.runs import Run
from render_jobs.video.ffmpeg_command import file_argument, quiet_command
from render_jobs.video.mux import run_ffmpeg


def choose_settings(asked: RenderSettings | None, runs: Sequence[Run]) -> RenderSettings:
    """How to render what has no video: as asked, else as the first run that tells, else ours."""
    if asked is not None:
        return asked
    for run in runs:
        told = _told_settings(run)
        with contextlib.suppress(InputError, KeyError, TypeError):
            if told:
                return settings_from_json(told)
    return RenderSettings()


def _told_settings(run: Run) -> dict[str, Any]:
    """The picture settings in a run's own record, if it has rendered anything."""
    if not any(item.video for item in run.items.values()):
        return {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))["settings"]
        return dict(record.get("settings") or record["options"]["settings"])
    return {}


def different_settings(asked: RenderSettings | None, runs: Sequence[Run]) -> list[str]:
    """Names of the picture settings in which runs differ, as far as they tell."""
    told = [_told_settings(run) for run in runs]
    if not all(any(item.video for item in run.items.values()) for run in runs):
        told.append(choose_settings(asked, runs).to_json())
    told = [one for one in told if one]
    names = {name for one in told for name in one}
    return sorted(n for n in names if len({json.dumps(one.get(n)) for one in told}) > 1)


def look_apart(one: Path, other: Path) -> bool:
    """Whether the first pictures of two videos differ so much in light or colour that it shows.

    Compares the means of brightness and colour, which another head, light or background shifts and
    another pose does not. Raises WorkerError for a video that can't be read.
    """
    pairs = zip(_mean_colour(one), _mean_colour(other), strict=True)
    return any(abs(a - b) > most for (a, b), most in zip(pairs, (8.0, 3.0, 3.0), strict=True))


def _mean_colour(video: Path) -> list[float]:
    """Mean luma and both chroma values of the first picture, 0 to 255."""
    command = quiet_command(
        "-i",
        file_argument(video),
        "-an",
        "-frames:v",
        "1",
        "-vf",
        "format=yuv444p,signalstats,metadata=mode=print:file=-",
        "-f",
        "null",
        "-",
    )
    told = run_ffmpeg(command, f"looking at {video.name}")
    found = [re.search(rf"signalstats\.{plane}AVG=([\d.]+)", told) for plane in "YUV"]
    return [float(one[1]) if one else 0.0 for one in found]
