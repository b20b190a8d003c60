# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompts file in, a folder of clips and videos out: plan, generate, render, record.

Only what the plan finds missing is made, so a killed run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from render_jobs.batch import steps
from render_jobs.batch.folder import BatchFolder, lock_folder, work_folder, write_run
from render_jobs.batch.plan import BatchOptions, Item, Plan, make_plan, place_of
from render_jobs.batch.runner import Course, Observer, Runner, Summary
from render_jobs.video.ffmpeg_command import check_ffmpeg
from render_jobs.workers.executor import Crew, ExecutorMaker, Step, at_work

__all__ = ["Observer", "Summary", "carry_out", "run_batch"]


def run_batch(
    options: BatchOptions,
    observer: Observer,
    make_executor: ExecutorMaker = steps.local_executor,
) -> Summary:
    """Do the whole job and return every row.

    make_executor: what runs the steps, on this machine or elsewhere.
    Raises InputError (the prompts file or the folder can't be used), EnvironmentProblem (no GL,
    no ffmpeg, no bpy) before any work, and KeyboardInterrupt after putting things in order.
    """
    folder = BatchFolder(options.out, ".mov" if options.settings.alpha else ".mp4")
    with lock_folder(folder), work_folder(folder):
        plan = make_plan(options, folder)
        with at_work(make_executor(_crews(options, plan), folder.work)) as executor:
            if options.video and plan.todo:
                check_ffmpeg(folder.video_ending, *([".png"] if options.sheets else []))
                executor.prepare(steps.RENDERERS)
            observer.planned(plan, options)
            course = _course(options, plan, folder)
            return carry_out(Runner(folder, plan, course, executor, observer), folder, options)


def carry_out(runner: Runner, folder: BatchFolder, asked: Any) -> Summary:
    """Let the runner finish, and keep `run.json`; asked: what the run was asked for."""
    write_run(folder, asked, "running", ())
    state = "stopped"
    try:
        summary = runner.finish()
        state = "finished"
    finally:
        write_run(folder, asked, state, runner.rows.values())
    return summary


def _crews(options: BatchOptions, plan: Plan) -> tuple[Crew, ...]:
    chosen = dict(options.engine_options)
    if plan.clips_at_once is not None:
        chosen["rows"] = plan.clips_at_once
    # One that makes several clips at a time has the machine's memory and all its cores.
    size = options.workers if plan.clips_at_once is None else 1
    return (
        Crew(steps.GENERATORS, {"engine": options.engine, "options": chosen}, size),
        steps.renderers(options.blender, options.workers),
        Crew(steps.HELPERS, {}, options.workers),
    )


def _course(options: BatchOptions, plan: Plan, folder: BatchFolder) -> Course:
    def clip_step(items: Sequence[Item]) -> Step:
        return steps.generate_step(items, [folder.clip(item.item_id) for item in items])

    return Course(
        clip_step,
        lambda item, culprit: place_of(options, item.line, culprit),
        group=plan.clips_at_once or 1,
        settings=options.settings if options.video else None,
        sheets=options.sheets,
    )
