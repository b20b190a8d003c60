# SPDX-License-Identifier: GPL-3.0-or-later
"""Each frame of a side is the frame of the source that belongs to its time, not one beside it."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from exomni_core.retime import FrameRate
from render_jobs.study.making.composite import Canvas, Side, encode_side
from render_jobs.study.making.design import ItemChoice, Show
from render_jobs.study.making.eligibility import SideSource
from render_jobs.study.making.stimuli import Workshop
from render_jobs.video.ffmpeg_command import find_ffmpeg
from render_jobs.video.mux import probe

STEP = 5  # of brightness from frame to frame


def counting_video(path, fps="30", frames=40, late_s=0.0):
    """Frame k has the brightness 16 + STEP * k; with late_s, its picture starts late."""
    chain = f"color=black:size=32x32:rate={fps},format=gray,geq=lum='N*{STEP}+16',format=yuv420p"
    command = [find_ffmpeg(), "-v", "error", "-y", "-itsoffset", str(late_s), "-f", "lavfi", "-i",
               chain, "-f", "lavfi", "-i", "anullsrc=r=16000", "-frames:v", str(frames), "-t", "3",
               "-c:v", "libx264", "-qp", "0", "-bf", "2", "-fps_mode", "passthrough", "-c:a", "aac",
               str(path)]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    return path


def brightness(path):
    command = [find_ffmpeg(), "-v", "error", "-i", str(path), "-map", "0:v", "-fps_mode",
               "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"]  # fmt: skip
    raw = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    info = probe(path)
    return np.frombuffer(raw, np.uint8).reshape(info.frames, -1).mean(axis=1)


@pytest.mark.parametrize("rate", ["30", "30000/1001", "25"])
def test_same_rate_is_frame_for_frame(rate, tmp_path):
    top, _, bottom = rate.partition("/")
    canvas = Canvas(
        32,
        32,
        FrameRate(int(top) // (1000 if bottom else 1), int(bottom or 1) / (1000 if bottom else 1)),
    )
    source = counting_video(tmp_path / "in.mp4", rate)
    lead = canvas.lead_frames
    side = Side(source, 32, 32, lead, 45)
    encode_side(side, lead + 45, canvas, tmp_path / "out.mp4")
    seen = brightness(tmp_path / "out.mp4")
    expected = brightness(source)
    assert len(seen) == lead + 45
    assert np.abs(seen[lead : lead + 40] - expected).max() < STEP / 2
    assert np.abs(seen[lead + 40 :] - expected[-1]).max() < STEP / 2  # the last one is held


def test_60_to_30_takes_every_other_frame(tmp_path):
    source = counting_video(tmp_path / "in.mp4", "60")
    canvas = Canvas(32, 32, FrameRate(30))
    encode_side(Side(source, 32, 32, 9, 20), 29, canvas, tmp_path / "out.mp4")
    seen, expected = brightness(tmp_path / "out.mp4")[9:], brightness(source)
    apart = np.abs(seen[:, None] - expected[None]).argmin(axis=1) - 2 * np.arange(20)
    assert set(apart) <= {0, 1}
    assert len(set(apart)) == 1  # one of the two frames of each moment, always the same


def test_a_late_picture_stays_late(tmp_path):
    source = counting_video(tmp_path / "in.mp4", late_s=0.2)
    info = probe(source)
    item = ItemChoice("a", "en")
    sound = np.zeros(48_000, np.float32)
    workshop = Workshop(
        {("x", "a"): SideSource(source, info, FrameRate(30), sound)},
        "x",
        Canvas(32, 32, FrameRate(30)),
        b"k",
        tmp_path,
        "shared",
        "composite",
    )
    side = workshop.layout(Show("k", "g", item, "x", "x")).left
    assert side.delay == 6
    encode_side(side, 39, workshop.canvas, tmp_path / "out.mp4")
    seen, expected = brightness(tmp_path / "out.mp4")[9:], brightness(source)
    assert np.abs(seen[6:30] - expected[:24]).max() < STEP / 2
    assert np.abs(seen[:6] - expected[0]).max() < STEP / 2
    late = workshop.layout(Show("k", "g", item, "x", "x", "right"))
    assert (late.left.delay, late.right.delay) == (6, 18)


def test_a_delayed_side_holds_its_first_picture(tmp_path):
    source = counting_video(tmp_path / "in.mp4")
    canvas = Canvas(32, 32, FrameRate(30))
    encode_side(Side(source, 32, 32, 9, 40, delay=12), 49, canvas, tmp_path / "out.mp4")
    seen, expected = brightness(tmp_path / "out.mp4")[9:], brightness(source)
    assert np.abs(seen[12:] - expected[:28]).max() < STEP / 2
    assert np.abs(seen[:12] - expected[0]).max() < STEP / 2
