# SPDX-License-Identifier: GPL-3.0-or-later
"""Any sound or video file in, mono float32 samples and notes out; also resampling and 16-bit wav.

libsndfile (soundfile) reads wav, flac, ogg, opus and mp3. Whatever it does not know goes to an
ffmpeg program, as its own process, with a time-out and with playlists and the network shut out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.sound.by_ffmpeg import decode_by_ffmpeg, ffmpeg_program
from exomni_core.sound.decoded import (
    BLOCK_VALUES,
    MAX_DURATION_S,
    BrokenOffError,
    Decoded,
    PastLimitError,
    bad,
    checked_rate,
    collect,
    too_long,
)
from exomni_core.sound.mixdown import Mixdown
from exomni_core.sound.wav_header import MendedWav, ogg_is_cut, read_wav_header
from exomni_core.storage.files import write_bytes

_RAW_SUFFIXES: Final = (".raw", ".pcm")
_PLAYLIST_SUFFIXES: Final = (".m3u", ".m3u8", ".pls", ".mpd", ".ffconcat", ".concat", ".sdp")
_CUT_S: Final = 0.1  # a file so much shorter than it says was cut; encoders round by less


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording. samples: (S,) float32, mono, in [-1, 1], S >= 1, at `sample_rate_hz`.

    notes: what the user should know of how it was read, as sentences.
    """

    samples: FloatArray
    sample_rate_hz: int
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate_hz


def read_audio(path: Path | str, *, max_duration_s: float = MAX_DURATION_S) -> Audio:
    """Read a sound file (or the first sound of a video) as mono, the mean of its channels.

    Integer samples of 16 bits or fewer come out exactly (n / 32768); values beyond [-1, 1] in
    float files are clipped. Channels that cancel each other, a voice in one of many channels, and
    half a file are read as well as they can be, and the notes tell it. Memory stays in proportion
    to `max_duration_s`, whatever the header claims. Raises InputError(field="audio") for anything
    that is not usable sound of that length.
    """
    path = Path(path)
    _check_file(path)
    read = _decode(path, max_duration_s, None)
    if read.mix.cancels:
        read = _decode(path, max_duration_s, read.mix.loudest)
    samples, note = read.mix.samples()
    notes = [text for text in (note, _cut_note(path, read)) if text]
    return Audio(samples, read.rate_hz, tuple(notes))


def _decode(path: Path, max_duration_s: float, only: int | None) -> Decoded:
    """Decode by libsndfile, and by ffmpeg what libsndfile does not know or gives up on."""
    soundfile = _soundfile()
    header = read_wav_header(path)
    mended = MendedWav(path, header) if header is not None and header.is_open else None
    try:
        source = soundfile.SoundFile(_file_name(path) if mended is None else mended)
    except (soundfile.SoundFileError, TypeError, ValueError):  # unknown to libsndfile
        if mended is not None:
            mended.close()
        return decode_by_ffmpeg(path, max_duration_s, only)
    with source, mended or contextlib.nullcontext():
        rate = checked_rate(int(source.samplerate), int(source.channels), path)
        frames = int(source.frames) if source.frames < 1 << 60 else 0
        # Some headers give no length (or a wrong one): this only refuses early.
        if max_duration_s * rate < frames:
            raise too_long(path, max_duration_s, frames / rate)
        mix = Mixdown(only)
        broke = collect(_sndfile_blocks(source, path), mix, rate, max_duration_s, path)
    promised_s = max(frames / rate, header.promised_s if header is not None else 0.0)
    read = Decoded(mix, rate, promised_s, broke)
    if mix.length == 0 and header is not None and header.held == 0:
        raise bad(path, "holds no sound (no samples); export it again")
    if broke or mix.length == 0:
        return _or_by_ffmpeg(read, path, max_duration_s, only)
    return read


def _file_name(path: Path) -> str | bytes:
    """The name as libsndfile takes it, also where it is not UTF-8."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _or_by_ffmpeg(read: Decoded, path: Path, max_duration_s: float, only: int | None) -> Decoded:
    """What ffmpeg makes of a file that libsndfile gave up on, if that is more."""
    if ffmpeg_program() is not None:
        try:
            again = decode_by_ffmpeg(path, max_duration_s, only)
        except PastLimitError:
            raise
        except InputError:  # it knows no better
            pass
        else:
            if again.mix.length > read.mix.length:
                return dataclasses.replace(again, promised_s=read.promised_s, broke=read.broke)
    if read.mix.length == 0:
        why = "is damaged inside; get a fresh copy" if read.broke else ""
        raise bad(path, why or "holds no sound (no samples); export it again")
    return read


def _cut_note(path: Path, read: Decoded) -> str:
    """A sentence if the file holds less than it should, else nothing."""
    if read.promised_s > read.duration_s + _CUT_S:
        return (
            f"{path.name} should last {read.promised_s:.1f} s but holds only "
            f"{read.duration_s:.1f} s; it was read so far, get a whole copy"
        )
    if read.broke or ogg_is_cut(path):
        return (
            f"{path.name} breaks off or is damaged after {read.duration_s:.1f} s; it was read so "
            "far, get a whole copy"
        )
    return ""


def resample(samples: npt.ArrayLike, from_hz: float, to_hz: float) -> FloatArray:
    """(S,) samples at `from_hz` -> (round(S * to_hz / from_hz),) float32 in [-1, 1] at `to_hz`."""
    values = np.asarray(samples, np.float32)
    if from_hz == to_hz or len(values) == 0:
        return values.copy()
    try:
        import soxr
    except ImportError as error:
        raise EnvironmentProblem("resampling needs soxr; run: pip install soxr") from error
    resampled: FloatArray = soxr.resample(values, from_hz, to_hz, quality="HQ")
    # Band-limiting overshoots at full-scale edges.
    return np.clip(resampled, -1.0, 1.0).astype(np.float32, copy=False)


def wav_bytes(samples: npt.ArrayLike, sample_rate_hz: int) -> bytes:
    """A mono 16-bit wav file's bytes; (S,) samples in [-1, 1], those from 16 bits stay exact."""
    values = np.asarray(samples, np.float64)
    whole = np.clip(np.round(values * 32768.0), -32768, 32767).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(sample_rate_hz)
        target.writeframes(whole.tobytes())
    return out.getvalue()


def write_wav(path: Path | str, samples: npt.ArrayLike, sample_rate_hz: int) -> None:
    """Write `wav_bytes` to `path`, whole or not at all; InputError if it can't be written."""
    write_bytes(Path(path), wav_bytes(samples, sample_rate_hz))


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: it is there, but its C library is not
        raise EnvironmentProblem(
            "reading sound needs soundfile; run: pip install soundfile"
        ) from error
    return soundfile


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise bad(path, "is a folder; name a sound file")
        if not path.exists():
            raise bad(path, "does not exist; check the path of the audio file")
        if not path.is_file():  # a pipe or a device could block for ever
            raise bad(path, "is not a regular file; name a sound file")
        if path.stat().st_size == 0:
            raise bad(path, "is empty (0 bytes); export or copy it again")
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:
        raise bad(path, f"can't be read: {getattr(error, 'strerror', None) or error}") from error
    if path.suffix.lower() in _RAW_SUFFIXES:
        raise bad(path, "is raw audio that does not tell its sample rate; convert it to wav")
    if path.suffix.lower() in _PLAYLIST_SUFFIXES:
        raise bad(path, "is a playlist, not sound; name the sound file itself")


def _sndfile_blocks(source: Any, path: Path) -> Iterator[FloatArray]:
    """The file in pieces of (n, channels) float32."""
    soundfile = _soundfile()
    size = max(1, BLOCK_VALUES // source.channels)
    while True:
        try:
            block = source.read(size, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise BrokenOffError(f"{path}: {error}") from error
        if len(block) == 0:
            return
        yield block
