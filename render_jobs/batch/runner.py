# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan in, clips, videos and a row for every prompt out, by steps that an executor runs.

One thread keeps the books: it hands steps to the executor and takes what that tells. Each row
stands alone; whatever goes wrong with it becomes its one sentence in the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from exomni_core.clip import frame_count
from exomni_core.errors import Cancelled, ExOmniError, WorkerError, error_from_json
from render_jobs.batch import steps
from render_jobs.batch.folder import BatchFolder, ManifestWriter, Row
from render_jobs.batch.plan import BatchOptions, Item, Plan, relative_to
from render_jobs.settings import RenderSettings
from render_jobs.video.make import video_key
from render_jobs.workers.executor import Executor, Step
from render_jobs.workers.wire import WireMessage

ATTEMPTS: Final = 2  # for what a worker held that died


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


@dataclass(frozen=True)
class Course:
    """How the items of one kind of run are made.

    clip_step: the step that makes the clips of some items, at most `group` of them at a time.
    where: the beginning of a sentence about an item, such as `prompts.jsonl:3: text`, from the item
    and the field to blame. settings: of the videos; None: no videos. sheets: a contact sheet beside
    each video. fatal: errors that end the run, because they are about no item. whole: a failed step
    that makes clips ends the run, too; what is wrong with an item is then told as a bad item.
    """

    clip_step: Callable[[Sequence[Item]], Step]
    where: Callable[[Item, str | None], str]
    group: int = 1
    settings: RenderSettings | None = None
    sheets: bool = False
    fatal: tuple[type[ExOmniError], ...] = (Cancelled,)
    whole: bool = False


@dataclass(frozen=True)
class _Sent:
    """A step that an executor has. items: by id, those of which nothing is told yet."""

    step: Step
    items: dict[str, Item]
    attempt: int = 1


class Runner:
    """One run: `Runner(...).finish()`."""

    def __init__(
        self,
        folder: BatchFolder,
        plan: Plan,
        course: Course,
        executor: Executor,
        observer: Observer,
    ) -> None:
        self._folder, self._plan, self._course = folder, plan, course
        self._executor, self._observer = executor, observer
        self.rows: dict[int, Row] = {}
        self._sent: dict[int, _Sent] = {}
        self._frames_rendered = 0

    def finish(self) -> Summary:
        """Start everything, take what is told until nothing is left, and write the final books.

        Raises KeyboardInterrupt and errors that are about no row; the rows so far are kept.
        """
        self._manifest_writer = ManifestWriter(self._folder)
        try:
            for row in self._plan.bad:
                self._record(row)
            self._make_clips([item for item in self._plan.items if item.clip_sha256 is None])
            for item in self._plan.items:
                if item.clip_sha256 is not None:
                    self._go_on(item)
            while self._sent:
                number, message = self._executor.take()
                self._hear(number, message)
        finally:
            ordered = [self.rows[line] for line in sorted(self.rows)]
            self._manifest_writer.close(ordered)
        return Summary(tuple(ordered), self._frames_rendered)

    def _hear(self, number: int, message: WireMessage) -> None:
        sent, event = self._sent[number], message["event"]
        if event == "made":
            self._clip_made(sent.items.pop(message["id"]), message)
        elif event == "bad":
            self._fail(sent.items.pop(message["id"]), error_from_json(message))
        elif event == "frames":
            self._frames_rendered += message["count"]
            self._observer.frames(message["count"])
        elif event == "done":
            del self._sent[number]
            self._done(sent, message)
        elif event == "failed":
            del self._sent[number]
            self._failed(sent, error_from_json(message))

    def _done(self, sent: _Sent, answer: WireMessage) -> None:
        for item in sent.items.values():
            if sent.step.name == steps.VIDEO:
                self._video_made(item, sent.step.request["key"], answer)
            elif sent.step.name == steps.SHEET:
                self._record(replace(item.row, sheet=self._sheet_of(item)))
            else:
                self._fail(item, WorkerError("it was made without an answer; please report it"))

    def _failed(self, sent: _Sent, error: ExOmniError) -> None:
        """What a dead worker held goes to another; the one that kills each shall fall alone."""
        items, drawn = list(sent.items.values()), sent.step.name in (steps.VIDEO, steps.SHEET)
        if self._course.whole and not drawn:
            raise error
        if not isinstance(error, WorkerError) or (sent.attempt == ATTEMPTS and len(items) == 1):
            for item in items:
                self._fail(item, error)
        elif sent.attempt < ATTEMPTS:
            step = sent.step if drawn else self._course.clip_step(items)
            self._send(step, items, sent.attempt + 1)
        else:
            for item in items:
                self._send(self._course.clip_step([item]), [item])

    def _make_clips(self, items: Sequence[Item]) -> None:
        for first in range(0, len(items), self._course.group):
            group = items[first : first + self._course.group]
            self._send(self._course.clip_step(group), group)

    def _go_on(self, item: Item) -> None:
        """Do what is left to do of an item whose clip is there."""
        if not item.video_done:
            self._make_video(item)
        elif self._course.sheets and self._course.settings is not None and not item.row.sheet:
            video, sheet = (f(item.item_id) for f in (self._folder.video, self._folder.sheet))
            self._send(steps.sheet_step(video, item.row.sha256["video"], sheet), [item])
        else:
            self._record(item.row)

    def _clip_made(self, item: Item, told: WireMessage) -> None:
        what = told["what"]
        path = (self._folder.clip if what == "clip" else self._folder.video)(item.item_id)
        made: dict[str, Any] = {what: relative_to(path, self._folder), **told["facts"]}
        row = replace(
            item.row,
            seconds={"generate": told["seconds"]},
            sha256={what: told["sha256"]},
            key={"clip": item.clip_key},
            **made,
        )
        if what == "clip":
            item = replace(item, row=row, clip_sha256=told["sha256"])
            if self._course.settings is not None:
                self._make_video(item)
                return
            self._observer.clip_done(item, row.duration_s or 0.0, 0)
        self._record(row)

    def _make_video(self, item: Item) -> None:
        settings, duration_s = self._course.settings, item.row.duration_s or 0.0
        assert settings is not None
        assert item.clip_sha256 is not None
        self._observer.clip_done(item, duration_s, frame_count(duration_s, settings.frame_rate.fps))
        step = steps.video_step(
            self._folder.clip(item.item_id),
            item.clip_sha256,
            self._folder.video(item.item_id),
            video_key(item.clip_sha256, self._plan.template_sha256, settings),
            settings,
            self._folder.sheet(item.item_id) if self._course.sheets else None,
        )
        self._send(step, [item])

    def _video_made(self, item: Item, key: str, answer: WireMessage) -> None:
        row = replace(
            item.row,
            status="done",
            video=relative_to(self._folder.video(item.item_id), self._folder),
            sheet=self._sheet_of(item) if self._course.sheets else None,
            frames=answer["frames"],
            seconds={**item.row.seconds, **answer["seconds"]},
            notes=[*item.row.notes, *answer["notes"]],
            sha256={**item.row.sha256, "video": answer["sha256"]},
            key={**item.row.key, "video": key},
        )
        self._record(row)

    def _sheet_of(self, item: Item) -> str:
        return relative_to(self._folder.sheet(item.item_id), self._folder)

    def _send(self, step: Step, items: Iterable[Item], attempt: int = 1) -> None:
        sent = _Sent(step, {item.item_id: item for item in items}, attempt)
        self._sent[self._executor.submit(step)] = sent

    def _fail(self, item: Item, error: ExOmniError) -> None:
        """Record why there is nothing of `item`; an error that isn't about it ends the run."""
        if isinstance(error, self._course.fatal):
            raise error
        culprit = getattr(error, "field", None)
        sentence = f"{self._course.where(item, culprit)}: {error}"
        self._record(replace(item.row, status="failed", error=sentence, field=culprit))

    def _record(self, row: Row) -> None:
        self.rows[row.line] = row
        self._manifest_writer.add(row)
        self._observer.row(row)
