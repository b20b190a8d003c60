# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip file and render settings in, a finished mp4 out, through a render worker and ffmpeg."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.clip import frame_count, load_clip
from exomni_core.storage.files import content_key, replacing, sha256_file, temporary_name
from render_jobs.settings import SYSTEM_LIBRARIES, RenderSettings
from render_jobs.stage.head_motion import plan_head_motion
from render_jobs.video.encode import Encoder
from render_jobs.video.ffmpeg_command import find_ffmpeg
from render_jobs.video.mux import contact_sheet, mux
from render_jobs.workers.pool import Worker, WorkerCommand

# Raise it when the same clip and settings would give other pictures.
RENDER_VERSION: Final = 2
_NO_GL: Final = (
    "Blender found no usable OpenGL on this machine, not even in software. On Debian and Ubuntu: "
    f"apt-get install --no-install-recommends {SYSTEM_LIBRARIES}; then run: exorender doctor"
)
SILENCE_S: Final = 900.0  # EEVEE compiles its shaders for a minute without a word


@dataclass(frozen=True)
class VideoResult:
    """What came out: frames, seconds by stage, hash of the mp4, and the sheet's hash if asked.

    notes: what the user should know about how it was drawn.
    """

    frames: int
    seconds: dict[str, float]
    sha256: str
    sheet_sha256: str | None = None
    notes: tuple[str, ...] = ()


def render_worker(scratch: Path, blender: Path | None = None) -> WorkerCommand:
    """How to start a render worker: our own bpy, or the user's Blender at `blender`.

    scratch: where Blender puts its temporary folder, which it leaves behind when it is killed; the
    caller removes it.
    """
    script = Path(__file__).with_name("worker.py")
    if blender is None:
        argv: tuple[str, ...] = (sys.executable, "-m", "render_jobs.video.worker")
    else:
        argv = (str(blender), "--background", "--factory-startup", "--python", str(script))
    # One thread for sums: their last bits would depend on how many share the work.
    env = {"TMPDIR": str(scratch.resolve()), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    # Our root must be importable in a Blender that has never heard of us.
    root = str(script.parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return WorkerCommand("render worker", argv, env, fatal_hint=_NO_GL, own_cores=True)


def video_key(clip_sha256: str, template_sha256: str, settings: RenderSettings) -> str:
    """The content hash of a video: the clip's bytes, the template's, and every setting."""
    chosen = settings.to_json() | {"template": template_sha256}
    return content_key({"clip": clip_sha256, "settings": chosen, "version": RENDER_VERSION})


def render_video(
    worker: Worker,
    clip: Path,
    video: Path,
    settings: RenderSettings,
    key: str,
    *,
    work: Path,
    sheet: Path | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> VideoResult:
    """Render `clip` to `video`, which is written completely or not at all.

    key: stored in the mp4's comment. work: a folder for unfinished files. on_frames: called with
    the number of new frames.
    Raises what the worker and ffmpeg raise: ExOmniError in one sentence.
    """
    count = _Frames(on_frames)
    with _parts(work, key) as parts:
        started = time.perf_counter()
        request = _request(clip, video, settings, parts)
        with replacing(video) as unfinished:
            encoder = Encoder(
                find_ffmpeg(), str(parts.speech.resolve()), key, str(unfinished.resolve())
            )
            request["encoder"] = encoder.to_json()
            answer = worker.ask(request, count.heard, silence_s=SILENCE_S)
            rendered = time.perf_counter()
            if not answer["finished"]:
                mux(parts.silent, parts.speech, unfinished, settings.frame_rate, key=key)
        encoded = time.perf_counter()
        if sheet is not None:
            with replacing(sheet) as unfinished:
                contact_sheet(video, unfinished)
    frames = int(answer["frames"])
    count.reach(frames)
    return VideoResult(
        frames=frames,
        seconds={"render": round(rendered - started, 3), "encode": round(encoded - rendered, 3)},
        sha256=sha256_file(video),
        sheet_sha256=sha256_file(sheet) if sheet is not None else None,
        notes=tuple(answer["notes"]),
    )


class _Frames:
    """Progress events of a worker in, calls with the number of new frames out."""

    def __init__(self, on_frames: Callable[[int], None] | None) -> None:
        self._on_frames, self._drawn = on_frames, 0

    def heard(self, message: Mapping[str, Any]) -> None:
        """Take an event of the worker."""
        if message.get("event") == "progress":
            self.reach(message["done"])

    def reach(self, frames: int) -> None:
        """So many are drawn in all."""
        if self._on_frames is not None:
            self._on_frames(frames - self._drawn)
            self._drawn = frames


@dataclass(frozen=True)
class _Parts:
    """Unfinished files of one video: the mp4 without sound, the speech, how the head turns."""

    silent: Path
    speech: Path
    motion: Path


@contextmanager
def _parts(work: Path, key: str) -> Iterator[_Parts]:
    """Names for the unfinished files; afterwards the files are gone."""
    parts = _Parts(
        *(temporary_name(work / f"{key[:16]}{ending}") for ending in (".mp4", ".flac", ".npy"))
    )
    try:
        yield parts
    finally:
        for part in (parts.silent, parts.motion, parts.speech):
            part.unlink(missing_ok=True)


def _request(clip: Path, video: Path, settings: RenderSettings, parts: _Parts) -> dict[str, Any]:
    """What to ask of the worker, but for the encoder; writes how the head turns."""
    request: dict[str, Any] = {
        "job": video.stem,
        "clip": str(clip),
        "video": str(parts.silent),
        "speech": str(parts.speech),
        "settings": settings.to_json(),
    }
    if settings.head_motion:
        np.save(parts.motion, _head_motion(clip, settings))
        request["head_motion"] = str(parts.motion)
    return request


def _head_motion(clip: Path, settings: RenderSettings) -> npt.NDArray[np.float32]:
    whole = load_clip(clip)
    fps = settings.frame_rate.fps
    return plan_head_motion(
        whole.audio,
        whole.sample_rate_hz,
        whole.seed,
        frame_count(whole.duration_s, fps),
        fps,
        settings.head_motion,
    )


def carries_key(video: Path, key: str) -> bool:
    """Whether the mp4 at `video` was made under `key` (looks for it in the file's header)."""
    with open(video, "rb") as handle:
        return key.encode() in handle.read(4 << 20)
