# SPDX-License-Identifier: GPL-3.0-or-later
"""Clip files in, their videos out, several at a time; a clip that fails harms no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exomni_core.errors import ClipError, InputError, WorkerError, error_from_json
from exomni_core.storage.files import sha256_file
from render_jobs.batch import steps
from render_jobs.batch.runner import ATTEMPTS
from render_jobs.settings import RenderSettings
from render_jobs.video.ffmpeg_command import check_ffmpeg
from render_jobs.video.make import carries_key, video_key
from render_jobs.video.mux import count_frames
from render_jobs.workers.cores import MOST_WORKERS
from render_jobs.workers.executor import Executor, ExecutorMaker, Step, at_work
from templates.library import find_template, template_hash


@dataclass(frozen=True)
class WantedVideo:
    """A clip and where its video goes. name: what it is called in the results."""

    name: str
    clip: Path
    video: Path


@dataclass(frozen=True)
class Rendered:
    """What came of it: frames, hash and content key of the video, or an error."""

    frames: int = 0
    sha256: str = ""
    key: str = ""
    error: str = ""


def render_clips(
    wanted: Sequence[WantedVideo],
    settings: RenderSettings,
    work: Path,
    *,
    blender: Path | None = None,
    workers: int = 0,
    on_frames: Callable[[int], None] | None = None,
    make_executor: ExecutorMaker = steps.local_executor,
) -> dict[str, Rendered]:
    """Render each that has no video by the same clip, head and settings yet; name -> result.

    work: a folder for unfinished files. workers: processes, 0 is one per core. Raises
    EnvironmentProblem where nothing can be rendered at all, and InputError for the template.
    """
    check_ffmpeg(*{one.video.suffix.lower() if settings.alpha else ".mp4" for one in wanted})
    template_sha256 = template_hash(find_template(settings.template))
    results: dict[str, Rendered] = {}
    todo: dict[str, Step] = {}
    for one in wanted:
        clip_sha256 = sha256_file(one.clip)
        key = video_key(clip_sha256, template_sha256, settings)
        if one.video.is_file() and carries_key(one.video, key):
            results[one.name] = Rendered(count_frames(one.video), sha256_file(one.video), key)
        else:
            todo[one.name] = steps.video_step(one.clip, clip_sha256, one.video, key, settings)
    if todo:
        work.mkdir(parents=True, exist_ok=True)
        size = workers or min(os.cpu_count() or 1, MOST_WORKERS)
        crew = steps.renderers(blender, min(size, len(todo)))
        with at_work(make_executor((crew,), work)) as executor:
            results |= _render_all(executor, todo, on_frames or (lambda _: None))
    return results


def _render_all(
    executor: Executor, todo: dict[str, Step], on_frames: Callable[[int], None]
) -> dict[str, Rendered]:
    """What a dead worker held is tried once more, as in a run."""
    results: dict[str, Rendered] = {}
    sent = {executor.submit(step): (name, 1) for name, step in todo.items()}
    while sent:
        number, message = executor.take()
        if message["event"] == "frames":
            on_frames(message["count"])
            continue
        name, attempt = sent.pop(number)
        if message["event"] == "done":
            key = todo[name].request["key"]
            results[name] = Rendered(message["frames"], message["sha256"], key)
            continue
        error = error_from_json(message)
        if isinstance(error, WorkerError) and attempt < ATTEMPTS:
            sent[executor.submit(todo[name])] = (name, attempt + 1)
        elif isinstance(error, (ClipError, InputError, WorkerError)):
            results[name] = Rendered(error=str(error))
        else:  # not about this clip: the machine, or the user's Ctrl-C
            raise error
    return results
