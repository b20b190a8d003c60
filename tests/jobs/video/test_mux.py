# SPDX-License-Identifier: GPL-3.0-or-later
"""What ffmpeg does for us: whole videos, equal bytes, sentences when it fails; no Blender."""

import re
import subprocess
import sys

import numpy as np
import pytest

from exomni_core.errors import EnvironmentProblem, WorkerError
from exomni_core.processes.life import Patience
from exomni_core.retime import FrameRate, parse_frame_rate
from render_jobs.video import ffmpeg_command, mux

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("ffmpeg")
KEY = "0123456789abcdef" * 4


def silent_video(path, frames=45, rate="30", size="64x96"):
    """A test picture that changes with every frame; returns `path`."""
    command = [ffmpeg_command.find_ffmpeg(), "-v", "error", "-y", "-f", "lavfi"]
    command += ["-i", f"testsrc=s={size}:r={rate}", "-frames:v", str(frames)]
    command += ["-pix_fmt", "yuv420p", "-c:v", "libx264", "-bf", "0", str(path)]
    subprocess.run(command, check=True)
    return path


def flac(folder, seconds, rate=24_000, level=0.5):
    path = folder / "speech.flac"
    tone = level * np.sin(2 * np.pi * 500 * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, tone, rate, subtype="PCM_16")
    return path


def sound_of(video):
    command = [
        ffmpeg_command.find_ffmpeg(),
        "-v",
        "error",
        "-i",
        str(video),
        "-f",
        "f32le",
        "-ac",
        "1",
        "-",
    ]
    return np.frombuffer(subprocess.run(command, capture_output=True).stdout, np.float32)


@pytest.mark.parametrize(("rate", "seconds"), [("30", 1.47), ("30000/1001", 1.5), ("24", 1.85)])
@pytest.mark.parametrize("sample_rate", [16_000, 22_050, 48_000])
def test_streams_start_and_end_together(rate, seconds, sample_rate, tmp_path):
    silent = silent_video(tmp_path / "s.mp4", rate=rate)
    frame_rate = parse_frame_rate(rate)
    mux.mux(silent, flac(tmp_path, seconds, sample_rate), tmp_path / "v.mp4", frame_rate, key=KEY)
    info = mux.probe(tmp_path / "v.mp4")
    assert info.frames == 45
    assert info.video_start_s == 0.0
    assert info.audio_start_s == pytest.approx(0.0, abs=1e-4)
    assert abs(info.video_end_s - info.audio_end_s) < 1 / frame_rate.fps


def test_same_input_same_bytes_and_no_dates(tmp_path):
    silent = silent_video(tmp_path / "s.mp4")
    for name in ("a.mp4", "b.mp4"):
        mux.mux(silent, flac(tmp_path, 1.5), tmp_path / name, FrameRate(30), key=KEY)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.mp4").read_bytes()
    assert KEY.encode() in data[:4096]  # at the front, where resuming looks for it
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"Lavf" not in data


def test_loudness_is_left_alone(tmp_path):
    silent = silent_video(tmp_path / "s.mp4")
    for level in (0.05, 0.9):
        mux.mux(silent, flac(tmp_path, 1.5, level=level), tmp_path / "v.mp4", FrameRate(30))
        middle = sound_of(tmp_path / "v.mp4")[12_000:60_000]
        assert np.abs(middle).max() == pytest.approx(level, rel=0.03)


def test_names_that_ffmpeg_could_misread(tmp_path):
    silent = silent_video(tmp_path / "s.mp4")
    for name in ("a:b.mp4", "-i.mp4", "per%03dcent.mp4", "ä 口.mp4"):
        mux.mux(silent, flac(tmp_path, 1.5), tmp_path / name, FrameRate(30))
        assert mux.count_frames(tmp_path / name) == 45
        mux.contact_sheet(tmp_path / name, (tmp_path / name).with_suffix(".png"))
        assert (tmp_path / name).with_suffix(".png").stat().st_size > 0


def png_size(path):
    head = path.read_bytes()[:24]
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


@pytest.mark.parametrize("frames", [1, 5, 45])
def test_contact_sheet_has_twelve_places(frames, tmp_path):
    silent = silent_video(tmp_path / "s.mp4", frames=frames)
    for name in ("a.png", "b.png"):
        mux.contact_sheet(silent, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    width, height = png_size(tmp_path / "a.png")
    assert 1480 <= width <= 1540
    assert 700 <= height <= 800


def test_damaged_input_is_one_sentence(tmp_path):
    silent = silent_video(tmp_path / "s.mp4")
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"no flac at all")
    with pytest.raises(WorkerError, match=r"joining picture and sound of v\.mp4") as caught:
        mux.mux(silent, broken, tmp_path / "v.mp4", FrameRate(30))
    assert "\n" not in str(caught.value)
    (tmp_path / "cut.mp4").write_bytes(silent.read_bytes()[:500])
    with pytest.raises(WorkerError, match=r"reading cut\.mp4"):
        mux.mux(tmp_path / "cut.mp4", flac(tmp_path, 1.5), tmp_path / "v.mp4", FrameRate(30))


def test_slow_ffmpeg_is_stopped():
    command = [sys.executable, "-c", "import time; time.sleep(30)"]
    with pytest.raises(WorkerError, match="more than 0 s for waiting"):
        mux.run_ffmpeg(command, "waiting", timeout_s=0.3)


def test_without_ffmpeg_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr(ffmpeg_command.shutil, "which", lambda _: None)
    with pytest.raises(EnvironmentProblem, match="pip install imageio-ffmpeg"):
        ffmpeg_command.find_ffmpeg()
    monkeypatch.setattr(ffmpeg_command.shutil, "which", lambda name: f"/opt/{name}")
    assert ffmpeg_command.find_ffmpeg() == "/opt/ffmpeg"
    with pytest.raises(EnvironmentProblem, match=re.escape("can't be started")):
        mux.run_ffmpeg([ffmpeg_command.find_ffmpeg()], "anything")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("sleep 60 & wait", "gave no answer within 0.5 s"),
        ("echo ' V..... aac AAC'", "lacks the encoder libx264"),
        ("echo broken library >&2; exit 127", "can't be used (broken library)"),
        (None, "can't be started (Permission denied)"),
    ],
)
def test_an_ffmpeg_that_is_no_use_is_found_before_work(monkeypatch, tmp_path, script, told):
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755 if script else 0o644)
    monkeypatch.setattr(ffmpeg_command, "find_ffmpeg", lambda: str(program))
    with pytest.raises(EnvironmentProblem, match=re.escape(told)):
        ffmpeg_command.check_ffmpeg(".mp4", timeout_s=0.5)


def test_the_ffmpeg_that_we_install_writes_all_kinds():
    assert ffmpeg_command.check_ffmpeg(*ffmpeg_command.ENCODERS)


def test_a_hanging_ffmpeg_is_stopped_but_a_busy_one_is_not():
    patience = Patience(shortest_s=0.5, look_s=0.1)
    with pytest.raises(WorkerError, match="no sign of life"):
        mux.run_ffmpeg(["/bin/sleep", "30"], "waiting", patience=patience)
    busy = "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    assert mux.run_ffmpeg([sys.executable, "-c", busy], "working", patience=patience) == ""
