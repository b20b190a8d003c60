# SPDX-License-Identifier: GPL-3.0-or-later
"""A silent mp4 and speech as FLAC in, one playable mp4 or a contact sheet out; runs ffmpeg.

The same input gives the same bytes: no dates, no encoder names.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import EnvironmentProblem, WorkerError
from exomni_core.processes.guard import attended
from exomni_core.processes.life import PATIENCE, LifeWatch, Patience, how_it_ended
from exomni_core.retime import FrameRate
from exomni_core.storage.logs import last_line
from render_jobs.video.encode import AUDIO_BITRATE, AUDIO_RATE_HZ
from render_jobs.video.ffmpeg_command import file_argument, find_ffmpeg, quiet_command

_TIMEOUT_S: Final = 3600.0  # for one that works all the time and never ends


@dataclass(frozen=True)
class VideoInfo:
    """What a video holds: size in pixels, pictures, and where each stream starts and ends (s).

    audio_start_s, audio_end_s: None for a video without sound; the encoder's lead-in not counted.
    """

    width: int
    height: int
    frames: int
    video_start_s: float
    video_end_s: float
    audio_start_s: float | None
    audio_end_s: float | None


def mux(
    silent: Path,
    speech: Path,
    final: Path,
    frame_rate: FrameRate,
    *,
    key: str = "",
    timeout_s: float = _TIMEOUT_S,
) -> None:
    """Join the silent mp4 with `speech` (FLAC) into `final`; both start and end together.

    The picture is copied, the speech becomes AAC at its own loudness. `key` goes into the comment.
    Raises WorkerError with ffmpeg's last words, EnvironmentProblem without ffmpeg.
    """
    command = mux_command(silent, speech, final, frame_rate, key=key)
    run_ffmpeg(command, f"joining picture and sound of {final.name}", timeout_s)
    if not final.is_file() or final.stat().st_size == 0:
        raise WorkerError(f"ffmpeg wrote nothing to {final}; is the disk full?")


def mux_command(
    silent: Path, flac: Path, final: Path, frame_rate: FrameRate, *, key: str = ""
) -> list[str]:
    """The ffmpeg command line of `mux`, for tests and messages."""
    ffmpeg = _ffmpeg_python()
    picture = ffmpeg.input(file_argument(silent))
    # The picture was rounded up to whole frames; silence fills the last one, so that players
    # neither cut the picture nor loop early.
    seconds = count_frames(silent) / frame_rate.fps
    sound = ffmpeg.input(file_argument(flac)).audio
    sound = sound.filter("aresample", AUDIO_RATE_HZ).filter("apad", whole_dur=f"{seconds:.6f}")
    output = ffmpeg.output(
        picture.video,
        sound,
        file_argument(final),
        format="mp4",
        vcodec="copy",
        acodec="aac",
        audio_bitrate=AUDIO_BITRATE,
        ac=1,
        map_metadata=-1,
        movflags="+faststart",
        fflags="+bitexact",
        **{"flags:v": "+bitexact", "flags:a": "+bitexact", "metadata": f"comment={key}"},
    )
    return _compile(output)


def contact_sheet(
    video: Path, png: Path, *, columns: int = 6, rows: int = 2, width: int = 1500
) -> None:
    """Write `columns` x `rows` evenly spaced frames of `video` as one PNG about `width` px wide."""
    info = probe(video)
    wanted = columns * rows
    # Middles of equal stretches: neither the first nor the last frame says much.
    at = [int((i + 0.5) * info.frames / wanted) for i in range(wanted)]
    tile = 2 * max(1, width // columns // 2)
    ffmpeg = _ffmpeg_python()
    chosen = "+".join(f"eq(n,{frame})" for frame in sorted(set(at)))
    picture = ffmpeg.input(file_argument(video)).video.filter("select", chosen)
    picture = picture.filter("scale", tile, -2).filter("tile", f"{columns}x{rows}", padding=4)
    output = ffmpeg.output(
        picture,
        file_argument(png),
        vframes=1,
        format="image2",
        vcodec="png",
        update=1,
        fflags="+bitexact",
        **{"flags:v": "+bitexact"},
    )
    run_ffmpeg(_compile(output), f"making the contact sheet of {video.name}")


def probe(video: Path) -> VideoInfo:
    """Read a video's packet table (imageio-ffmpeg brings no ffprobe); WorkerError if it can't."""
    command = quiet_command("-i", file_argument(video))
    command += ["-map", "0", "-c", "copy", "-f", "framecrc", "-"]
    return _read_packets(run_ffmpeg(command, f"reading {video.name}"), video)


def count_frames(video: Path) -> int:
    """How many pictures a video holds."""
    return probe(video).frames


def run_ffmpeg(
    command: list[str],
    doing: str,
    timeout_s: float = _TIMEOUT_S,
    patience: Patience = PATIENCE,
) -> str:
    """Run an ffmpeg command line and return what it printed; WorkerError in one sentence.

    One that gives no sign of life is ended after `patience`.
    """
    try:
        with attended(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as ffmpeg:
            printed, complaints = _ended(ffmpeg, doing, timeout_s, patience)
    except OSError as error:
        raise EnvironmentProblem(
            f"{command[0]} can't be started ({error.strerror}); run: pip install imageio-ffmpeg"
        ) from error
    if ffmpeg.returncode != 0:
        if b"No space left" in complaints:
            raise EnvironmentProblem(f"the disk is full ({doing}): free some space")
        word = last_line(complaints) or f"it {how_it_ended(ffmpeg.returncode)}"
        raise WorkerError(f"ffmpeg failed at {doing}: {word}")
    return printed.decode("utf-8", "replace")


def _ended(
    ffmpeg: subprocess.Popen[bytes], doing: str, timeout_s: float, patience: Patience
) -> tuple[bytes, bytes]:
    """What it printed and complained of, once it has ended."""
    watch = LifeWatch(ffmpeg.pid, patience, alone=True)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ffmpeg.communicate(timeout=min(patience.look_s, timeout_s))
        except subprocess.TimeoutExpired as error:
            if watch.is_hung():
                raise WorkerError(
                    f"ffmpeg gave no sign of life for {watch.limit_s:.0f} s at {doing} and was "
                    "stopped; try again"
                ) from error
            if time.monotonic() >= deadline:
                raise WorkerError(f"ffmpeg took more than {timeout_s:.0f} s for {doing}") from error


def _read_packets(table: str, video: Path) -> VideoInfo:
    """Read ffmpeg's `framecrc` table: a header, then `stream, dts, pts, duration, size, ...`."""
    base: dict[int, Fraction] = {}
    kind: dict[int, str] = {}
    spans: dict[int, list[tuple[int, int]]] = {}
    size = (0, 0)
    for line in table.splitlines():
        if line.startswith("#"):
            name, _, value = line[1:].partition(":")
            field, _, stream = name.partition(" ")
            if field == "tb":
                base[int(stream)] = Fraction(value.strip())
            elif field == "media_type":
                kind[int(stream)] = value.strip()
            elif field == "dimensions" and size == (0, 0):
                width, _, height = value.strip().partition("x")
                size = (int(width), int(height))
        elif line:
            cells = line.split(",")
            start, end = int(cells[2]), int(cells[2]) + int(cells[3])
            if end > 0:  # what ends before the clock starts is an encoder's lead-in
                spans.setdefault(int(cells[0]), []).append((max(0, start), end))
    ends = {
        kind[stream]: (
            min(a for a, _ in rows) * base[stream],
            max(b for _, b in rows) * base[stream],
        )
        for stream, rows in spans.items()
    }
    if "video" not in ends:
        raise WorkerError(f"{video} contains no picture")
    pictures = next(len(rows) for stream, rows in spans.items() if kind[stream] == "video")
    sound = ends.get("audio")
    return VideoInfo(
        width=size[0],
        height=size[1],
        frames=pictures,
        video_start_s=float(ends["video"][0]),
        video_end_s=float(ends["video"][1]),
        audio_start_s=None if sound is None else float(sound[0]),
        audio_end_s=None if sound is None else float(sound[1]),
    )


def _compile(output: Any) -> list[str]:
    command: list[str] = output.compile(cmd=find_ffmpeg(), overwrite_output=True)
    return quiet_command(*command[1:], program=command[0])


def _ffmpeg_python() -> Any:
    try:
        import ffmpeg
    except ImportError as error:
        raise EnvironmentProblem(
            "the package ffmpeg-python is missing; run: pip install ffmpeg-python"
        ) from error
    return ffmpeg
