# SPDX-License-Identifier: GPL-3.0-or-later
"""Two places with clips of the same ids in, one table of face metrics out; clips in processes.

Plan (ids, baselines' partners, chunks) first, then execute: the table doesn't depend on the number
of workers, and memory holds a few clips and one small row for each.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.errors import InputError
from exomni_core.metrics.faces.basis import FaceBasis
from exomni_core.metrics.faces.score import Job, Options, Row, plan_jobs, score_jobs
from exomni_core.metrics.faces.table import summarise
from exomni_core.metrics.sources import one_config, pair_up, read_items
from render_jobs.evaluation.head import Head

_CHUNK: Final = 24
_INLINE: Final = 48  # fewer clips are faster than starting processes
# Each process has its core, and keeps its memory from clip to clip (else a third of the time goes
# into getting the same pages from the system again); read when a process starts.
_SURROUNDINGS: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(256 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
OnRows = Callable[[int], None]


@dataclass(frozen=True)
class FaceRun:
    """What is compared: systems' names choose lines of lists; seed: for baselines and intervals."""

    pred: Path
    ref: Path
    system: str = ""
    ref_system: str = ""
    seed: int = 0
    workers: int = 0


def evaluate_face(
    run: FaceRun, head: Head, options: Options, on_rows: OnRows | None = None
) -> dict[str, Any]:
    """The whole result as plain data: settings, counts, metrics, baselines, buckets and rows.

    Raises InputError for places that can't be compared at all; a bad clip is its own row only.
    """
    preds = read_items(run.pred, system=run.system)
    refs = read_items(run.ref, system=run.ref_system or _same_system(run))
    config = one_config(refs)
    jobs = plan_jobs(
        pair_up(preds, refs, single=_is_file(run.pred) and _is_file(run.ref)), seed=run.seed
    )
    rows: list[Row] = []
    for row in run_jobs(jobs, head.basis, options, run.workers):
        rows.append(row)
        if on_rows:
            on_rows(1)
    rows.sort(key=lambda row: str(row["id"]))
    settings = {
        "exomni": __version__,
        "pred": str(run.pred),
        "ref": str(run.ref),
        "system": run.system or next((i.system for i in preds if i.system), ""),
        "reference_config": config or "not told",
        **head.facts,
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items()},
        "seed": run.seed,
    }
    return {"settings": settings, **summarise(rows, seed=run.seed), "rows": rows}


def run_jobs(
    jobs: Sequence[Job], basis: FaceBasis, options: Options, workers: int = 0, of: int = 0
) -> Iterator[Row]:
    """Rows of all jobs, in order; in `workers` processes (0: one per core, at most 8).

    of: how many jobs there were before some of them were done. Whether processes are used depends
    on the jobs alone: sums over threads round in another way.
    """
    count = workers or min(os.cpu_count() or 1, 8)
    if max(len(jobs), of) <= _INLINE:
        yield from score_jobs(jobs, basis, options)
        return
    chunks = [jobs[k : k + _CHUNK] for k in range(0, len(jobs), _CHUNK)]
    with (
        _surroundings(),
        ProcessPoolExecutor(
            count, mp_context=get_context("spawn"), initializer=_start, initargs=(basis, options)
        ) as pool,
    ):
        waiting: list[Future[list[Row]]] = []
        for chunk in chunks:
            waiting.append(pool.submit(_score_chunk, chunk))
            if len(waiting) > 3 * count:
                yield from waiting.pop(0).result()
        for future in waiting:
            yield from future.result()


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """Environment variables for the processes that are started within."""
    ours = {name: value for name, value in _SURROUNDINGS.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


_work: dict[str, Any] = {}  # of a worker process: the basis and options that all its chunks share


def _start(basis: FaceBasis, options: Options) -> None:
    _work.update(basis=basis, options=options)


def _score_chunk(jobs: Sequence[Job]) -> list[Row]:
    return list(score_jobs(jobs, _work["basis"], _work["options"]))


def _is_file(place: Path) -> bool:
    return place.is_file() and place.suffix.lower() != ".jsonl"


def _same_system(run: FaceRun) -> str:
    """In a list of references, the lines of the system that is measured, if they name systems."""
    if not run.system:
        return ""
    try:
        read_items(run.ref, system=run.system)
    except InputError:
        return ""
    return run.system
