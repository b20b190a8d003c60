# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames through a pipe into a finished video: whole, in step with the sound; plain failures."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from exomni_core.errors import EnvironmentProblem, WorkerError
from exomni_core.retime import parse_frame_rate
from render_jobs.video.encode import (
    BUFFERS,
    Encoder,
    Film,
    VideoPipe,
    encoder_from_json,
    pipe_command,
)
from render_jobs.video.ffmpeg_command import find_ffmpeg
from render_jobs.video.mux import probe

soundfile = pytest.importorskip("soundfile")
KEY = "0123456789abcdef" * 4
SIZE = (34, 50)


def frame(number):
    """A frame of its own colour; width and height are odd multiples of 2."""
    return np.full((SIZE[1], SIZE[0], 4), (40 + 5 * number, 90, 160, 255), np.uint8)


def write(video, frames=9, rate="30", speech=""):
    film = Film(*SIZE, parse_frame_rate(rate), frames)
    command = pipe_command(Encoder(find_ffmpeg(), str(speech), KEY), film, video)
    with VideoPipe(command, f"writing {video.name}") as pipe:
        free = []
        for number in range(frames):
            buffer = free.pop() if free else np.empty((SIZE[1], SIZE[0], 4), np.uint8)
            buffer[...] = frame(number)
            if (done := pipe.take(buffer)) is not None:
                free.append(done)
        assert len(free) <= BUFFERS
    return video


def flac(folder, seconds, rate=22_050):
    path = folder / "speech.flac"
    soundfile.write(path, 0.5 * np.sin(np.arange(round(seconds * rate)) / 7), rate)
    return path


@pytest.mark.parametrize("rate", ["23.976", "25", "30", "59.94", "60"])
def test_picture_and_sound_start_and_end_together(rate, tmp_path):
    fps = parse_frame_rate(rate).fps
    speech = flac(tmp_path, 44.6 / fps)
    info = probe(write(tmp_path / "v.mp4", 45, rate, speech))
    assert (info.width, info.height, info.frames) == (*SIZE, 45)
    assert info.video_start_s == 0.0
    assert info.audio_start_s == pytest.approx(0.0, abs=1e-4)
    assert info.video_end_s == pytest.approx(45 / fps, abs=1e-3)
    assert abs(info.video_end_s - info.audio_end_s) < 1 / fps


def test_same_frames_same_bytes_with_the_key_in_front_and_no_dates(tmp_path):
    speech = flac(tmp_path, 14.0)  # longer than a muxer waits for the other stream by default
    data = [write(tmp_path / name, 420, "30", speech).read_bytes() for name in ("a.mp4", "b.mp4")]
    assert data[0] == data[1]
    assert KEY.encode() in data[0][: 1 << 16]
    assert data[0].index(b"moov") < data[0].index(b"mdat")
    assert b"Lavf" not in data[0]


def test_without_speech_the_video_is_silent(tmp_path):
    assert probe(write(tmp_path / "v.mp4")).audio_start_s is None


@pytest.mark.parametrize("name", ["a:b.mp4", "-i.mp4", "per%03dcent.mp4", "ä 口.mp4"])
def test_names_that_ffmpeg_could_misread(name, tmp_path):
    assert probe(write(tmp_path / name)).frames == 9


def test_failures_are_one_sentence(tmp_path):
    (tmp_path / "broken.flac").write_bytes(b"no flac")
    with pytest.raises(WorkerError, match=r"ffmpeg failed at writing v\.mp4") as caught:
        write(tmp_path / "v.mp4", 60, speech=tmp_path / "broken.flac")
    assert "\n" not in str(caught.value)
    with pytest.raises(EnvironmentProblem, match="can't be started"):
        VideoPipe([str(tmp_path / "no ffmpeg")], "writing")


def feed(command, frames):
    with VideoPipe(command, "writing v.mp4") as pipe:
        for number in frames:
            pipe.take(frame(number))


def test_a_full_disk_is_called_so():
    script = "import sys; sys.stderr.write('av_write: No space left on device\\n'); sys.exit(1)"
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        feed([sys.executable, "-c", script], range(600))


def test_an_error_of_the_drawer_ends_ffmpeg_and_comes_through(tmp_path):
    def broken():
        yield 0
        raise KeyError

    film = Film(*SIZE, parse_frame_rate("30"), 9)
    command = pipe_command(Encoder(find_ffmpeg()), film, tmp_path / "v.mp4")
    with pytest.raises(KeyError):
        feed(command, broken())
    (tmp_path / "v.mp4").unlink(missing_ok=True)  # nobody holds it any more


def test_the_encoder_survives_the_wire():
    encoder = Encoder("ffmpeg", "a.flac", "key", "out.mp4")
    assert encoder_from_json(encoder.to_json()) == encoder
