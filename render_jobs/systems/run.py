# SPDX-License-Identifier: GPL-3.0-or-later
"""A system and a prompts file in, a run folder out as `batch` makes it: manifest, clips, videos.

With another run's speech, every system moves its lips to the same sound, so that `pairs` can set
the faces side by side. Each prompt stands alone; what is finished is not made again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from exomni_core.errors import Cancelled, EnvironmentProblem
from render_jobs.batch import steps as batch_steps
from render_jobs.batch.folder import BatchFolder, Row, lock_folder, work_folder
from render_jobs.batch.plan import Item
from render_jobs.batch.run import carry_out
from render_jobs.batch.runner import Course, Observer, Runner
from render_jobs.systems import steps
from render_jobs.systems.config import AdapterSystem, EngineSystem, ProgramSystem, System
from render_jobs.systems.engine import run_engine
from render_jobs.systems.items import SystemOptions
from render_jobs.systems.plan import SystemPlan, plan_system, where
from render_jobs.video.ffmpeg_command import check_ffmpeg
from render_jobs.workers.cores import MOST_WORKERS
from render_jobs.workers.executor import Crew, ExecutorMaker, Step, at_work

RowCallback = Callable[[Row], None]


def run_system(
    system: System,
    options: SystemOptions,
    on_row: RowCallback | None = None,
    make_executor: ExecutorMaker = steps.local_executor,
) -> list[Row]:
    """Do the whole run and return one row for each prompt, in file order.

    make_executor: what runs the steps, on this machine or elsewhere.
    Raises InputError (prompts, folder, a program that can't be started), EnvironmentProblem.
    """
    observer = _Rows(on_row or (lambda _: None))
    if isinstance(system, EngineSystem):
        return run_engine(system, options, observer, make_executor)
    folder = BatchFolder(options.out)
    with lock_folder(folder), work_folder(folder):
        planned = plan_system(system, options, folder)
        with at_work(make_executor(_crews(system, options), folder.work)) as executor:
            if options.video and planned.plan.todo:
                check_ffmpeg(".mp4")
                if not _makes_videos(system):
                    executor.prepare(batch_steps.RENDERERS)
            course = _course(system, options, planned, folder)
            runner = Runner(folder, planned.plan, course, executor, observer)
            asked = _Asked(options, asdict(system))
            return list(carry_out(runner, folder, asked).rows)


@dataclass(frozen=True)
class _Asked:
    """What `run.json` records."""

    options: SystemOptions
    system: Mapping[str, Any]


class _Rows(Observer):
    """Passes finished rows on."""

    def __init__(self, on_row: RowCallback) -> None:
        self._on_row = on_row

    def row(self, row: Row) -> None:
        """One row more."""
        self._on_row(row)


def _makes_videos(system: System) -> bool:
    return isinstance(system, ProgramSystem) and system.output == ".mp4"


def _crews(system: System, options: SystemOptions) -> tuple[Crew, ...]:
    size = options.workers or min(os.cpu_count() or 1, MOST_WORKERS)
    programs = system.workers if isinstance(system, ProgramSystem) else 1
    return (
        Crew(steps.SYSTEM, {}, max(1, programs)),
        batch_steps.renderers(options.blender, size),
    )


def _course(
    system: System, options: SystemOptions, planned: SystemPlan, folder: BatchFolder
) -> Course:
    keys = {item.item_id: item.clip_key for item in planned.plan.items}

    def clip_step(items: Sequence[Item]) -> Step:
        given = [planned.given[item.item_id] for item in items]
        return steps.face_step(system, given, keys, folder)

    return Course(
        clip_step,
        lambda item, _: where(options, item.line),
        # A model is loaded once for all.
        group=max(1, len(keys)) if isinstance(system, AdapterSystem) else 1,
        settings=options.settings if options.video else None,
        fatal=(Cancelled, EnvironmentProblem),
        whole=True,
    )
