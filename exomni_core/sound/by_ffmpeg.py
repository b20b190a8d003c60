# SPDX-License-Identifier: GPL-3.0-or-later
"""A sound or video file in, its first sound decoded by an ffmpeg program out.

The program runs as its own process, with a time-out and with playlists and the network shut out.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import numpy as np

from exomni_core.arrays import FloatArray
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.sound.decoded import (
    BLOCK_VALUES,
    Decoded,
    PastLimitError,
    bad,
    checked_rate,
    collect,
    too_long,
)
from exomni_core.sound.mixdown import Mixdown

FFMPEG_TIMEOUT_S: Final = 120.0
# Demuxers that read one file and never follow what it says to another place.
_FFMPEG_FORMATS: Final = (
    "3g2,3gp,aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,m4a,matroska,mj2,mov,mp3,mp4,"
    "mpeg,mpegts,ogg,rm,tak,tta,voc,w64,wav,webm,wv,xwma"
)
_AU_HEADER: Final = struct.Struct(">4sIIIII")
_AU_FLOAT32: Final = 6
# How ffmpeg's log says that a file ends too early.
_BROKEN_OFF: Final = re.compile(r"(?i)ended prematurely|partial file|truncat")


def ffmpeg_program() -> str | None:
    """The program to call: imageio-ffmpeg's, else one on the PATH; None if there is none."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # not installed, or installed without its program
        return shutil.which("ffmpeg")


class _NothingDecodedError(InputError):
    """ffmpeg gave no samples; its log says why."""


def decode_by_ffmpeg(path: Path, max_duration_s: float, only: int | None) -> Decoded:
    """Decode the first sound of `path`; only: the one channel to take, None for all.

    Raises InputError(field="audio"), and EnvironmentProblem for a program that can't be started.
    """
    program = ffmpeg_program()
    if program is None:
        raise bad(
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
            read = _read_au(process.stdout, max_duration_s, path, only)
            if hung.is_set():  # what came before the kill is not the whole sound
                raise _NothingDecodedError("ffmpeg was stopped", field="audio")
            process.wait()
            return dataclasses.replace(read, broke=_BROKEN_OFF.search(_log_text(log)) is not None)
        except InputError as error:
            if hung.is_set():
                raise bad(
                    path, f"took ffmpeg more than {FFMPEG_TIMEOUT_S:.0f} s; convert it to wav"
                ) from error
            process.kill()
            process.wait()
            raise _explained(error, log, path, max_duration_s) from error
        finally:
            timer.cancel()
            process.kill()
            process.communicate()


def _read_au(stream: IO[bytes], max_duration_s: float, path: Path, only: int | None) -> Decoded:
    """Parse ffmpeg's stream: Sun "au" has a small header that needs no length in advance."""
    header = stream.read(_AU_HEADER.size)
    if len(header) < _AU_HEADER.size:
        raise _NothingDecodedError("ffmpeg decoded nothing", field="audio")
    magic, offset, _, encoding, rate, channels = _AU_HEADER.unpack(header)
    if magic != b".snd" or encoding != _AU_FLOAT32 or not _AU_HEADER.size <= offset < 1 << 16:
        raise _NothingDecodedError("ffmpeg answered in another format", field="audio")
    stream.read(offset - _AU_HEADER.size)
    rate = checked_rate(rate, channels, path)

    def blocks() -> Iterator[FloatArray]:
        size = 4 * channels * max(1, BLOCK_VALUES // channels)
        while data := stream.read(size):
            whole = len(data) - len(data) % (4 * channels)
            yield np.frombuffer(data[:whole], ">f4").astype(np.float32).reshape(-1, channels)

    mix = Mixdown(only)
    collect(blocks(), mix, rate, max_duration_s, path)
    if mix.length == 0:
        raise bad(path, "holds no sound (no samples); export it again")
    return Decoded(mix, rate)


def _log_text(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read(1 << 16).decode("utf-8", "replace")


def _explained(error: InputError, log: IO[bytes], path: Path, max_duration_s: float) -> InputError:
    """A better sentence for `error`, from what ffmpeg wrote to its log."""
    text = _log_text(log)
    if isinstance(error, PastLimitError):
        found = re.search(r"Duration: (\d+):(\d\d):(\d\d\.\d+)", text)
        seconds = [float(part) for part in found.groups()] if found else None
        known = seconds[0] * 3600 + seconds[1] * 60 + seconds[2] if seconds else None
        return too_long(path, max_duration_s, known)
    if not isinstance(error, _NothingDecodedError):
        return error
    if "matches no streams" in text:
        return bad(path, "holds no sound stream; choose a file with sound")
    kind = path.suffix.lower().lstrip(".")
    named = f" (although it is named .{kind})" if kind else ""
    return bad(path, f"is damaged or no sound file{named}; export it again, best as wav")
