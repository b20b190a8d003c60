# SPDX-License-Identifier: GPL-3.0-or-later
"""Any sound in, mono float32 out; every bad file is one sentence about `audio`."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from exomni_core import audio
from exomni_core.audio import read_audio, resample, wav_bytes, write_wav
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.sound import by_ffmpeg

FFMPEG = by_ffmpeg.ffmpeg_program()
needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg program here")


def encode(source, target):
    subprocess.run(
        [FFMPEG, "-nostdin", "-v", "error", "-y", "-i", str(source), str(target)],
        check=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    return target


def refused(path, words, **options):
    with pytest.raises(InputError, match=words) as caught:
        read_audio(path, **options)
    message = str(caught.value)
    assert caught.value.field == "audio"
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 200
    return message


class TestFormats:
    @pytest.mark.parametrize("rate", [1_000, 8_000, 11_025, 16_000, 44_099, 48_000, 192_000])
    def test_16_bit_wav_is_exact_at_any_rate(self, tmp_path, rate):
        steps = np.random.default_rng(rate).integers(-32768, 32768, 3_000).astype(np.int16)
        soundfile.write(tmp_path / "a.wav", steps, rate)
        sound = read_audio(tmp_path / "a.wav")
        assert sound.sample_rate_hz == rate
        assert sound.samples.dtype == np.float32
        assert np.array_equal(sound.samples * 32768, steps)
        assert sound.duration_s == 3_000 / rate

    @pytest.mark.parametrize(
        ("subtype", "error"),
        [("PCM_U8", 1 / 128), ("PCM_24", 1e-6), ("PCM_32", 1e-6), ("FLOAT", 0), ("DOUBLE", 0),
         ("ULAW", 0.02), ("ALAW", 0.02), ("IMA_ADPCM", 0.05)],
    )  # fmt: skip
    def test_wav_depths(self, tmp_path, tone, subtype, error):
        soundfile.write(tmp_path / "a.wav", tone, 16_000, subtype=subtype)
        sound = read_audio(tmp_path / "a.wav")
        settled = slice(1_000, len(tone))  # ADPCM needs a moment
        assert np.abs(sound.samples[settled] - tone[settled]).max() <= error

    @pytest.mark.parametrize(("ending", "error"), [("flac", 0), ("ogg", 0.1), ("mp3", 0.1),
                                                   ("aiff", 0), ("au", 0), ("caf", 0)])  # fmt: skip
    def test_soundfile_formats(self, tmp_path, tone, ending, error):
        soundfile.write(tmp_path / f"a.{ending}", tone, 16_000)
        sound = read_audio(tmp_path / f"a.{ending}")
        assert sound.sample_rate_hz == 16_000
        assert abs(len(sound.samples) - len(tone)) < 2_000
        middle = slice(4_000, 12_000)
        assert np.abs(sound.samples[middle] - tone[middle]).max() <= error

    @needs_ffmpeg
    @pytest.mark.parametrize("ending", ["m4a", "mp4", "mov", "aac", "webm", "opus", "mka", "avi"])
    def test_other_containers_through_ffmpeg(self, tmp_path, tone, ending):
        write_wav(tmp_path / "a.wav", tone, 16_000)
        sound = read_audio(encode(tmp_path / "a.wav", tmp_path / f"a.{ending}"))
        assert sound.duration_s == pytest.approx(1.0, abs=0.1)
        middle = sound.samples[len(sound.samples) // 4 : len(sound.samples) // 2]
        assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
        # The pitch too, so that rate and channels were not mixed up.
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
        pitch = np.argmax(spectrum) * sound.sample_rate_hz / len(middle)
        assert pitch == pytest.approx(220, abs=5)

    @needs_ffmpeg
    def test_content_counts_more_than_the_name(self, tmp_path, tone):
        write_wav(tmp_path / "a.wav", tone, 16_000)
        encode(tmp_path / "a.wav", tmp_path / "a.m4a").rename(tmp_path / "b.wav")
        assert read_audio(tmp_path / "b.wav").duration_s == pytest.approx(1.0, abs=0.1)
        (tmp_path / "a.wav").rename(tmp_path / "c.mp4")
        assert np.array_equal(read_audio(tmp_path / "c.mp4").samples, tone)

    @pytest.mark.parametrize("channels", [2, 12])
    def test_channels_are_averaged(self, tmp_path, tone, channels):
        table = np.zeros((len(tone), channels), np.float32)
        table[:, :] = tone[:, None]
        table[:, 0] = 0.5 * tone
        soundfile.write(tmp_path / "a.wav", table, 16_000, subtype="FLOAT")
        wanted = tone * (1.0 - 0.5 / channels)
        assert np.abs(read_audio(tmp_path / "a.wav").samples - wanted).max() < 1e-7

    @needs_ffmpeg
    def test_channels_through_ffmpeg(self, tmp_path, tone):
        table = np.stack([tone, np.zeros_like(tone)], axis=1)
        soundfile.write(tmp_path / "a.wav", table, 16_000)
        sound = read_audio(encode(tmp_path / "a.wav", tmp_path / "a.mka"))
        middle = sound.samples[4_000:12_000]
        assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.25 / np.sqrt(2), rel=0.1)

    def test_too_loud_floats_are_clipped(self, tmp_path):
        soundfile.write(tmp_path / "a.wav", np.array([3.0, -3.0, 0.5]), 8_000, subtype="FLOAT")
        assert read_audio(tmp_path / "a.wav").samples.tolist() == [1.0, -1.0, 0.5]

    @pytest.mark.parametrize(
        "name", ["ü 世界.wav", "-i.wav", "a;b $(c).wav", "100%.wav", "a'b.wav"]
    )
    def test_odd_names(self, tmp_path, tone, name):
        write_wav(tmp_path / name, tone, 16_000)
        assert len(read_audio(tmp_path / name).samples) == len(tone)

    @needs_ffmpeg
    @pytest.mark.parametrize("name", ["-i.m4a", "a;touch b.m4a", "世界 %d.m4a", "pipe:0.m4a"])
    def test_odd_names_through_ffmpeg(self, tmp_path, tone, name, monkeypatch):
        write_wav(tmp_path / "a.wav", tone, 16_000)
        encode(tmp_path / "a.wav", tmp_path / "a.m4a").rename(tmp_path / name)
        monkeypatch.chdir(tmp_path)
        assert read_audio(name).duration_s == pytest.approx(1.0, abs=0.1)
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a.wav", name])


class TestRefusals:
    def test_places(self, tmp_path):
        refused(tmp_path / "none.wav", "does not exist")
        refused(tmp_path, "is a folder")
        (tmp_path / "empty.wav").touch()
        refused(tmp_path / "empty.wav", "0 bytes")
        with pytest.raises(InputError, match="does not exist"):
            read_audio("a\0b.wav")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_a_pipe_does_not_block(self, tmp_path):
        os.mkfifo(tmp_path / "a.wav")
        refused(tmp_path / "a.wav", "not a regular file")

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("a.wav", b"this is a text and no sound " * 40),
            ("a.wav", bytes(5_000)),
            ("a.wav", b"RIFF\xff\xff\xff\xffWAVE"),
            ("a.m4a", b"\0\0\0\x18ftypM4A " + bytes(400)),
            ("a.webm", b"\x1aE\xdf\xa3" + bytes(400)),
            ("a.flac", b"fLaC" + bytes(400)),
            ("a.txt", b"hello"),
            ("a", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ],
        ids=lambda v: repr(v)[:20],
    )
    @needs_ffmpeg
    def test_no_sound_at_all(self, tmp_path, name, data):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, "no sound|can't be decoded|sample rate|channels")

    @needs_ffmpeg
    def test_a_wav_that_is_no_wav_says_so(self, tmp_path):
        (tmp_path / "a.wav").write_bytes(b"<html>not found</html>" * 20)
        refused(tmp_path / "a.wav", r"no sound file \(although it is named \.wav\)")

    @needs_ffmpeg
    def test_a_film_without_sound(self, tmp_path):
        silent = tmp_path / "a.mp4"
        subprocess.run(
            [FFMPEG, "-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=s=16x16:d=0.2", silent],
            check=True, stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        refused(silent, "no sound stream")

    def test_a_wav_without_samples(self, tmp_path):
        soundfile.write(tmp_path / "a.wav", np.zeros(0), 8_000)
        refused(tmp_path / "a.wav", "no samples")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_no_numbers(self, tmp_path, value):
        samples = np.zeros(1_000)
        samples[777] = value
        soundfile.write(tmp_path / "a.wav", samples, 8_000, subtype="FLOAT")
        refused(tmp_path / "a.wav", "NaN or infinity")

    @pytest.mark.parametrize("rate", [1, 999, 700_000])
    def test_absurd_rates(self, tmp_path, rate):
        soundfile.write(tmp_path / "a.wav", np.zeros(1_000), rate)
        refused(tmp_path / "a.wav", f"sample rate of {rate} Hz")

    def test_absurd_channels(self, tmp_path):
        soundfile.write(tmp_path / "a.wav", np.zeros((10, 200)), 8_000)
        refused(tmp_path / "a.wav", "200 channels")

    @pytest.mark.parametrize("ending", [".raw", ".pcm", ".m3u8", ".pls", ".ffconcat", ".MPD"])
    def test_names_that_tell_enough(self, tmp_path, ending):
        (tmp_path / f"a{ending}").write_bytes(b"anything")
        refused(tmp_path / f"a{ending}", "raw audio|playlist")

    def test_without_ffmpeg_it_says_what_to_install(self, tmp_path, monkeypatch):
        monkeypatch.setattr(by_ffmpeg, "ffmpeg_program", lambda: None)
        (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(400))
        refused(tmp_path / "a.m4a", "pip install imageio-ffmpeg")

    def test_an_ffmpeg_that_cannot_start(self, tmp_path, monkeypatch):
        monkeypatch.setattr(by_ffmpeg, "ffmpeg_program", lambda: str(tmp_path / "gone"))
        (tmp_path / "a.m4a").write_bytes(b"x")
        with pytest.raises(EnvironmentProblem, match="install it again"):
            read_audio(tmp_path / "a.m4a")

    @pytest.mark.skipif(sys.platform == "win32", reason="uses a shell script")
    def test_an_ffmpeg_that_hangs_is_killed(self, tmp_path, monkeypatch):
        script = tmp_path / "ffmpeg"
        script.write_text("#!/bin/sh\nexec sleep 60\n")
        script.chmod(0o755)
        monkeypatch.setattr(by_ffmpeg, "ffmpeg_program", lambda: str(script))
        monkeypatch.setattr(by_ffmpeg, "FFMPEG_TIMEOUT_S", 0.2)
        (tmp_path / "a.m4a").write_bytes(b"x")
        before = time.monotonic()
        refused(tmp_path / "a.m4a", "took ffmpeg more than")
        assert time.monotonic() - before < 5

    @pytest.mark.skipif(sys.platform == "win32", reason="uses a shell script")
    def test_half_a_sound_of_a_hung_ffmpeg_is_no_sound(self, tmp_path, monkeypatch):
        head = struct.pack(">4sIIIII", b".snd", 24, 0xFFFFFFFF, 6, 8_000, 1) + bytes(4_000)
        (tmp_path / "half.au").write_bytes(head)
        script = tmp_path / "ffmpeg"
        script.write_text(f"#!/bin/sh\ncat '{tmp_path}/half.au'\nexec sleep 60\n")
        script.chmod(0o755)
        monkeypatch.setattr(by_ffmpeg, "ffmpeg_program", lambda: str(script))
        monkeypatch.setattr(by_ffmpeg, "FFMPEG_TIMEOUT_S", 0.4)
        (tmp_path / "a.m4a").write_bytes(b"x")
        refused(tmp_path / "a.m4a", "took ffmpeg more than")

    @pytest.mark.parametrize(
        ("module", "call"),
        [
            ("soundfile", lambda path: read_audio(path)),
            ("soxr", lambda path: resample([0.0], 8_000, 16_000)),
        ],
    )
    def test_missing_libraries_are_named(self, tmp_path, tone, monkeypatch, module, call):
        write_wav(tmp_path / "a.wav", tone, 16_000)
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(EnvironmentProblem, match=f"pip install {module}"):
            call(tmp_path / "a.wav")

    @needs_ffmpeg
    @pytest.mark.parametrize(
        "playlist",
        [
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n",
            "ffconcat version 1.0\nfile '{0}'\n",
            "<?xml version='1.0'?><MPD><Period><BaseURL>{0}</BaseURL></Period></MPD>",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        ],
    )
    @pytest.mark.parametrize("name", ["a.wav", "a.m4a", "a"])
    def test_playlists_lead_nowhere(self, tmp_path, tone, playlist, name):
        write_wav(tmp_path / "secret.wav", tone, 16_000)
        encode(tmp_path / "secret.wav", tmp_path / "secret.aac")
        (tmp_path / name).write_text(playlist.format("secret.aac"))
        refused(tmp_path / name, "no sound")


class TestLength:
    def test_a_long_wav_is_refused_from_its_header(self, tmp_path):
        soundfile.write(tmp_path / "a.wav", np.zeros(8_000 * 601, np.int16), 8_000)
        refused(tmp_path / "a.wav", "lasts 601 s, longer than 600 s")
        assert read_audio(tmp_path / "a.wav", max_duration_s=601).duration_s == 601

    @pytest.mark.parametrize(
        "ending", ["flac", "ogg", "mp3", pytest.param("m4a", marks=needs_ffmpeg)]
    )
    def test_packed_files_too(self, tmp_path, ending):
        write_wav(tmp_path / "a.wav", np.zeros(24_000), 8_000)
        if ending == "m4a":
            encode(tmp_path / "a.wav", tmp_path / "a.m4a")
        else:
            soundfile.write(tmp_path / f"a.{ending}", np.zeros(24_000), 8_000)
        refused(tmp_path / f"a.{ending}", r"lasts 3(\.\d)? s, longer than 2 s", max_duration_s=2)
        assert read_audio(tmp_path / f"a.{ending}", max_duration_s=3.2).duration_s > 2.9

    def test_a_header_that_says_too_little_is_not_believed(self, tmp_path, monkeypatch):
        """Blocks are counted as they come, whatever the header said."""
        soundfile.write(tmp_path / "a.wav", np.zeros(24_000), 8_000)
        real = soundfile.SoundFile

        class Lying(real):
            frames = property(lambda _: 10)

        blocks = iter([np.zeros((8_000, 1), np.float32)] * 4)
        monkeypatch.setattr(soundfile, "SoundFile", Lying)
        monkeypatch.setattr(audio, "_sndfile_blocks", lambda *_: blocks)
        refused(tmp_path / "a.wav", "longer than 2 s", max_duration_s=2)
        assert next(blocks, None) is not None  # it stopped at once

    def test_a_header_that_says_too_much(self, tmp_path, tone):
        data = bytearray(wav_bytes(tone, 16_000))
        data[40:44] = struct.pack("<I", 0xFFFFFFF0)  # as a recorder leaves it that lost power
        (tmp_path / "a.wav").write_bytes(data)
        assert np.array_equal(read_audio(tmp_path / "a.wav").samples, tone)

    def test_a_cut_wav_gives_what_is_there(self, tmp_path, tone):
        (tmp_path / "a.wav").write_bytes(wav_bytes(tone, 16_000)[:10_044])
        assert np.array_equal(read_audio(tmp_path / "a.wav").samples, tone[:5_000])

    @pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "wav"])
    def test_damage_never_raises_anything_else(self, tmp_path, tone, ending, monkeypatch):
        monkeypatch.setattr(by_ffmpeg, "ffmpeg_program", lambda: None)  # only for speed
        whole = io.BytesIO()
        soundfile.write(whole, tone, 16_000, format=ending)
        rng, path, errors = np.random.default_rng(3), tmp_path / f"a.{ending}", []
        for _ in range(60):
            data = bytearray(whole.getvalue())
            for place in [*rng.integers(0, len(data), 3), int(rng.integers(0, 60))]:
                data[place] = rng.integers(256)
            path.write_bytes(data[: rng.integers(1, len(data))])
            try:
                sound = read_audio(path)
            except InputError as error:
                errors.append(error)
            else:
                assert np.isfinite(sound.samples).all()
                assert np.abs(sound.samples).max() <= 1.0
        assert errors
        assert all(error.field == "audio" for error in errors)


class TestResample:
    @pytest.mark.parametrize("to_hz", [8_000, 16_000, 22_050, 44_100, 48_000, 44_099])
    def test_a_tone_stays_a_tone(self, tone, to_hz):
        result = resample(tone, 16_000, to_hz)
        assert result.dtype == np.float32
        assert abs(len(result) - to_hz) <= 1
        time_s = np.arange(len(result)) / to_hz
        wanted = 0.5 * np.sin(2 * np.pi * 220 * time_s)
        inside = slice(len(result) // 10, -len(result) // 10)
        assert np.abs(result - wanted)[inside].max() < 1e-3

    def test_the_same_rate_is_an_exact_copy(self, tone):
        result = resample(tone, 16_000, 16_000)
        assert np.array_equal(result, tone)
        assert not np.shares_memory(result, tone)

    def test_overshoot_is_clipped(self):
        square = np.sign(np.sin(np.arange(4_000) / 20.5)).astype(np.float32)
        assert np.abs(resample(square, 16_000, 48_000)).max() <= 1.0

    def test_nothing_gives_nothing(self):
        assert resample([], 16_000, 8_000).shape == (0,)


class TestWav:
    def test_16_bits_there_and_back(self, tmp_path, tone):
        write_wav(tmp_path / "a.wav", tone, 16_000)
        assert np.array_equal(read_audio(tmp_path / "a.wav").samples, tone)

    def test_full_scale_does_not_wrap(self):
        samples, _ = soundfile.read(io.BytesIO(wav_bytes([1.0, -1.0, 2.0], 8_000)), dtype="int16")
        assert samples.tolist() == [32767, -32768, 32767]


def test_ffmpeg_is_found_on_the_path_without_imageio(monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert by_ffmpeg.ffmpeg_program() == shutil.which("ffmpeg")
