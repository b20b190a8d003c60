# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompts file in, a folder of clips and videos out: plan, generate, render, record.

Each row stands alone: whatever goes wrong with it becomes its one sentence in the manifest. Only
what the plan finds missing is made, so a killed run goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from exomni_core.clip import frame_count
from exomni_core.errors import Cancelled, ExOmniError, WorkerError
from exomni_core.storage.files import replacing
from render_jobs.batch.folder import BatchFolder, Journal, Row, lock_folder, work_folder, write_run
from render_jobs.batch.generate_worker import order_for
from render_jobs.batch.plan import BatchOptions, Item, Plan, make_plan, place_of, relative_to
from render_jobs.workers.pool import Pool, Worker, WorkerCommand, rebuilt

_GENERATE_S: Final = 3600.0


@dataclass(frozen=True)
class Summary:
    """How a run ended; the rows in file order."""

    rows: tuple[Row, ...]
    frames_rendered: int = 0

    def count(self, status: str) -> int:
        """Rows with that status."""
        return sum(row.status == status for row in self.rows)


class Observer:
    """Told what happens, on the thread that called `run_batch`; override what you want to show."""

    def planned(self, plan: Plan, options: BatchOptions) -> None:
        """The plan is made; work starts."""

    def clip_done(self, item: Item, duration_s: float, frames: int) -> None:
        """A clip is on disk (made now or before) and, in a video run, waits for its pictures."""

    def frames(self, count: int) -> None:
        """That many more frames are drawn."""

    def row(self, row: Row) -> None:
        """A row is finished, for good or bad."""


def run_batch(options: BatchOptions, observer: Observer) -> Summary:
    """Do the whole job and return every row.

    Raises InputError (the prompts file or the folder can't be used), EnvironmentProblem (no GL,
    no ffmpeg, no bpy) before any work, and KeyboardInterrupt after putting things in order.
    """
    folder = BatchFolder(options.out, ".mov" if options.settings.alpha else ".mp4")
    with lock_folder(folder), work_folder(folder):
        plan = make_plan(options, folder)
        with _pools(options, plan, folder.work) as pools:
            observer.planned(plan, options)
            write_run(folder, options, "running", ())
            run = _Run(options, folder, plan, pools, observer)
            state = "stopped"
            try:
                summary = run.finish()
                state = "finished"
            finally:
                write_run(folder, options, state, run.rows.values())
            return summary


@dataclass(frozen=True)
class _Pools:
    generate: Callable[[], Pool]
    render: Pool | None


class _Run:
    """One run's moving parts: futures report to one queue; this thread alone keeps the books."""

    def __init__(
        self,
        options: BatchOptions,
        folder: BatchFolder,
        plan: Plan,
        pools: _Pools,
        observer: Observer,
    ) -> None:
        self.options, self.folder, self.plan = options, folder, plan
        self.pools, self.observer = pools, observer
        self.rows: dict[int, Row] = {row.line: row for row in plan.bad}
        self.events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.waiting = 0
        self.frames_rendered = 0

    def finish(self) -> Summary:
        """Start everything, take events until nothing waits, and write the final books."""
        self.journal = Journal(self.folder)
        try:
            for row in self.plan.bad:
                self._record(row)
            self._start_clips([item for item in self.plan.items if item.clip_sha256 is None])
            for item in self.plan.items:
                if item.clip_sha256 is None:
                    continue
                if not item.video_done:
                    self._start_video(item)
                else:
                    self._record(self._with_sheet(item))
            while self.waiting:
                self.events.get()()
        finally:
            ordered = [self.rows[line] for line in sorted(self.rows)]
            self.journal.close(ordered)
        return Summary(tuple(ordered), self.frames_rendered)

    def _start_clips(self, items: Sequence[Item]) -> None:
        if not items:
            return
        self.folder.clip("x").parent.mkdir(exist_ok=True)
        size = self.plan.rows or 1
        for first in range(0, len(items), size):
            self._start_group(items[first : first + size])

    def _start_group(self, items: Sequence[Item]) -> None:
        """Have these clips made in one request. What of it is done stays done if it fails."""
        left = {item.prompt.id: item for item in items}

        def heard(message: dict[str, Any]) -> None:  # on the thread of the worker
            if message["event"] in ("made", "bad"):
                item = left.pop(message["id"])
                self.events.put(lambda: self._clip_told(item, message))

        def task(worker: Worker) -> None:
            orders = [
                order_for(item.prompt, self.folder.clip(item.prompt.id), item.clip_key)
                for item in left.values()
            ]
            # Engines give signs of life; one that gives none may take a busy machine's hour.
            worker.ask({"job": items[0].prompt.id, "prompts": orders}, heard, _GENERATE_S)

        def failed(error: BaseException) -> None:
            if isinstance(error, WorkerError) and len(left) > 1:
                for item in left.values():  # the one that brings the worker down shall fall alone
                    self._start_group([item])
            else:
                for item in left.values():
                    self._fail(item, error)

        self._watch(self.pools.generate().submit(task), lambda _: None, failed)

    def _clip_told(self, item: Item, message: dict[str, Any]) -> None:
        if message["event"] == "made":
            self._clip_made(item, message)
        else:
            self._fail(item, rebuilt(message))

    def _clip_made(self, item: Item, answer: dict[str, Any]) -> None:
        row = replace(
            item.row,
            clip=relative_to(self.folder.clip(item.prompt.id), self.folder),
            **{n: answer[n] for n in ("duration_s", "frames", "route", "confidence", "notes")},
            seconds={"generate": answer["seconds"]},
            sha256={"clip": answer["sha256"]},
            key={"clip": item.clip_key},
        )
        item = replace(item, row=row, clip_sha256=answer["sha256"])
        if self.options.video:
            self._start_video(item)
        else:
            self.observer.clip_done(item, row.duration_s or 0.0, 0)
            self._record(replace(row, status="done"))

    def _start_video(self, item: Item) -> None:
        from render_jobs.video.make import render_video, video_key

        assert self.pools.render is not None
        assert item.clip_sha256 is not None
        settings = self.options.settings
        key = video_key(item.clip_sha256, self.plan.template_sha256, settings)
        duration_s = item.row.duration_s or 0.0
        self.observer.clip_done(item, duration_s, frame_count(duration_s, settings.frame_rate.fps))
        sheet = self.folder.sheet(item.prompt.id) if self.options.sheets else None

        def task(worker: Worker) -> Any:
            return render_video(
                worker,
                self.folder.clip(item.prompt.id).resolve(),
                self.folder.video(item.prompt.id),
                settings,
                key,
                work=self.folder.work.resolve(),
                sheet=sheet,
                on_frames=lambda count: self.events.put(lambda: self._frames_drawn(count)),
            )

        future = self.pools.render.submit(task)
        self._watch(
            future,
            lambda result: self._video_made(item, key, result),
            lambda error: self._fail(item, error),
        )

    def _video_made(self, item: Item, key: str, result: Any) -> None:
        sheet = self.folder.sheet(item.prompt.id) if self.options.sheets else None
        row = replace(
            item.row,
            status="done",
            video=relative_to(self.folder.video(item.prompt.id), self.folder),
            sheet=relative_to(sheet, self.folder) if sheet else None,
            frames=result.frames,
            seconds={**item.row.seconds, **result.seconds},
            notes=[*item.row.notes, *result.notes],
            sha256={**item.row.sha256, "video": result.sha256},
            key={**item.row.key, "video": key},
        )
        self._record(row)

    def _with_sheet(self, item: Item) -> Row:
        """A finished item's row; a contact sheet asked for only now is drawn from its video."""
        if not (self.options.sheets and self.options.video) or item.row.sheet:
            return item.row
        from render_jobs.video.encode import contact_sheet

        sheet = self.folder.sheet(item.prompt.id)
        with replacing(sheet) as unfinished:
            contact_sheet(self.folder.video(item.prompt.id), unfinished)
        return replace(item.row, sheet=relative_to(sheet, self.folder))

    def _frames_drawn(self, count: int) -> None:
        self.frames_rendered += count
        self.observer.frames(count)

    def _watch(
        self,
        future: Future[Any],
        use: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """When `future` ends, let this run's own thread use its result or take its error."""
        self.waiting += 1

        def ended() -> None:
            self.waiting -= 1
            error = future.exception()
            if error is None:
                use(future.result())
            else:
                failed(error)

        future.add_done_callback(lambda _: self.events.put(ended))

    def _fail(self, item: Item, error: BaseException) -> None:
        """Record why there is nothing of `item`; an error that isn't about it ends the run."""
        if not isinstance(error, ExOmniError) or isinstance(error, Cancelled):
            raise error
        culprit = getattr(error, "field", None)
        place = place_of(self.options, item.line, culprit)
        row = replace(item.row, status="failed", error=f"{place}: {error}", field=culprit)
        self._record(row)

    def _record(self, row: Row) -> None:
        self.rows[row.line] = row
        self.journal.add(row)
        self.observer.row(row)


@contextlib.contextmanager
def _pools(options: BatchOptions, plan: Plan, work: Path) -> Iterator[_Pools]:
    """The render pool at once (it checks the machine), the generate pool when first needed."""
    made: list[Pool] = []

    def generate() -> Pool:
        if not made or made[-1] is render:
            command = _generate_worker(options, plan, work)
            # One that makes several clips at a time has the machine's memory and all its cores.
            made.append(Pool(command, options.workers if plan.rows is None else 1))
        return made[-1]

    render: Pool | None = None
    if options.video and plan.todo:
        from render_jobs.video.ffmpeg_command import find_ffmpeg
        from render_jobs.video.make import render_worker

        find_ffmpeg()
        render = Pool(render_worker(work, options.blender), options.workers)
        made.append(render)
    try:
        yield _Pools(generate, render)
    except BaseException:
        for pool in made:
            pool.kill()
        raise
    for pool in made:
        pool.close()


def _generate_worker(options: BatchOptions, plan: Plan, work: Path) -> WorkerCommand:
    chosen = dict(options.engine_options)
    if plan.rows is not None:
        chosen["rows"] = plan.rows
    module = "render_jobs.batch.generate_worker"
    argv = (sys.executable, "-m", module, options.engine, json.dumps(chosen))
    return WorkerCommand("generate worker", argv, {"TMPDIR": str(work.resolve())})
