# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs from the queue in, their events and clips out: the one thread that generates."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from exomni_core.clip import Clip
from exomni_core.engine import Chunk, Progress
from exomni_core.errors import Cancelled, ExOmniError, WorkerError
from exomni_core.server.engines import EngineHolder, check_tools
from exomni_core.server.jobs import JobQueue, QueuedJob

LOG: Final = logging.getLogger("exomni.server")
_LOOK_AROUND_S: Final = 1.0


class EngineThread:
    """Takes one job after another. `start`, then `stop`, which cancels the job at work."""

    def __init__(
        self,
        jobs: JobQueue,
        holder: EngineHolder,
        idle_unload_s: float | None = None,
        preload: str | None = None,
    ) -> None:
        """idle_unload_s: free the engine after so long without a job; None: never.

        preload: an engine to make ready first.
        """
        self._jobs, self._holder, self._idle_unload_s = jobs, holder, idle_unload_s
        self._preload = preload
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="worker")

    def start(self) -> None:
        """Begin to take jobs."""
        self._thread.start()

    def stop(self, wait_s: float) -> bool:
        """Cancel everything and wait for the thread; False if it hasn't ended in time."""
        self._stopping.set()
        self._jobs.cancel_all()
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if self._preload is not None:
            try:
                self._holder.get(self._preload, {}, lambda: None)
            except Exception as error:  # noqa: BLE001 (each job will tell its client)
                LOG.warning("the engine %s isn't ready: %s", self._preload, error)
        while not self._stopping.is_set():
            job = self._jobs.take(_LOOK_AROUND_S)
            if job is None:
                if self._holder.drop_idle(self._idle_unload_s):
                    LOG.info("the engine rests: freed")
                continue
            try:
                self._work(job)
            finally:
                self._holder.rest()
                self._jobs.done()
        self._holder.drop()

    def _work(self, job: QueuedJob) -> None:
        LOG.info("job %s: %s with %s", job.id, job.order.prompt.mode, job.order.engine)
        job.emit("started")
        try:
            if job.is_cancelled() or self._stopping.is_set():
                raise Cancelled("stopped at your request")
            job.finish(_named(self._make(job), job))
        except Cancelled:
            job.end_cancelled()
        except ExOmniError as error:
            job.fail(error)
        except MemoryError:
            self._holder.drop()
            job.fail(WorkerError("this machine's memory is too small for this; shorten the input"))
        except Exception as error:  # the server lives on
            LOG.exception("job %s failed", job.id)
            self._holder.drop()
            job.fail(
                WorkerError(
                    f"the {job.order.engine} engine failed unexpectedly ({_short(error)}); the "
                    "engine process's log tells more"
                )
            )
        ending = job.events_after(-1, 0.0)[0][-1]
        LOG.info("job %s: %s %s", job.id, ending["event"], ending.get("error", ""))

    def _make(self, job: QueuedJob) -> Clip:
        order = job.order

        def progress(step: Progress) -> None:
            job.emit("progress", stage=step.stage, done=round(step.done, 4))

        check_tools(order.engine, order.prompt.mode, order.options)
        engine = self._holder.get(
            order.engine, order.options, lambda: job.emit("progress", stage="loading", done=0.0)
        )
        if not order.stream:
            return engine.generate(order.prompt, progress=progress, cancel=job.is_cancelled)
        chunks = engine.stream(order.prompt, progress=progress, cancel=job.is_cancelled)
        with contextlib.ExitStack() as at_end:
            if isinstance(chunks, Generator):
                at_end.callback(chunks.close)  # an engine left half-way frees what it holds
            for chunk in chunks:
                if job.is_cancelled():
                    raise Cancelled("stopped at your request")
                _tell(chunk, job, writes_text=engine.capabilities().writes_text)
                if chunk.clip is not None:
                    return chunk.clip
        raise WorkerError(f"the {order.engine} engine ended without a clip; please report it")


def _tell(chunk: Chunk, job: QueuedJob, *, writes_text: bool) -> None:
    """A chunk as events: its text, then sound and face if it has any."""
    if chunk.text:
        job.emit("text", text=chunk.text if writes_text else f"{chunk.text} ")
    if len(chunk.audio) or len(chunk.weights):
        job.size += chunk.audio.nbytes + chunk.weights.nbytes
        job.emit(
            "chunk",
            start_s=chunk.start_s,
            rate_hz=chunk.sample_rate_hz,
            fps=chunk.fps,
            audio=chunk.audio,
            weights=chunk.weights,
        )


def _named(clip: Clip, job: QueuedJob) -> Clip:
    """The clip with the client's names for its recordings, not ours."""
    names = {PurePath(path).name: name for path, name in job.order.names.items()}
    prompt = dict(clip.prompt)
    if prompt.get("audio") in names:
        prompt["audio"] = names[prompt["audio"]]
    if "history" in prompt:
        prompt["history"] = [
            {**message, "audio": names.get(message["audio"], message["audio"])}
            if "audio" in message
            else message
            for message in prompt["history"]
        ]
    return clip if prompt == clip.prompt else replace(clip, prompt=prompt)


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
