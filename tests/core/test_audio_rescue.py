# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound whose mean would lose the voice, and files that were never finished: read, with a note."""

from __future__ import annotations

import io
import os
import struct
import sys

import numpy as np
import pytest
import soundfile

from exomni_core.audio import read_audio, wav_bytes, write_wav
from exomni_core.formats.convert import convert, write_face


@pytest.fixture
def voice():
    """Two seconds at 16 kHz, as uneven as speech."""
    time_s = np.arange(32_000) / 16_000
    return (0.4 * np.sin(2 * np.pi * 180 * time_s) * np.sin(3 * time_s)).astype(np.float32)


def level(samples):
    return float(np.sqrt(np.mean(np.square(samples))))


def written(path, *channels):
    soundfile.write(path, np.stack(channels, axis=1), 16_000, subtype="FLOAT")
    return read_audio(path)


class TestChannels:
    def test_the_given_inverted_channel(self, shared):
        sound = read_audio(shared / "cases" / "antiphase_stereo.wav")
        assert level(sound.samples) > 0.05
        assert "cancel" in sound.notes[0]

    @pytest.mark.parametrize("gain", [-0.98, -0.9, -0.6])
    def test_channels_that_cancel(self, tmp_path, voice, gain):
        sound = written(tmp_path / "a.wav", voice * gain, voice)
        assert np.array_equal(sound.samples, voice)
        assert sound.notes == ("its channels cancel each other out: channel 2 of 2 alone is used",)

    def test_channels_that_cancel_half_of_the_time(self, tmp_path, voice):
        other = np.where(np.arange(32_000) < 16_000, voice, -voice)
        assert "cancel" in written(tmp_path / "a.wav", voice, other).notes[0]

    def test_noise_on_top_and_four_channels(self, tmp_path, voice):
        noise = np.random.default_rng(1).normal(0, 0.003, (4, 32_000)).astype(np.float32)
        sound = written(tmp_path / "a.wav", voice + noise[0], -voice + noise[1], noise[2], noise[3])
        assert level(sound.samples) == pytest.approx(level(voice), rel=0.05)

    def test_ordinary_stereo_is_the_mean_as_ever(self, tmp_path, voice):
        rng = np.random.default_rng(2)
        for other in (voice, np.zeros_like(voice), voice * 0.5, np.roll(voice, 9),
                      rng.normal(0, 0.1, 32_000).astype(np.float32)):  # fmt: skip
            sound = written(tmp_path / "a.wav", voice, other)
            mean = np.stack([voice, other], axis=1).mean(axis=1, dtype=np.float64)
            assert np.array_equal(sound.samples, mean.astype(np.float32))
            assert sound.notes == ()

    @pytest.mark.parametrize("count", [3, 5, 6, 8])
    def test_surround_with_the_voice_in_the_centre(self, tmp_path, voice, count):
        channels = [np.random.default_rng(k).normal(0, 0.01, 32_000) for k in range(count)]
        channels[2] = voice
        sound = written(tmp_path / "a.wav", *channels)
        assert np.array_equal(sound.samples, voice)
        assert "the centre" in sound.notes[0]

    def test_six_like_channels_are_the_mean(self, tmp_path, voice):
        assert written(tmp_path / "a.wav", *[voice] * 6).notes == ()

    def test_a_clip_keeps_the_note(self, tmp_path, voice):
        written(tmp_path / "a.wav", voice, -voice)
        write_face(tmp_path / "a.json", np.full((60, 52), 0.5), 30)
        facts = convert(tmp_path / "a.json", tmp_path / "a.clip", audio=tmp_path / "a.wav")
        assert "cancel" in facts["notes"][0]


class TestCutFiles:
    @pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
    @pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
    def test_sizes_that_nobody_filled_in(self, tmp_path, voice, riff, size):
        data = bytearray(wav_bytes(voice, 16_000))
        data[4:8], data[40:44] = struct.pack("<I", riff), struct.pack("<I", size)
        (tmp_path / "a.wav").write_bytes(data)
        sound = read_audio(tmp_path / "a.wav")
        assert np.abs(sound.samples - voice).max() < 1e-4
        assert len(sound.samples) == len(voice)
        assert ("does not tell its length" in "".join(sound.notes)) == (size == 0)

    def test_a_wav_that_is_truly_empty(self, tmp_path):
        data = wav_bytes([], 16_000) + b"LIST" + struct.pack("<I", 4) + b"INFO"
        (tmp_path / "a.wav").write_bytes(data)
        with pytest.raises(Exception, match="no samples"):
            read_audio(tmp_path / "a.wav")

    @pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
    def test_half_a_file_is_read_and_told(self, tmp_path, voice, ending):
        whole = io.BytesIO()
        voice = np.tile(voice, 5)  # several pages of ogg
        noisy = voice + np.random.default_rng(0).normal(0, 0.01, len(voice)).astype(np.float32)
        soundfile.write(whole, noisy, 16_000, format=ending)
        (tmp_path / f"whole.{ending}").write_bytes(whole.getvalue())
        assert read_audio(tmp_path / f"whole.{ending}").notes == ()
        half = whole.getvalue()[: len(whole.getvalue()) // 2]
        (tmp_path / f"half.{ending}").write_bytes(half)
        sound = read_audio(tmp_path / f"half.{ending}")
        assert 1 < sound.duration_s < 7
        assert "the file is cut" in sound.notes[0]
        if ending in ("wav", "flac"):
            assert np.abs(sound.samples - noisy[: len(sound.samples)]).max() < 1e-4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are not UTF-8")
def test_names_that_are_not_utf_8(tmp_path, voice):
    path = tmp_path / os.fsdecode(b"gr\xfc\xdfe.wav")
    write_wav(path, voice, 16_000)
    assert len(read_audio(path).samples) == len(voice)
