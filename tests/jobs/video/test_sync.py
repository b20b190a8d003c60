# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture and sound of a finished video belong together: beeps and flashes, at every usual rate."""

import subprocess

import numpy as np
import pytest
from bpy_scripts.samples import flash_clip, tiny_template

from exomni_core.clip import frame_count
from exomni_core.retime import parse_frame_rate
from render_jobs.settings import RenderSettings
from render_jobs.video.ffmpeg_command import find_ffmpeg
from render_jobs.video.make import render_video, render_worker
from render_jobs.video.mux import probe
from render_jobs.workers.pool import Worker

pytest.importorskip("bpy")
pytestmark = pytest.mark.bpy

RATES = ("23.976", "24", "25", "29.97", "30", "60")
ROWS_ON = (30, 68, 97)  # of 60 per second; the second and third fall between frames of most rates
CLIP_FPS = 60.0
SECONDS = 2.01  # no whole number of frames at any rate
WIDTH, HEIGHT = 32, 48


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = Worker(render_worker(tmp_path_factory.mktemp("scratch")))
    worker.wait_ready()
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sync")
    tiny_template(folder / "tiny")
    flash_clip(folder / "flash.clip", ROWS_ON, SECONDS, CLIP_FPS)
    return folder


def decode(video, *options):
    command = [find_ffmpeg(), "-v", "error", "-i", str(video), *options, "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def flash_frames(video):
    """The numbers of the frames that are bright while the one before is dark."""
    raw = decode(video, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray")
    bright = np.frombuffer(raw, np.uint8).reshape(-1, WIDTH * HEIGHT).mean(axis=1) > 100
    return np.flatnonzero(bright[1:] & ~bright[:-1]) + 1


def beep_seconds(video):
    """When a tone starts after silence."""
    sound = np.frombuffer(decode(video, "-f", "f32le", "-ac", "1", "-ar", "48000"), np.float32)
    loud = np.flatnonzero(np.abs(sound) > 0.4)
    starts = loud[np.diff(loud, prepend=-48_000) > 4_800]
    return starts / 48_000


@pytest.mark.parametrize("rate", RATES)
def test_flash_and_beep_stay_within_a_frame(rate, worker, place, record_property):
    frame_rate = parse_frame_rate(rate)
    fps = frame_rate.fps
    settings = RenderSettings(
        template=str(place / "tiny"), width=WIDTH, height=HEIGHT, frame_rate=frame_rate
    )
    video = place / f"{rate}.mp4"
    result = render_video(worker, place / "flash.clip", video, settings, "k" * 64, work=place)

    flashes, beeps = flash_frames(video) / fps, beep_seconds(video)
    assert len(flashes) == len(beeps) == len(ROWS_ON)
    offsets_ms = 1000 * (flashes - beeps)
    record_property("offsets_ms", [round(float(x), 2) for x in offsets_ms])
    print(f"{rate} fps: flash after beep by {np.round(offsets_ms, 2)} ms")
    assert np.abs(offsets_ms).max() <= 1000 / fps
    # The speech itself must not be moved by a resampler or an encoder's lead-in either.
    assert np.abs(beeps - np.array(ROWS_ON) / CLIP_FPS).max() < 0.004

    info = probe(video)
    assert result.frames == info.frames == frame_count(SECONDS, fps)
    assert info.video_start_s == 0.0
    assert info.audio_start_s == pytest.approx(0.0, abs=1e-4)
    assert info.video_end_s == pytest.approx(info.frames / fps, abs=1e-3)
    assert abs(info.video_end_s - info.audio_end_s) <= 1 / fps
    assert (info.width, info.height) == (WIDTH, HEIGHT)
