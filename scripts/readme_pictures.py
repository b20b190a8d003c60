# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head in, the README's pictures of it out: docs/head_*.png and docs/head_speaks.gif.

Run it after a change of the head, of a look or of the embedded engine:
    python scripts/readme_pictures.py [--only NAME ...]
It needs the extra `render` and takes about a minute on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from exomni_core.clip import save_clip  # noqa: E402
from exomni_core.engine import load_engine  # noqa: E402
from exomni_core.prompt import parse_prompt  # noqa: E402
from exomni_core.retime import FrameRate  # noqa: E402
from render_jobs.settings import RenderSettings  # noqa: E402
from render_jobs.video.ffmpeg_command import find_ffmpeg  # noqa: E402
from render_jobs.video.make import render_video, render_worker  # noqa: E402
from render_jobs.video.mux import run_ffmpeg  # noqa: E402
from render_jobs.video.sheet import look_sheet, shape_sheet, speech_sheet  # noqa: E402
from render_jobs.video.sheet_file import GAP, Pixels  # noqa: E402
from render_jobs.workers.pool import Worker  # noqa: E402

DOCS = ROOT / "docs"
LINE = "Hello! I am made by code, and I say whatever you type."
LOOKS = ("clay", "skin")
FPS = 20  # a GIF counts in hundredths of a second
FACE = (270, 360)  # pixels of one face in the animation
HEAD_MOTION = 0.3
_MOST_BYTES = 3 << 20  # a README must load at once


def shapes() -> Path:
    """All 52 shapes in clay."""
    shape_sheet("head", DOCS / "head_shapes.png", "clay")
    return DOCS / "head_shapes.png"


def speech() -> Path:
    """Sounds and expressions in skin."""
    speech_sheet("head", DOCS / "head_speech.png", "skin", size=(220, 244))
    return DOCS / "head_speech.png"


def looks() -> Path:
    """One pose in every look."""
    look_sheet(["head"], DOCS / "head_looks.png", size=(300, 400))
    return DOCS / "head_looks.png"


def speaks() -> Path:
    """The head says a line in clay and in skin, side by side, as a GIF that repeats."""
    prompt = parse_prompt(
        {"id": "readme", "text": LINE, "style": "neutral", "language": "en"}, ROOT
    )
    engine = load_engine("embedded")
    width, height = FACE
    sides = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        try:
            save_clip(engine.generate(prompt), work / "line.clip")
        finally:
            engine.close()
        worker = Worker(render_worker(work))
        try:
            worker.wait_ready()
            for look in LOOKS:
                settings = RenderSettings(
                    look=look,
                    width=2 * width,
                    height=2 * height,
                    frame_rate=FrameRate(FPS),
                    head_motion=HEAD_MOTION,
                )
                video = work / f"{look}.mp4"
                render_video(worker, work / "line.clip", video, settings, look, work=work)
                sides.append(read_frames(video, width, height))
        finally:
            worker.stop()
    between = np.full((len(sides[0]), height, GAP, 3), 255, np.uint8)
    write_gif(np.concatenate([sides[0], between, sides[1]], axis=2), DOCS / "head_speaks.gif")
    return DOCS / "head_speaks.gif"


def read_frames(video: Path, width: int, height: int) -> Pixels:
    """All frames of a video, made smaller: (n, height, width, 3) uint8."""
    raw = video.with_suffix(".rgb")
    scale = f"scale={width}:{height}:flags=lanczos"
    command = [find_ffmpeg(), "-v", "error", "-y", "-i", str(video), "-vf", scale]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", str(raw)]
    run_ffmpeg(command, f"reading {video.name}")
    return np.fromfile(raw, np.uint8).reshape(-1, height, width, 3)


def write_gif(frames: Pixels, path: Path) -> None:
    """Write (n, H, W, 3) uint8 frames as a GIF with one palette made for them."""
    count, height, width, _ = frames.shape
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "frames.rgb"
        raw.write_bytes(frames.tobytes())
        palette = (
            "split[a][b];[a]palettegen=max_colors=256[p];[b][p]paletteuse=dither=bayer:"
            "bayer_scale=4:diff_mode=rectangle"
        )
        size = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(FPS)]
        command = [find_ffmpeg(), "-v", "error", "-y", *size, "-i", str(raw), "-vf", palette]
        run_ffmpeg([*command, "-loop", "0", str(path)], f"writing {path.name} ({count} frames)")


PICTURES = {"shapes": shapes, "speech": speech, "looks": looks, "speaks": speaks}


def main() -> None:
    """Make the pictures that were asked for, all by default."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES))
    for name in parser.parse_args().only:
        began = time.perf_counter()
        path = PICTURES[name]()
        size = path.stat().st_size
        print(f"{path.relative_to(ROOT)}: {size >> 10} KB, {time.perf_counter() - began:.1f} s")
        if size > _MOST_BYTES:
            print(f"  larger than {_MOST_BYTES >> 20} MB: make FACE or FPS smaller")


if __name__ == "__main__":
    main()
