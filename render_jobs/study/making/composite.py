# SPDX-License-Identifier: GPL-3.0-or-later
"""Two videos and one audio track in, the files of one stimulus out, alike in all but the faces.

Every file is made by the same encoder with the same settings on one thread, without dates, names
or other metadata, begins with the same plain field, and is as long as its mirror image to the
frame. The same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exomni_core.errors import WorkerError
from exomni_core.retime import FrameRate
from exomni_core.storage.files import replacing, write_bytes
from render_jobs.video.encode import AUDIO_RATE_HZ
from render_jobs.video.ffmpeg_command import file_argument, quiet_command
from render_jobs.video.mux import run_ffmpeg

LEAD_IN_S: Final = 0.3  # a plain field: no poster tells anything, and no onset is swallowed
GAP_S: Final = 0.6  # between two sides that play one after the other
FIELD: Final = "0x2a2d31"
DIVIDER_PX: Final = 8
CRF: Final = 18
# A date that tells nothing; servers send it as Last-Modified.
FILE_TIME_S: Final = 946_684_800
_ATOM_HEADER: Final = 8


@dataclass(frozen=True)
class Canvas:
    """What all stimuli of a study share: size of one side in pixels, and the frame rate."""

    width: int
    height: int
    rate: FrameRate

    @property
    def lead_frames(self) -> int:
        """Frames of plain field at the start."""
        return max(1, round(LEAD_IN_S * self.rate.fps))

    @property
    def gap_frames(self) -> int:
        """Frames of plain field between two sides that play one after the other."""
        return max(1, round(GAP_S * self.rate.fps))

    def samples(self, frames: int) -> int:
        """Samples at 48 kHz that last as long as that many frames."""
        return round(frames / self.rate.fps * AUDIO_RATE_HZ)


@dataclass(frozen=True)
class Side:
    """One half of the picture: from frame `start`, `frames` frames of `video`, else plain field.

    frames: the video's last picture is held if it has fewer. delay: frames by which the face comes
    late (its first picture is held). width, height: of the video.
    """

    video: Path
    width: int
    height: int
    start: int
    frames: int
    delay: int = 0


def encode_composite(
    left: Side, right: Side, audio: Path, frames: int, canvas: Canvas, final: Path
) -> None:
    """Write `frames` frames of left | right with `audio` (an m4a, copied) as an mp4."""
    graph = [
        f"[0:v]{_side_filter(left, frames, canvas)},"
        f"pad={canvas.width + DIVIDER_PX}:{canvas.height}:0:0:color=black[l]",
        f"[1:v]{_side_filter(right, frames, canvas)}[r]",
        "[l][r]hstack=inputs=2[v]",
    ]
    inputs = [*_input(left.video), *_input(right.video), "-i", file_argument(audio)]
    _encode(inputs, graph, ["-map", "2:a", "-c:a", "copy"], frames, canvas, final)


def encode_side(side: Side, frames: int, canvas: Canvas, final: Path) -> None:
    """Write one silent side by itself, for a page that shows two videos."""
    graph = [f"[0:v]{_side_filter(side, frames, canvas)}[v]"]
    _encode(_input(side.video), graph, ["-an"], frames, canvas, final)


def dress_up(files: Mapping[Path, Path], key: bytes, label: str) -> None:
    """Copy the files of one pair (made -> final), all to the same size and with a fixed date.

    A `free` atom at the end, which players skip, takes up the difference and a little that depends
    on `key` and `label`; its filling makes every file differ, so that no two places of a study can
    be matched by size or by content.
    """
    extra = int.from_bytes(hmac.digest(key, f"size/{label}".encode(), "sha256")[:4], "big")
    largest = max(made.stat().st_size for made in files)
    size = largest + _ATOM_HEADER + 32 + extra % max(1, largest // 50)
    for made, final in files.items():
        data = made.read_bytes()
        write_bytes(final, data + _free_atom(size - len(data), key, final.name))
        os.utime(final, (FILE_TIME_S, FILE_TIME_S))


def opaque_name(key: bytes, label: str, suffix: str) -> str:
    """A file name that tells nothing to those without `key`: 16 hex digits of an HMAC-SHA256."""
    return hmac.digest(key, label.encode(), "sha256").hex()[:16] + suffix


def blinding_key(seed: int, facts: Iterable[str]) -> bytes:
    """The key of a study, from its seed and the hashes of what it is made of.

    Nobody who lacks the inputs can compute it, and the same study always has the same key.
    """
    text = "\n".join([str(seed), *facts])
    return hashlib.sha256(text.encode()).digest()


def _free_atom(size: int, key: bytes, label: str) -> bytes:
    needed = size - _ATOM_HEADER
    filling, block = b"", 0
    while len(filling) < needed:
        filling += hmac.digest(key, f"{label}/{block}".encode(), "sha256")
        block += 1
    return size.to_bytes(4, "big") + b"free" + filling[:needed]


def _side_filter(side: Side, frames: int, canvas: Canvas) -> str:
    """The chain that turns a video into `frames` frames of one half of the picture."""
    # By time stamps from the first picture on; one that begins late is part of `delay`.
    steps = ["setpts=PTS-STARTPTS", f"fps={_rate(canvas.rate)}:start_time=0"]
    if (side.width, side.height) != (canvas.width, canvas.height):
        steps.append(
            f"scale={canvas.width}:{canvas.height}:force_original_aspect_ratio=decrease:"
            f"force_divisible_by=2:flags=bicubic+accurate_rnd"
        )
        steps.append(f"pad={canvas.width}:{canvas.height}:-1:-1:color={FIELD}")
    steps += ["setsar=1", "format=yuv420p", f"settb=expr=1/({_rate(canvas.rate)})", "setpts=N"]
    if side.delay:
        steps.append(f"tpad=start={side.delay}:start_mode=clone")
    steps.append("tpad=stop=-1:stop_mode=clone")
    steps.append(f"trim=end_frame={side.frames}")
    after = frames - side.start - side.frames
    steps.append(f"tpad=start={side.start}:start_mode=add:stop={after}:stop_mode=add:color={FIELD}")
    return ",".join(steps)


def _encode(
    inputs: list[str],
    graph: list[str],
    sound: list[str],
    frames: int,
    canvas: Canvas,
    final: Path,
) -> None:
    command = quiet_command(
        "-y",
        *inputs,
        "-filter_complex_threads",
        "1",
        "-filter_complex",
        ";".join(graph),
        "-map",
        "[v]",
        *sound,
        "-c:v",
        "libx264",
        "-preset",
        "fast",
        "-crf",
        str(CRF),
        "-pix_fmt",
        "yuv420p",
        "-threads",
        "1",
        "-bf",
        "0",
        "-g",
        str(2 * max(1, round(canvas.rate.fps))),
        "-r",
        _rate(canvas.rate),
        "-fps_mode",
        "cfr",
        "-frames:v",
        str(frames),
        # The encoder writes its settings into the picture stream; they say nothing to a player.
        "-bsf:v",
        "filter_units=remove_types=6",
        "-map_metadata",
        "-1",
        "-map_chapters",
        "-1",
        "-fflags",
        "+bitexact",
        "-flags:v",
        "+bitexact",
        "-movflags",
        "+faststart",
        "-f",
        "mp4",
    )
    with replacing(final) as unfinished:
        run_ffmpeg([*command, file_argument(unfinished)], f"encoding {final.name}")
        if not unfinished.is_file() or unfinished.stat().st_size == 0:
            raise WorkerError(f"ffmpeg wrote nothing to {final}; is the disk full?")


def _input(video: Path) -> list[str]:
    return ["-threads", "1", "-an", "-i", file_argument(video)]


def _rate(rate: FrameRate) -> str:
    return f"{rate.frames * 1000}/{round(rate.base * 1000)}"
