# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames per second of the render paths, start-up, picture equality and memory, in one run.

    python benchmarks/render.py [--template head] [--frames 90] [--size 512x768] [--json out.json]
    python benchmarks/render.py --memory 10000 --size 256x384

The same head, clip, size and machine for every way, from a clip file to a finished mp4 with sound:

- rival: as research code renders. For each frame set the 52 values by name and render one still
  PNG; then ffmpeg joins PNGs and speech.
- workbench: keys in bulk, one animation render straight to H.264, then the speech is muxed in.
- fast: our own engine, one worker that may use every core.
- fast, N workers: as `exorender batch` runs it, a worker on each core, N clips each.

Each way is warmed up; then they take turns, ROUNDS rounds, so that a change of load hits all. Wall
clock and processor seconds (with ffmpeg's) are given: on a busy machine the second is the fairer.
Start-up is what a worker takes until its first two-frame clip is finished. Pictures are compared
with Workbench's of 16 samples on 60 moving frames. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import psutil
from render_pictures import compare

from exomni_core.arkit import ARKIT_52
from exomni_core.clip import Clip, load_face, save_clip
from render_jobs.settings import RenderSettings
from render_jobs.stage.stage import Stage, load_stage
from render_jobs.video.ffmpeg_command import find_ffmpeg
from render_jobs.video.make import render_video, render_worker
from render_jobs.video.mux import probe
from render_jobs.video.scene import apply_settings
from render_jobs.workers.cores import usable_cores
from render_jobs.workers.pool import Pool, Worker
from templates.library import find_template

FPS = 30
ROUNDS = 3
COMPARED = 60  # frames


def sample_clip(path: Path, frames: int) -> Path:
    """Save a clip of `frames` at 30 per second in which all channels wander smoothly."""
    rng = np.random.default_rng(0)
    speed, phase = rng.uniform(0.4, 4, 52), rng.uniform(0, 6.28, 52)
    high = rng.uniform(0.05, 0.35, 52)
    times = np.arange(frames)[:, None] / FPS
    weights = (high * (0.5 + 0.5 * np.sin(2 * np.pi * speed * times + phase))).astype(np.float32)
    audio = 0.3 * np.sin(2 * np.pi * 220 * np.arange(frames * 24_000 // FPS) / 24_000)
    save_clip(Clip(audio.astype(np.float32), 24_000, weights, fps=float(FPS)), path)
    return path


def rival(stage: Stage, clip: Path, settings: RenderSettings, video: Path) -> None:
    """The video by stills: set values, render a PNG, join them with ffmpeg."""
    apply_settings(stage, settings)
    scene = stage.scene
    if hasattr(scene.render.image_settings, "media_type"):
        scene.render.image_settings.media_type = "IMAGE"
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.compression = 15  # Blender's default
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


class Ways:
    """The workers of every way, warm; `run(name, clip)` makes the video and returns frames."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        width, height = map(int, options.size.split("x"))
        self.settings = RenderSettings(
            options.template, "fast", width, height, samples=options.samples, look=options.look
        )
        self.folder, self.cores = folder, usable_cores()
        self.stage = load_stage(find_template(options.template), options.look)
        self.single = Worker(render_worker(folder))
        self.single.wait_ready()
        self.pool = Pool(render_worker(folder), self.cores)

    def run(self, name: str, clip: Path) -> int:
        """Make `clip`'s video that way; the pool makes one for each worker at once."""
        if name == "rival":
            rival(self.stage, clip, self._settings("workbench"), self.folder / "rival.mp4")
        elif name == "workbench":
            self._video(self.single, clip, "workbench", 0)
        elif name == "fast":
            self._video(self.single, clip, "fast", 0)
        else:
            tasks = [
                self.pool.submit(lambda worker, n=n: self._video(worker, clip, "fast", n))
                for n in range(self.cores)
            ]
            return sum(task.result() for task in tasks)
        return probe(self.folder / ("rival.mp4" if name == "rival" else f"{name}-0.mp4")).frames

    def processes(self) -> list[psutil.Process]:
        """This process and all workers."""
        return [
            psutil.Process(),
            *(psutil.Process(p) for p in (self.single.pid, *self.pool.pids())),
        ]

    def close(self) -> None:
        """End the workers."""
        self.single.stop()
        self.pool.close()

    def _settings(self, engine: str) -> RenderSettings:
        return RenderSettings(**{**vars(self.settings), "engine": engine})

    def _video(self, worker: Worker, clip: Path, engine: str, number: int) -> int:
        video = self.folder / f"{engine}-{number}.mp4"
        key = f"{number:016d}{engine}"
        return render_video(
            worker, clip, video, self._settings(engine), key, work=self.folder
        ).frames


def processor_s(processes: list[psutil.Process]) -> float:
    """Processor seconds of these processes and the children that they have waited for."""
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def measure_speed(ways: Ways, frames: int) -> dict[str, Any]:
    """Frames per second and processor milliseconds per frame of each way, and the ratios."""
    names = ["rival", "workbench", "fast", f"fast, {ways.cores} workers"]
    warm, clip = (sample_clip(ways.folder / f"{n}.clip", n) for n in (2, frames // ROUNDS))
    for name in names:
        ways.run(name, warm)
    spent = {name: np.zeros(3) for name in names}  # wall, processor, frames
    for _ in range(ROUNDS):
        for name in names:
            processes = ways.processes()
            wall, busy = time.perf_counter(), processor_s(processes)
            made = ways.run(name, clip)
            wall, busy = time.perf_counter() - wall, processor_s(processes) - busy
            spent[name] += (wall, busy, made)
    result = {}
    for name, (wall, busy, made) in spent.items():
        base = spent["rival"]
        result[name] = {
            "fps": round(made / wall, 1),
            "cpu_ms": round(1000 * busy / made, 1),
            "ratio": round((made / wall) / (base[2] / base[0]), 2),
            "cpu_ratio": round((base[1] / base[2]) / (busy / made), 2),
        }
    return result


def measure_start(folder: Path, settings: RenderSettings) -> dict[str, float]:
    """Seconds until a fresh worker is ready, and until its first tiny clip is finished."""
    clip = sample_clip(folder / "2.clip", 2)
    began = time.perf_counter()
    worker = Worker(render_worker(folder), 0, usable_cores())
    worker.wait_ready()
    ready = time.perf_counter()
    render_video(worker, clip, folder / "start.mp4", settings, "start", work=folder)
    done = time.perf_counter()
    busy = sum(psutil.Process(worker.pid).cpu_times()[:4])
    worker.stop()
    return {
        "ready_s": round(ready - began, 2),
        "first_clip_s": round(done - ready, 2),
        "total_s": round(done - began, 2),
        "cpu_s": round(busy, 2),
    }


def measure_memory(folder: Path, settings: RenderSettings, frames: int) -> dict[str, Any]:
    """Resident memory of one worker, 20 times over one clip of `frames` frames."""
    worker = Worker(render_worker(folder))
    worker.wait_ready()
    process = psutil.Process(worker.pid)
    warm = sample_clip(folder / "300.clip", 300)
    render_video(worker, warm, folder / "warm.mp4", settings, "warm", work=folder)
    clip = sample_clip(folder / "long.clip", frames)
    seen: list[tuple[int, float]] = []
    drawn = 0

    def heard(count: int) -> None:
        nonlocal drawn
        drawn += count
        if not seen or drawn - seen[-1][0] >= frames // 20:
            seen.append((drawn, round(process.memory_info().rss / 2**20, 1)))

    began = time.perf_counter()
    render_video(worker, clip, folder / "long.mp4", settings, "long", work=folder, on_frames=heard)
    wall = time.perf_counter() - began
    worker.stop()
    half = [mb for at, mb in seen if at >= frames // 2]
    return {
        "frames": frames,
        "fps": round(frames / wall, 1),
        "rss_mb": [mb for _, mb in seen],
        "growth_in_second_half_mb": round(half[-1] - half[0], 1),
    }


def main() -> None:
    """Measure what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--template", default="head")
    parser.add_argument("--look", default="")
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--size", default="512x768")
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--memory", type=int, default=0, metavar="FRAMES")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {
        "benchmark": "render",
        "blender": bpy.app.version_string,
        "cores": usable_cores(),
        "template": options.template,
        "size": options.size,
    }
    with tempfile.TemporaryDirectory(prefix="exomni-bench-") as name:
        folder = Path(name)
        if options.memory:
            width, height = map(int, options.size.split("x"))
            settings = RenderSettings(options.template, "fast", width, height, look=options.look)
            report |= {"memory": measure_memory(folder, settings, options.memory)}
        else:
            ways = Ways(options, folder)
            report |= {"frames": options.frames, "ways": measure_speed(ways, options.frames)}
            ways.close()
            report["start"] = measure_start(folder, ways.settings)
            weights = load_face(sample_clip(folder / "60.clip", COMPARED)).weights
            report["picture"] = compare(ways.stage, weights, ways.settings)
    report["load"] = os.getloadavg()[0]
    for way, row in report.get("ways", {}).items():
        print(f"{way:16} {row['fps']:6.1f} frames/s ({row['ratio']} x), {row['cpu_ms']} ms CPU")
    print(json.dumps(report))
    if options.json:
        options.json.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
