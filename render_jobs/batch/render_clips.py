# SPDX-License-Identifier: GPL-3.0-or-later
"""Clip files in, their videos out, several at a time; a clip that fails harms no other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exomni_core.errors import ClipError, ExOmniError, InputError, WorkerError
from exomni_core.storage.files import sha256_file
from render_jobs.settings import RenderSettings
from render_jobs.workers.cores import MOST_WORKERS
from render_jobs.workers.pool import Pool, Worker


@dataclass(frozen=True)
class RenderJob:
    """One clip and where its video goes."""

    name: str
    clip: Path
    video: Path


@dataclass(frozen=True)
class Rendered:
    """What came of a job: frames, hash and content key of the video, or an error."""

    frames: int = 0
    sha256: str = ""
    key: str = ""
    error: str = ""


def render_clips(
    jobs: Sequence[RenderJob],
    settings: RenderSettings,
    work: Path,
    *,
    blender: Path | None = None,
    workers: int = 0,
    on_frames: Callable[[int], None] | None = None,
) -> dict[str, Rendered]:
    """Render every job that has no video by the same clip, head and settings yet; name -> result.

    work: a folder for unfinished files. workers: processes, 0 is one per core. Raises
    EnvironmentProblem where nothing can be rendered at all, and InputError for the template.
    """
    from render_jobs.video.encode import count_frames
    from render_jobs.video.ffmpeg_command import find_ffmpeg
    from render_jobs.video.make import carries_key, render_worker, video_key
    from templates.library import find_template, template_hash

    find_ffmpeg()
    template_sha256 = template_hash(find_template(settings.template))
    results: dict[str, Rendered] = {}
    todo: list[tuple[RenderJob, str]] = []
    for job in jobs:
        key = video_key(sha256_file(job.clip), template_sha256, settings)
        if job.video.is_file() and carries_key(job.video, key):
            results[job.name] = Rendered(count_frames(job.video), sha256_file(job.video), key)
        else:
            todo.append((job, key))
    if todo:
        work.mkdir(parents=True, exist_ok=True)
        size = workers or min(os.cpu_count() or 1, MOST_WORKERS)
        pool = Pool(render_worker(work, blender), min(size, len(todo)))
        results |= _render_all(pool, todo, settings, work, on_frames)
    return results


def _render_all(
    pool: Pool,
    todo: Sequence[tuple[RenderJob, str]],
    settings: RenderSettings,
    work: Path,
    on_frames: Callable[[int], None] | None,
) -> dict[str, Rendered]:
    from render_jobs.video.make import render_video

    def task(job: RenderJob, key: str) -> Callable[[Worker], Any]:
        return lambda worker: render_video(
            worker, job.clip.resolve(), job.video, settings, key,
            work=work.resolve(), on_frames=on_frames,
        )  # fmt: skip

    try:
        futures = {job.name: (key, pool.submit(task(job, key))) for job, key in todo}
        results = {name: _result(future, key) for name, (key, future) in futures.items()}
    except BaseException:
        pool.kill()
        raise
    pool.close()
    return results


def _result(future: Future[Any], key: str) -> Rendered:
    try:
        made = future.result()
    except (ClipError, InputError, WorkerError) as error:
        return Rendered(error=str(error))
    except ExOmniError:  # not about this clip: the machine, or the user's Ctrl-C
        raise
    return Rendered(made.frames, made.sha256, key)
