# SPDX-License-Identifier: GPL-3.0-or-later
"""Any sound or video file in, mono float32 samples out; also resampling and 16-bit wav.

libsndfile (soundfile) reads wav, flac, ogg, opus and mp3. Whatever it does not know goes to an
ffmpeg program, as its own process, with a time-out and with playlists and the network shut out.
"""

from __future__ import annotations

import io
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import wave
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray
from exomni_core.downmix import Mix
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.storage.cut_sound import cut_notes, file_name, mended_wav, ogg_is_cut, wav_size
from exomni_core.storage.files import write_bytes

MAX_DURATION_S: Final = 600.0
MIN_RATE_HZ: Final = 1_000
MAX_RATE_HZ: Final = 655_350  # the most that FLAC, and so a clip, can hold
MAX_CHANNELS: Final = 64
FFMPEG_TIMEOUT_S: Final = 120.0
_BLOCK_VALUES: Final = 1 << 20  # values decoded at a time, over all channels
_SMALL_BLOCK: Final = 1024  # frames decoded at a time where a file is damaged
_RAW_SUFFIXES: Final = (".raw", ".pcm")
_PLAYLIST_SUFFIXES: Final = (".m3u", ".m3u8", ".pls", ".mpd", ".ffconcat", ".concat", ".sdp")
# Demuxers that read one file and never follow what it says to another place.
_FFMPEG_FORMATS: Final = (
    "3g2,3gp,aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,m4a,matroska,mj2,mov,mp3,mp4,"
    "mpeg,mpegts,ogg,rm,tak,tta,voc,w64,wav,webm,wv,xwma"
)
_AU_HEADER: Final = struct.Struct(">4sIIIII")
_AU_FLOAT32: Final = 6


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording. samples: (S,) float32, mono, in [-1, 1], S >= 1, at `sample_rate_hz`.

    notes: sentences on what the file lacks and how it was mixed down.
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

    Where the mean loses the voice (channels that cancel, speech in the centre of surround sound)
    one channel is taken; where the file is cut, what is there; `notes` tell both.

    Integer samples of 16 bits or fewer come out exactly (n / 32768); values beyond [-1, 1] in
    float files are clipped. Memory stays in proportion to `max_duration_s`, whatever the header
    claims. Raises InputError(field="audio") for anything that is not usable sound of that length.
    """
    path = Path(path)
    _check_file(path)
    mix = Mix()
    audio = _read_mixed(path, max_duration_s, mix)
    better = mix.better(is_vorbis=path.suffix.lower() in (".ogg", ".oga", ".opus"))
    if better is not None:
        channel, note = better
        mix = Mix(channel)
        audio = _read_mixed(path, max_duration_s, mix)
        mix.notes.append(note)
    return replace(audio, notes=tuple(mix.notes))


def _read_mixed(path: Path, max_duration_s: float, mix: Mix) -> Audio:
    soundfile = _soundfile()
    size = wav_size(path)
    with ExitStack() as opened:
        try:
            if size is not None and size.is_untold:
                handle = opened.enter_context(open(path, "rb"))
                source = soundfile.SoundFile(mended_wav(handle, size))
                mix.notes.append("its header does not tell its length: all that follows is read")
            else:
                source = soundfile.SoundFile(file_name(path))
        except (soundfile.SoundFileError, TypeError, ValueError):  # unknown to libsndfile
            return _read_with_ffmpeg(path, max_duration_s, mix)
        opened.enter_context(source)
        rate = _checked_rate(int(source.samplerate), int(source.channels), path)
        # Some headers give no length (or a wrong one): this only refuses early.
        if max_duration_s * rate < source.frames < 1 << 60:
            raise _too_long(path, max_duration_s, source.frames / rate)
        samples = _collect(_sndfile_blocks(source, path), rate, max_duration_s, path, mix)
        is_cut_ogg = source.format == "OGG" and ogg_is_cut(path)
        mix.notes += cut_notes(source.frames, len(samples), rate, size, is_cut_ogg=is_cut_ogg)
    return Audio(samples, rate)


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
            raise _bad(path, "is a folder; name a sound file")
        if not path.exists():
            raise _bad(path, "does not exist; check the path of the audio file")
        if not path.is_file():  # a pipe or a device could block for ever
            raise _bad(path, "is not a regular file; name a sound file")
        if path.stat().st_size == 0:
            raise _bad(path, "is empty (0 bytes); export or copy it again")
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:
        raise _bad(path, f"can't be read: {getattr(error, 'strerror', None) or error}") from error
    if path.suffix.lower() in _RAW_SUFFIXES:
        raise _bad(path, "is raw audio that does not tell its sample rate; convert it to wav")
    if path.suffix.lower() in _PLAYLIST_SUFFIXES:
        raise _bad(path, "is a playlist, not sound; name the sound file itself")


def _sndfile_blocks(source: Any, path: Path) -> Iterator[FloatArray]:
    """The file in pieces of (n, channels) float32."""
    soundfile = _soundfile()
    size, done = max(1, _BLOCK_VALUES // source.channels), 0
    while True:
        try:
            block = source.read(size, dtype="float32", always_2d=True)
        except soundfile.SoundFileError:
            yield from _until_damage(path, done)
            return
        if len(block) == 0:
            return
        done += len(block)
        yield block


def _until_damage(path: Path, done: int) -> Iterator[FloatArray]:
    """The samples after number `done`, in small pieces, which lose little before the damage."""
    soundfile = _soundfile()
    place = 0
    with soundfile.SoundFile(file_name(path)) as source:
        while True:
            try:
                block = source.read(_SMALL_BLOCK, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                if place == 0:
                    raise _bad(path, "is damaged inside; get a fresh copy") from error
                return
            if len(block) == 0:
                return
            place += len(block)
            if place > done:
                yield block[max(0, len(block) - (place - done)) :]


def _collect(
    blocks: Iterator[FloatArray], rate: int, max_duration_s: float, path: Path, mix: Mix
) -> FloatArray:
    """Join (n, channels) blocks into (S,) mono, stopping as soon as the limit is passed."""
    limit, total, parts = int(max_duration_s * rate), 0, []
    for block in blocks:
        total += len(block)
        if total > limit:
            raise _too_long(path, max_duration_s, None)
        if not np.isfinite(block).all():
            raise _bad(path, "holds values that are not numbers (NaN or infinity); export it again")
        parts.append(np.clip(mix.mono(block, rate), -1.0, 1.0).astype(np.float32))
    if total == 0:
        raise _bad(path, "holds no sound (no samples); export it again")
    return np.concatenate(parts)


def _read_with_ffmpeg(path: Path, max_duration_s: float, mix: Mix) -> Audio:
    program = _ffmpeg_program()
    if program is None:
        raise _bad(
            path,
            "is not a wav, flac, ogg or mp3 file; to read other formats install ffmpeg "
            "(pip install imageio-ffmpeg), or convert the file to wav",
        )
    command = [
        program, "-nostdin", "-hide_banner", "-nostats", "-v", "info",
        "-protocol_whitelist", "file,pipe", "-format_whitelist", _FFMPEG_FORMATS,
        "-i", f"file:{path}", "-map", "0:a:0", "-vn", "-sn", "-dn",
        "-t", f"{max_duration_s + 1.0}", "-c:a", "pcm_f32be", "-f", "au", "pipe:1",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        except OSError as error:
            raise EnvironmentProblem(
                f"ffmpeg can't be started ({error.strerror}); install it again"
            ) from error
        hung = threading.Event()

        def give_up() -> None:
            hung.set()
            process.kill()

        timer = threading.Timer(FFMPEG_TIMEOUT_S, give_up)
        timer.start()
        try:
            assert process.stdout is not None
            sound = _read_au(process.stdout, max_duration_s, path, mix)
            if hung.is_set():  # what came before the kill is not the whole sound
                raise _NothingDecodedError("ffmpeg was stopped", field="audio")
            return sound
        except InputError as error:
            if hung.is_set():
                raise _bad(
                    path, f"took ffmpeg more than {FFMPEG_TIMEOUT_S:.0f} s; convert it to wav"
                ) from error
            process.kill()
            process.wait()
            raise _explained(error, log, path, max_duration_s) from error
        finally:
            timer.cancel()
            process.kill()
            process.communicate()


class _NothingDecodedError(InputError):
    """ffmpeg gave no samples; its log says why."""


class _PastLimitError(InputError):
    """More samples came than the limit allows; the log may tell how long the file is."""


def _read_au(stream: IO[bytes], max_duration_s: float, path: Path, mix: Mix) -> Audio:
    """Parse ffmpeg's stream: Sun "au" has a small header that needs no length in advance."""
    header = stream.read(_AU_HEADER.size)
    if len(header) < _AU_HEADER.size:
        raise _NothingDecodedError("ffmpeg decoded nothing", field="audio")
    magic, offset, _, encoding, rate, channels = _AU_HEADER.unpack(header)
    if magic != b".snd" or encoding != _AU_FLOAT32 or not _AU_HEADER.size <= offset < 1 << 16:
        raise _NothingDecodedError("ffmpeg answered in another format", field="audio")
    stream.read(offset - _AU_HEADER.size)
    rate = _checked_rate(rate, channels, path)

    def blocks() -> Iterator[FloatArray]:
        size = 4 * channels * max(1, _BLOCK_VALUES // channels)
        while data := stream.read(size):
            whole = len(data) - len(data) % (4 * channels)
            yield np.frombuffer(data[:whole], ">f4").astype(np.float32).reshape(-1, channels)

    return Audio(_collect(blocks(), rate, max_duration_s, path, mix), rate)


def _explained(error: InputError, log: IO[bytes], path: Path, max_duration_s: float) -> InputError:
    """A better sentence for `error`, from what ffmpeg wrote to its log."""
    log.seek(0)
    text = log.read(1 << 16).decode("utf-8", "replace")
    if isinstance(error, _PastLimitError):
        found = re.search(r"Duration: (\d+):(\d\d):(\d\d\.\d+)", text)
        seconds = [float(part) for part in found.groups()] if found else None
        known = seconds[0] * 3600 + seconds[1] * 60 + seconds[2] if seconds else None
        return _too_long(path, max_duration_s, known)
    if not isinstance(error, _NothingDecodedError):
        return error
    if "matches no streams" in text:
        return _bad(path, "holds no sound stream; choose a file with sound")
    kind = path.suffix.lower().lstrip(".")
    named = f" (although it is named .{kind})" if kind else ""
    return _bad(path, f"is damaged or no sound file{named}; export it again, best as wav")


def _ffmpeg_program() -> str | None:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # not installed, or installed without its program
        return shutil.which("ffmpeg")


def _checked_rate(rate: int, channels: int, path: Path) -> int:
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise _bad(path, f"has a sample rate of {rate} Hz; convert it to 48000 Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise _bad(path, f"has {channels} channels; mix it down to one or two")
    return rate


def _too_long(path: Path, max_duration_s: float, duration_s: float | None) -> InputError:
    length = "is" if duration_s is None else f"lasts {round(duration_s, 1):g} s,"
    return _PastLimitError(
        f"{path} {length} longer than {max_duration_s:g} s, the most that is read; cut it",
        field="audio",
    )


def _bad(path: Path, complaint: str) -> InputError:
    return InputError(f"{path} {complaint}", field="audio")
