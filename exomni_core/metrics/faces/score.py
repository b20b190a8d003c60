# SPDX-License-Identifier: GPL-3.0-or-later
"""A prediction and a reference on disk in, one row of the table out; never raises for a bad clip.

Statuses: `scored`, `skipped` (shorter than half a second), `failed` (with the sentence why).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core.arrays import Array
from exomni_core.clip import load_facts
from exomni_core.errors import InputError
from exomni_core.metrics.faces.baselines import baselines
from exomni_core.metrics.faces.basis import FaceBasis
from exomni_core.metrics.faces.dynamics import dynamics
from exomni_core.metrics.faces.face import lve, offsets
from exomni_core.metrics.faces.registry import clip_metrics
from exomni_core.metrics.phone_files import (
    bilabial_intervals,
    find_phones,
    phones_of,
    read_phones,
)
from exomni_core.metrics.resample import FPS, MIN_S, align, to_rate
from exomni_core.metrics.series import MouthClose, Series, clipped, read_series, with_mouth_close
from exomni_core.metrics.sources import Item
from exomni_core.storage.files import sha256_file

Row = dict[str, Any]
_MAY_LACK_RATE: Final = (".npy", ".npz", ".csv")
LARGEST_OUTSIDE: Final = 0.25  # share of values outside [0, 1] worth a warning


@dataclass(frozen=True)
class Options:
    """How clips are made comparable (docs/evaluation.md explains the defaults).

    clip01: both sides clipped to [0, 1]. ref_mouthclose: the reference's convention.
    phones: a folder of phone files by id; a prediction that is a .clip brings its own.
    fps: rows per second of arrays that don't tell.
    """

    clip01: bool = False
    ref_mouthclose: MouthClose = "asis"
    allow_mismatch: bool = False
    phones: Path | None = None
    fps: float | None = None


@dataclass(frozen=True)
class Job:
    """One id's two sides, and the reference of another clip for the shuffled baseline."""

    id: str
    pred: Item | None
    ref: Item | None
    other: Item | None = None


def plan_jobs(
    pairs: Sequence[tuple[str, Item | None, Item | None]], *, seed: int
) -> tuple[Job, ...]:
    """Jobs in the order of a seeded shuffle, each with the next one's reference as `other`.

    Neighbours share a file, so a chunk reads each reference once.
    """
    order = np.random.default_rng(seed).permutation(len(pairs))
    usable = [i for i in order if _has_face(pairs[i][2])]
    following = dict(zip(usable, usable[1:] + usable[:1], strict=True)) if len(usable) > 1 else {}
    jobs = []
    for i in order:
        name, pred, ref = pairs[i]
        jobs.append(Job(name, pred, ref, pairs[following[i]][2] if i in following else None))
    return tuple(jobs)


def score_jobs(jobs: Sequence[Job], basis: FaceBasis, options: Options) -> Iterator[Row]:
    """One row per job, in order."""
    reader = Reader(options)
    for job in jobs:
        yield score(job, basis, reader)


def score(job: Job, basis: FaceBasis, reader: Reader) -> Row:
    """The row of one id; never raises for what is wrong with its files."""
    row: Row = {"id": job.id, "status": "failed", "reason": "", "warnings": []}
    ref: Series | None = None
    try:
        ref = reader.reference(job.ref)
        row |= {"duration_s": ref.duration_s, "ref_sha256": _hash(job.ref)}
        pred = reader.prediction(job.pred)
        row["pred_sha256"] = _hash(job.pred)
        row |= _scored(job, pred, ref, basis, reader)
    except InputError as error:
        row["reason"] = str(error)
        if ref is not None:  # a failure counts as a face that doesn't move
            lips = offsets(to_rate(ref.weights, ref.fps), basis.lips)
            values = lve(lips)
            row["baseline_neutral_lve_l2_mm"], row["baseline_neutral_lve_sq_mm2"] = values
            row["frames_ref"] = len(lips)
    return row


def _scored(job: Job, pred: Series, ref: Series, basis: FaceBasis, reader: Reader) -> Row:
    options = reader.options
    both = align(
        pred.weights, pred.fps, ref.weights, ref.fps, allow_mismatch=options.allow_mismatch
    )
    found: Row = {
        "status": "scored",
        "warnings": _warnings(both.warning, pred, ref),
        "frames_pred": both.frames_pred,
        "frames_ref": both.frames_ref,
        "frames_used": len(both.pred),
        "outside_pred": pred.outside,
        "outside_ref": ref.outside,
        "missing_pred": list(pred.missing),
        "missing_ref": list(ref.missing),
    }
    if len(both.pred) < MIN_S * FPS:
        seconds = len(both.pred) / FPS
        return found | {"status": "skipped", "reason": f"{seconds:.2f} s is too short to score"}
    found |= clip_metrics(both.pred, both.ref, basis, FPS, _bilabials(job, options))
    found |= baselines(both.ref, reader.other(job.other), basis)
    return found | dynamics(both.pred, basis, FPS, "pred") | dynamics(both.ref, basis, FPS, "ref")


def _warnings(length: str, pred: Series, ref: Series) -> list[str]:
    found = [length] if length else []
    for side, series in (("prediction", pred), ("reference", ref)):
        found += [f"{side}: {warning}" for warning in series.warnings]
        if series.outside > LARGEST_OUTSIDE:
            found.append(f"{side}: {series.outside:.0%} of its values lie outside 0 to 1")
    return found


class Reader:
    """Reads both sides as the options want them; keeps the last references, which come twice."""

    def __init__(self, options: Options) -> None:
        """options: how clips are made comparable."""
        self.options = options
        self._kept: dict[Path, Series] = {}

    def prediction(self, item: Item | None) -> Series:
        """A system's face; raises InputError."""
        series = self._read(item, "prediction")
        return clipped(series) if self.options.clip01 else series

    def reference(self, item: Item | None) -> Series:
        """The reference's face; raises InputError."""
        known = self._kept.get(item.path) if item is not None and item.path is not None else None
        if known is not None:
            return known
        series = with_mouth_close(self._read(item, "reference"), self.options.ref_mouthclose)
        if self.options.clip01:
            series = clipped(series)
        if len(self._kept) > 1:
            self._kept.clear()
        assert item is not None
        assert item.path is not None
        self._kept[item.path] = series
        return series

    def other(self, item: Item | None) -> Array | None:
        """Another clip's reference at 30 fps; None where there is none or it can't be read."""
        if item is None:
            return None
        try:
            series = self.reference(item)
        except InputError:
            return None
        return to_rate(series.weights, series.fps)

    def _read(self, item: Item | None, side: str) -> Series:
        if item is None:
            raise InputError(f"there is no {side} of this id")
        if item.path is None:
            raise InputError(f"the {side} failed: {item.error}")
        fps = item.fps
        if fps is None and item.path.suffix.lower() in _MAY_LACK_RATE:
            fps = self.options.fps
        return read_series(item.path, fps=fps, names=item.names)


def _bilabials(job: Job, options: Options) -> list[tuple[float, float]] | None:
    """When p, b and m are spoken: from the user's phone files, or from the clip itself."""
    path = find_phones(options.phones, job.id) if options.phones else None
    if path is not None:
        return bilabial_intervals(read_phones(path))
    pred = job.pred.path if job.pred else None
    if pred is not None and pred.suffix.lower() == ".clip":
        return bilabial_intervals(phones_of(load_facts(pred)))
    return None


def _has_face(item: Item | None) -> bool:
    return item is not None and item.path is not None


def _hash(item: Item | None) -> str:
    assert item is not None
    assert item.path is not None
    try:
        return sha256_file(item.path)
    except OSError as error:
        raise InputError(f"{item.path} can't be read: {error.strerror or error}") from error
