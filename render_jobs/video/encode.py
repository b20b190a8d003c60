# SPDX-License-Identifier: GPL-3.0-or-later
"""Finished pixels in, frame by frame, a video with its speech out, through one ffmpeg.

Needs the standard library alone, because it also runs inside a user's own Blender. The same
frames give the same bytes: no dates, no encoder names, one thread for each codec.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from exomni_core.errors import EnvironmentProblem, WorkerError
from exomni_core.processes.life import how_it_ended
from exomni_core.retime import FrameRate
from exomni_core.storage.logs import last_line
from render_jobs.video.ffmpeg_command import quiet_command

AUDIO_RATE_HZ: Final = 48_000  # AAC at the speech models' 22 or 24 kHz smears onsets
AUDIO_BITRATE: Final = "192k"
BUFFERS: Final = 3  # frames between the engine and ffmpeg: one drawn, one written, one in hand
_PIPE_BYTES: Final = 1 << 20
_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True)
class Encoder:
    """What turns pixels into a file.

    ffmpeg: the program. speech: a FLAC file, "" for a silent video. key: goes into the comment.
    output: the finished file; "" is where a silent video would go.
    """

    ffmpeg: str
    speech: str = ""
    key: str = ""
    output: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the wire."""
        return asdict(self)


def encoder_from_json(data: Mapping[str, Any]) -> Encoder:
    """The inverse of `Encoder.to_json`."""
    return Encoder(**data)


@dataclass(frozen=True)
class Film:
    """What is encoded: the size in pixels, the rate, how many frames, whether with transparency."""

    width: int
    height: int
    frame_rate: FrameRate
    frames: int
    alpha: bool = False


def pipe_command(encoder: Encoder, film: Film, video: Path) -> list[str]:
    """The ffmpeg command line that reads RGBA frames from its stdin and writes `video`.

    Its ending says how: .mp4 is H.264 and AAC; with alpha, .mov is ProRes 4444 and PCM, as editing
    programs want it, and .webm is VP9 and Opus, as browsers show it.
    Picture and sound start together; the sound is filled up with silence to the last frame's end.
    """
    rate = film.frame_rate.frames / Fraction(film.frame_rate.base).limit_denominator(100_000)
    command = quiet_command("-y", program=encoder.ffmpeg)
    command += ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", f"{film.width}x{film.height}"]
    command += ["-framerate", str(rate), "-thread_queue_size", "2", "-i", "pipe:0"]
    if encoder.speech:
        command += ["-i", f"file:{encoder.speech}"]
    command += ["-filter_threads", "1", "-map", "0:v:0"]
    command += ["-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd"]
    kind = video.suffix.lower() if film.alpha else ".mp4"
    command += _CODECS[kind](film.frame_rate.fps)
    command += ["-threads", "1", "-flags:v", "+bitexact", "-colorspace", "bt709"]
    command += ["-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
    if encoder.speech:
        seconds = film.frames / film.frame_rate.fps
        command += ["-map", "1:a:0", "-ac", "1", *_SOUND[kind]]
        command += ["-af", f"aresample={AUDIO_RATE_HZ},apad=whole_dur={seconds:.6f}"]
        command += ["-flags:a", "+bitexact"]
    command += ["-map_metadata", "-1", "-metadata", f"comment={encoder.key}"]
    # Packets wait for each other however long; a limit would let the machine's load decide.
    command += ["-max_interleave_delta", "0", "-fflags", "+bitexact"]
    if kind != ".webm":
        command += ["-movflags", "+faststart"]
    return [*command, "-f", kind[1:], f"file:{video.resolve()}"]


def _h264(fps: float) -> list[str]:
    return [
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "17", "-pix_fmt", "yuv420p",
        "-bf", "0",  # so that the first picture's time is 0 in every player
        "-g", str(max(1, round(fps))),  # a key frame each second, so that players can seek
    ]  # fmt: skip


def _prores(fps: float) -> list[str]:  # noqa: ARG001 (every picture is a key frame)
    return ["-c:v", "prores_ks", "-profile:v", "4444", "-vendor", "apl0",
            "-pix_fmt", "yuva444p10le", "-alpha_bits", "16"]  # fmt: skip


def _vp9(fps: float) -> list[str]:
    return ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "18", "-b:v", "0",
            "-deadline", "good", "-cpu-used", "5", "-row-mt", "0", "-auto-alt-ref", "0",
            "-g", str(max(1, round(fps)))]  # fmt: skip


_CODECS: Final[Mapping[str, Callable[[float], list[str]]]] = {
    ".mp4": _h264,
    ".mov": _prores,
    ".webm": _vp9,
}
_SOUND: Final[Mapping[str, list[str]]] = {
    ".mp4": ["-c:a", "aac", "-b:a", AUDIO_BITRATE],
    ".mov": ["-c:a", "pcm_s16le"],
    ".webm": ["-c:a", "libopus", "-b:a", "128k"],
}
ALPHA_ENDINGS: Final = (".mov", ".webm")


class VideoPipe:
    """`with VideoPipe(command) as pipe: buffer = pipe.take(buffer)`; the end completes the file.

    A separate thread writes the frames, so that drawing and encoding run in parallel.
    """

    def __init__(self, command: Sequence[str], doing: str) -> None:
        """Start ffmpeg; `doing` says what for in an error. EnvironmentProblem if it can't start."""
        self._doing = doing
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as we do)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                bufsize=0,
            )
        except OSError as error:
            self._log.close()
            raise EnvironmentProblem(
                f"{command[0]} can't be started ({error.strerror}); run: pip install imageio-ffmpeg"
            ) from error
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        _widen(self._stdin.fileno())
        self._todo: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._written: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._held = 0
        self._thread = threading.Thread(target=self._write, daemon=True, name="video pipe")
        self._thread.start()

    def take(self, buffer: Any) -> Any | None:
        """Queue a frame; returns a frame's buffer that is written and free again, or None.

        At most BUFFERS - 1 buffers are kept here. Raises WorkerError if ffmpeg has failed.
        """
        self._todo.put(buffer)
        self._held += 1
        if self._held < BUFFERS:
            return None
        done = self._written.get()
        self._held -= 1
        if done is None:
            self._fail()
        return done

    def __enter__(self) -> VideoPipe:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the last frame and for ffmpeg, or stop it after an error."""
        # Popen.wait with a timeout would look only now and then.
        too_late = threading.Timer(_TIMEOUT_S, self._process.kill)
        too_late.start()
        try:
            if error is not None:
                self._process.kill()
            self._todo.put(None)
            self._thread.join()
            with contextlib.suppress(OSError):
                self._stdin.close()
            if self._process.wait() != 0 and error is None:
                self._fail()
        finally:
            too_late.cancel()
            self._process.kill()
            self._process.wait()
            self._log.close()

    def _write(self) -> None:
        while (buffer := self._todo.get()) is not None:
            rest = memoryview(buffer).cast("B")
            try:
                while rest:
                    rest = rest[self._stdin.write(rest) :]
            except OSError:
                self._written.put(None)
                return
            self._written.put(buffer)

    def _fail(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)  # its pipe has just broken
        code = self._process.poll()
        self._process.kill()
        self._log.seek(0)
        written = self._log.read()
        if b"No space left" in written:
            raise EnvironmentProblem(f"the disk is full ({self._doing}): free some space")
        word = last_line(written) or f"it {how_it_ended(code)}"
        raise WorkerError(f"ffmpeg failed at {self._doing}: {word}")


def _widen(pipe: int) -> None:
    """Let the pipe hold most of a frame, where the system can: fewer changes between processes."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
