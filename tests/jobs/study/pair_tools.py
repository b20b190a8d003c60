# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a small study, and what its files and pictures hold."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from render_jobs.study.making.pairs import PairOptions
from render_jobs.video.ffmpeg_command import find_ffmpeg
from render_jobs.video.mux import probe

NAMES = ("velvet_otter", "copper_heron", "amber_lynx")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def pictures(video: Path) -> np.ndarray:
    """(frames, height, width, 3) uint8."""
    info = probe(video)
    command = [find_ffmpeg(), "-v", "error", "-i", str(video), "-f", "rawvideo",
               "-pix_fmt", "rgb24", "-"]  # fmt: skip
    raw = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return np.frombuffer(raw, np.uint8).reshape(info.frames, info.height, info.width, 3)


def is_plain(image: np.ndarray) -> bool:
    return int(np.ptp(image.reshape(-1, 3).astype(int), axis=0).max()) <= 12


def options(runs, out, **changes):
    given = {"count": 2, "raters": 2, "languages": ("en",), "min_s": 0.5, "contact": "x"}
    return PairOptions(tuple(runs), out, **(given | changes))
