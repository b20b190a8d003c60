# SPDX-License-Identifier: GPL-3.0-or-later
"""Two pretended systems with tiny videos, and one small finished study made of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from system_tools import write_prompts

from exomni_core.audio import write_wav
from render_jobs.study.making.pairs import PairOptions, build_study
from render_jobs.video.ffmpeg_command import find_ffmpeg

SYSTEM_NAMES = ("velvet_otter", "copper_heron")  # words that nothing else would hold
RATE_HZ = 16_000


def speech(seed: int, duration_s: float) -> Any:
    """(S,) float32 noise that comes and goes like syllables; each seed its own."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    syllables = np.clip(np.sin(2 * np.pi * (3 + seed % 3) * time_s + seed), 0, 1)
    return (0.2 * rng.standard_normal(len(time_s)) * syllables).clip(-0.9, 0.9).astype(np.float32)


def make_video(
    path: Path,
    pattern: str,
    duration_s: float,
    *,
    sound: Any = None,
    size: str = "96x128",
    fps: str = "30",
) -> Path:
    """A small mp4 of a test picture; sound: (S,) samples at RATE_HZ, None for a silent one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [find_ffmpeg(), "-v", "error", "-y", "-f", "lavfi", "-i",
               f"{pattern}=size={size}:rate={fps}:duration={duration_s}"]  # fmt: skip
    if sound is not None:
        write_wav(path.with_suffix(".wav"), sound, RATE_HZ)
        command += ["-i", str(path.with_suffix(".wav")), "-c:a", "aac", "-b:a", "96k"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(command, check=True, timeout=60)
    path.with_suffix(".wav").unlink(missing_ok=True)
    return path


def make_runs(
    root: Path, items: dict[str, float], patterns: tuple[str, ...] = ("testsrc", "testsrc2")
) -> list[Path]:
    """One folder of videos for each pattern, the same speech in all; items: id -> seconds."""
    jobs = [
        (root / name / f"{item}.mp4", pattern, length_s, speech(number, length_s))
        for name, pattern in zip((*SYSTEM_NAMES, "amber_lynx"), patterns)  # noqa: B905
        for number, (item, length_s) in enumerate(items.items())
    ]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda job: make_video(*job[:3], sound=job[3]), jobs))
    return list(dict.fromkeys(job[0].parent for job in jobs))


SMALL_ITEMS = {f"{language}_{k:02d}": 1.0 + 0.2 * k for k in range(5) for language in ("en", "zh")}


@pytest.fixture(scope="session")
def study_tools() -> tuple[Callable[..., Path], Callable[..., Any]]:
    """`make_video` and `speech`, for tests that make runs of their own."""
    return make_video, speech


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten items (five English, five Chinese, 1 to 1.8 s) by two systems, as folders of videos."""
    return make_runs(tmp_path_factory.mktemp("runs"), SMALL_ITEMS)


@pytest.fixture(scope="session")
def small_study(two_runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study folder, not to be changed: 6 pairs, 4 seats of 10 trials, one comparison.

    Of each seat 2 trials are practice, 6 main, 1 identical and 1 delayed. Copy it to serve it.
    """
    out = tmp_path_factory.mktemp("study") / "study"
    options = PairOptions(
        tuple(two_runs),
        out,
        count=6,
        raters=4,
        languages=("en", "zh"),
        seed=5,
        min_s=0.5,
        contact="The tester",
    )
    return build_study(options).folder


@pytest.fixture
def study_copy(small_study: Path, tmp_path: Path) -> Callable[[], Path]:
    """A function that gives a fresh copy of `small_study` to serve or to break."""
    import shutil

    count = 0

    def copy() -> Path:
        nonlocal count
        count += 1
        return Path(shutil.copytree(small_study, tmp_path / f"study{count}"))

    return copy


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """A prompts file with two recordings of 1 s and 1.3 s."""
    rows = []
    for k, length_s in enumerate((1.0, 1.3)):
        write_wav(tmp_path / f"s{k}.wav", speech(k, length_s), 16_000)
        rows.append(
            {
                "id": f"p{k}",
                "audio": f"s{k}.wav",
                "transcript": "héllo; rm -rf $HOME \"'",
                "language": "en",
            }
        )
    return write_prompts(tmp_path, rows)
