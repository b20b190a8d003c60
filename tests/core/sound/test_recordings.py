# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings as phones, mixers and stopped copies leave them in; the voice and a note out."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from exomni_core.audio import read_audio, wav_bytes
from exomni_core.clip_notes import clip_notes
from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.errors import InputError
from exomni_core.prompt import Prompt
from exomni_core.sound.by_ffmpeg import ffmpeg_program

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
RATE = 16_000


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.fixture
def voice() -> np.ndarray:
    """Three seconds of something that swells as syllables do."""
    t = np.arange(3 * RATE) / RATE
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)
    buzz = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 9))
    return (0.2 * swell * buzz).astype(np.float32)


@pytest.mark.parametrize("gains", [(1, -1), (0.6, -0.62), (1, -1, 1, -1), (1, -0.5, -0.5)])
def test_channels_that_cancel_give_the_loudest_of_them(tmp_path, voice, gains):
    soundfile.write(tmp_path / "a.wav", voice[:, None] * np.array(gains), RATE, subtype="FLOAT")
    sound = read_audio(tmp_path / "a.wav")
    loudest = int(np.argmax(np.abs(gains)))
    assert np.allclose(sound.samples, voice * gains[loudest], atol=1e-6)
    assert sound.notes == (
        "the channels of the recording cancel each other; "
        f"channel {loudest + 1} of {len(gains)} was used alone",
    )


@pytest.mark.parametrize("channels", [3, 6, 8])
@pytest.mark.parametrize("others", [0.0, 0.05])
def test_a_voice_in_the_centre_keeps_its_loudness(tmp_path, voice, channels, others):
    noise = np.random.default_rng(1).normal(0, 0.1 * others + 1e-9, (len(voice), channels))
    noise[:, 2] = voice
    soundfile.write(tmp_path / "a.wav", noise, RATE, subtype="FLOAT")
    sound = read_audio(tmp_path / "a.wav")
    assert rms(sound.samples) == pytest.approx(rms(voice), rel=0.06)
    assert f"all {channels} channels" in sound.notes[0]


def test_unrelated_and_equal_channels_are_averaged_without_a_note(tmp_path, voice):
    other = np.random.default_rng(2).normal(0, 0.1, len(voice)).astype(np.float32)
    for pair in ((voice, voice), (voice, other), (voice, 0 * voice), (0 * voice, 0 * voice)):
        soundfile.write(tmp_path / "a.wav", np.stack(pair, axis=1), RATE, subtype="FLOAT")
        sound = read_audio(tmp_path / "a.wav")
        assert sound.notes == ()
        assert np.allclose(sound.samples, (pair[0] + pair[1]) / 2, atol=1e-7)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("extra", [b"", b"LIST\x04\0\0\0abcd"])
def test_a_wav_that_was_never_closed_is_read_whole(tmp_path, voice, size, extra):
    data = bytearray(wav_bytes(voice, RATE))
    data[4:8] = data[40:44] = struct.pack("<I", size)
    data[12:12] = extra  # a chunk before the format
    (tmp_path / "a.wav").write_bytes(data)
    sound = read_audio(tmp_path / "a.wav")
    assert np.abs(sound.samples - voice).max() < 1e-4
    assert sound.notes == ()


def test_a_wav_without_samples_stays_one(tmp_path):
    data = wav_bytes(np.zeros(0), RATE) + b"LIST\x04\0\0\0abcd"
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(InputError, match="no samples"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_half_a_file_is_read_with_a_note(tmp_path, voice, ending):
    long = np.concatenate([voice] * 5)
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, long, RATE)
    assert read_audio(path).notes == ()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    sound = read_audio(path)
    assert 4 < sound.duration_s < 10
    (note,) = sound.notes
    assert "a." in note
    assert "read so far" in note
    assert f"{sound.duration_s:.1f} s" in note


@pytest.mark.skipif(ffmpeg_program() is None, reason="no ffmpeg program here")
def test_files_that_tell_no_length_bring_no_note(tmp_path, voice):
    for ending, kind in (("ogg", "OPUS"), ("aiff", None), ("au", None), ("caf", None)):
        path = tmp_path / f"a.{ending}"
        soundfile.write(path, voice, RATE, subtype=kind)
        assert read_audio(path).notes == ()


def test_the_note_stands_in_the_clip(tmp_path, voice):
    soundfile.write(tmp_path / "a.wav", np.stack([voice, -voice], axis=1), RATE)
    clip = EmbeddedEngine().generate(Prompt("a", mode="lipsync", audio=tmp_path / "a.wav"))
    assert any("cancel each other" in note for note in clip_notes(clip))
    assert clip.channel("jawOpen").max() > 0.1


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_shared_antiphase_recording():
    sound = read_audio(CASES / "antiphase_stereo.wav")
    assert rms(sound.samples) > 0.01
    assert "channel 1 of 2" in sound.notes[0] or "channel 2 of 2" in sound.notes[0]
