# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames per second of our render path against the plain way, on this machine, in one run.

    python benchmarks/render.py [--template head] [--frames 90] [--size 512x768] [--json out.json]

Ours: keys in bulk, one animation render straight to H.264, then the speech is muxed in.
Plain (as research code renders): for each frame set the 52 values and render one still PNG; then
ffmpeg joins PNGs and speech. Same Blender process, template, camera, size, engine, antialiasing
and view transform. Each way is warmed up with two frames; then they take turns, three rounds of a
third of the frames, so that a change of load hits both. Wall clock and processor seconds (ours and
ffmpeg's) are given: on a shared machine the second is the fairer one. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from exomni_core.arkit import ARKIT_52
from exomni_core.clip import Clip, load_face, save_clip
from render_jobs.encode import find_ffmpeg, mux, probe
from render_jobs.scene import apply_settings, render_face
from render_jobs.settings import RenderSettings
from render_jobs.stage import Stage, load_stage
from templates.library import find_template

FPS = 30
ROUNDS = 3


def sample_clip(path: Path, frames: int) -> None:
    """Save a clip of `frames` at 30 per second in which all channels wander smoothly."""
    rng = np.random.default_rng(0)
    speed, phase = rng.uniform(0.4, 4, 52), rng.uniform(0, 6.28, 52)
    high = rng.uniform(0.05, 0.35, 52)
    times = np.arange(frames)[:, None] / FPS
    weights = (high * (0.5 + 0.5 * np.sin(2 * np.pi * speed * times + phase))).astype(np.float32)
    audio = 0.3 * np.sin(2 * np.pi * 220 * np.arange(frames * 24_000 // FPS) / 24_000)
    save_clip(Clip(audio.astype(np.float32), 24_000, weights, fps=float(FPS)), path)


def ours(stage: Stage, clip: Path, settings: RenderSettings, video: Path) -> None:
    """From clip file to finished mp4."""
    face = load_face(clip)
    silent = video.with_suffix(".silent.mp4")
    render_face(stage, face.weights, settings, silent, lambda _: None)
    speech = video.with_suffix(".flac")
    speech.write_bytes(face.flac)
    mux(silent, speech, video, settings.frame_rate, key="benchmark")


def plain(stage: Stage, clip: Path, settings: RenderSettings, video: Path) -> None:
    """The same video by stills: set values, render a PNG, join them with ffmpeg."""
    apply_settings(stage, settings)
    scene = stage.scene
    if hasattr(scene.render.image_settings, "media_type"):
        scene.render.image_settings.media_type = "IMAGE"
    scene.render.image_settings.file_format = "PNG"
    scene.render.use_file_extension = True
    face = load_face(clip)
    keys, matching = stage.faces[0]
    with tempfile.TemporaryDirectory() as folder:
        for number, row in enumerate(face.weights.tolist()):
            for channel, value in zip(ARKIT_52, row, strict=True):
                keys.key_blocks[matching.key_of[channel]].value = value
            scene.render.filepath = f"{folder}/{number:05d}.png"
            bpy.ops.render.render(write_still=True)
        flac = Path(folder) / "speech.flac"
        flac.write_bytes(face.flac)
        command = [find_ffmpeg(), "-y", "-loglevel", "error", "-framerate", str(FPS)]
        command += ["-i", f"{folder}/%05d.png", "-i", str(flac), "-pix_fmt", "yuv420p", str(video)]
        subprocess.run(command, check=True)


def timed(way: Callable[..., None], *arguments: Any) -> np.ndarray:
    """(wall seconds, processor seconds of this process and its children) for one call."""
    before = os.times()
    way(*arguments)
    after = os.times()
    return np.array([after.elapsed - before.elapsed, sum(after[:4]) - sum(before[:4])])


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run both ways on one clip and return the report."""
    width, height = map(int, options.size.split("x"))
    settings = RenderSettings(options.template, options.engine, width, height)
    sample_clip(folder / "warm.clip", 2)
    frames = options.frames // ROUNDS
    sample_clip(folder / "a.clip", frames)
    stage = load_stage(find_template(options.template))
    ours(stage, folder / "warm.clip", settings, folder / "ours.mp4")
    plain(stage, folder / "warm.clip", settings, folder / "plain.mp4")

    ways = {"ours": ours, "plain": plain}
    spent = {name: np.zeros((ROUNDS, 2)) for name in ways}
    for turn in range(ROUNDS):
        for name, way in ways.items():
            video = folder / f"{name}.mp4"
            spent[name][turn] = timed(way, stage, folder / "a.clip", settings, video)
            assert probe(video).frames == frames, name
    wall, cpu = ({name: table[:, i].sum() for name, table in spent.items()} for i in (0, 1))
    total = ROUNDS * frames
    return {
        "benchmark": "render",
        "blender": bpy.app.version_string,
        "cores": os.cpu_count(),
        "template": options.template,
        "engine": options.engine,
        "size": options.size,
        "antialias": stage.template.look.antialias,
        "frames": total,
        "ours_fps": round(total / wall["ours"], 2),
        "plain_fps": round(total / wall["plain"], 2),
        "ratio": round(wall["plain"] / wall["ours"], 2),
        "ratio_by_round": (spent["plain"][:, 0] / spent["ours"][:, 0]).round(2).tolist(),
        "ours_cpu_ms": round(1000 * cpu["ours"] / total, 1),
        "plain_cpu_ms": round(1000 * cpu["plain"] / total, 1),
        "cpu_ratio": round(cpu["plain"] / cpu["ours"], 2),
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Measure, print, and keep the videos where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--template", default="head")
    parser.add_argument("--engine", default="workbench")
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--size", default="512x768")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="exomni-bench-") as folder:
        report = measure(options, Path(folder))
    print(f"ours  {report['ours_fps']:6.2f} frames per second, clip file to finished mp4")
    print(f"plain {report['plain_fps']:6.2f} frames per second; ours is {report['ratio']} x")
    print(f"processor time: ours is {report['cpu_ratio']} x (load {report['load']:.1f})")
    print(json.dumps(report))
    if options.json:
        options.json.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
