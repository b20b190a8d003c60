# SPDX-License-Identifier: GPL-3.0-or-later
"""Time stamps of requests in, latencies with their percentiles out.

Nine moments after t0, the acceptance of the request: t1 first token of the text, t2 text done, t3
speech generator started, t4 first unit, t5 last unit, t6 first sample of sound, t7 sound done, t8
face started, t9 face done. An engine that has no such moment leaves it None.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from exomni_core.metrics.record import Line, Metric

STAMPS: Final = ("t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9")
# Which moment of the engine a stamp is, and whether its first or its last time counts.
_MOMENTS: Final = {
    "t1": ("text_token", "first"),
    "t2": ("text_done", "last"),
    "t3": ("units_begin", "first"),
    "t4": ("unit", "first"),
    "t5": ("units_done", "last"),
    "t6": ("audio", "first"),
    "t7": ("audio_done", "last"),
    "t8": ("face_begin", "first"),
    "t9": ("face_done", "last"),
}
PERCENTILES: Final = (50, 90, 95)


class Clock:
    """Hears of an engine's moments (`on_stage`) and keeps their times, one request at a time."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        """now: seconds of a clock that never goes back."""
        self._now = now
        self.start()

    def start(self) -> None:
        """A request is accepted: t0."""
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._face_begun: float | None = None
        self._face_busy_s = 0.0
        self._start = self._now()

    def __call__(self, moment: str) -> None:
        """The engine has come to `moment`."""
        at = self._now() - self._start
        self._first.setdefault(moment, at)
        self._last[moment] = at
        if moment == "face_begin":
            self._face_begun = at
        elif moment == "face_done" and self._face_begun is not None:
            self._face_busy_s += at - self._face_begun
            self._face_begun = None

    def heard(self) -> None:
        """A piece of sound has come out of a stream; it counts, and not when it was computed."""
        at = self._now() - self._start
        self._first.setdefault("heard", at)
        self._last["heard"] = at

    def stop(self) -> Stamps:
        """The whole clip is there."""
        delivered = self._now() - self._start
        kept = {"first": self._first, "last": self._last}
        times = {name: kept[which].get(m) for name, (m, which) in _MOMENTS.items()}
        if "heard" in self._first:
            times |= {"t6": self._first["heard"], "t7": self._last["heard"]}
        busy_s = self._face_busy_s if "face_done" in self._last else None
        return Stamps(times, delivered, busy_s)


@dataclass(frozen=True)
class Stamps:
    """times: t1 to t9 in seconds after t0, or None. delivered_s: when the whole clip was there.

    face_busy_s: time spent on the face; less than t9 - t8 where it is made in pieces.
    """

    times: Mapping[str, float | None]
    delivered_s: float
    face_busy_s: float | None = None

    @property
    def done_s(self) -> float:
        """The later one of sound done and face done: the end of the request."""
        ends = [t for t in (self.times["t7"], self.times["t9"]) if t is not None]
        return max(ends) if ends else self.delivered_s


@dataclass(frozen=True)
class Request:
    """One finished request. duration_s: of its sound. frames: of its face."""

    stamps: Stamps
    duration_s: float
    frames: int


@dataclass(frozen=True)
class TimeMetric(Metric[Request]):
    """in_seconds: the number is a time, which tables show in ms."""

    in_seconds: bool = True


def _at(stamp: str) -> Callable[[Request], float | None]:
    return lambda request: request.stamps.times[stamp]


def _between(begin: str, end: str) -> Callable[[Request], float | None]:
    def measure(request: Request) -> float | None:
        first, last = request.stamps.times[begin], request.stamps.times[end]
        return None if first is None or last is None else last - first

    return measure


def _rtf(request: Request) -> float | None:
    return request.stamps.done_s / request.duration_s if request.duration_s > 0 else None


def _face_fps(request: Request) -> float | None:
    busy_s = request.stamps.face_busy_s
    return request.frames / busy_s if busy_s else None


# In the order of rows and results.
MEASURES: Final = (
    TimeMetric("rtf", _rtf,
               "the later of t7 and t9, divided by the duration. The result's `rtf_sum` divides "
               "the sum of these times by the sum of durations; `rtf_mean` is the mean of the "
               "ratios",
               (Line("rtf", "time by speech time"),), in_seconds=False),
    TimeMetric("ttft", _at("t1"), "t1 − t0", (Line("ttft", "first text token (ms)"),)),
    TimeMetric("text_time", _at("t2"), "t2 − t0", (Line("text_time", "text done (ms)"),)),
    TimeMetric("ttfu_component", _between("t3", "t4"),
               "t4 − t3 (probably the paper's \"speech TTFT\": its 0.029 s is too short to include "
               "the text)",
               (Line("ttfu_component", "first unit, from the speech generator's start (ms)",
                     "first speech unit, from its generator's start (ms)"),)),
    TimeMetric("ttfu_e2e", _at("t4"), "t4 − t0",
               (Line("ttfu_e2e", "first unit, from the request (ms)"),)),
    TimeMetric("unit_time", _between("t3", "t5"), "t5 − t3",
               (Line("unit_time", "all units, from the speech generator's start (ms)"),)),
    TimeMetric("ttfa", _at("t6"),
               "t6 − t0. In a stream: when the first piece with sound is returned. Otherwise: when "
               "the first samples exist; the caller gets them with the whole clip (`delivered`)",
               (Line("ttfa", "first audio, from the request (ms)",
                     "first audio from the request (ms)"),)),
    TimeMetric("face_latency", _between("t8", "t9"), "t9 − t8",
               (Line("face_latency", "face, from its start to its end (ms)",
                     "face, from its start to its end (ms)"),)),
    TimeMetric("face_busy", lambda request: request.stamps.face_busy_s,
               "time spent on the face; less than t9 − t8 in a stream, which makes it in pieces",
               (Line("face_busy", "face, time spent on it (ms)"),)),
    TimeMetric("face_fps", _face_fps, "frames divided by the time spent on the face",
               (Line("face_fps", "face frames per second"),), in_seconds=False),
    TimeMetric("done", lambda request: request.stamps.done_s, "the later of t7 and t9",
               (Line("done", "sound and face done (ms)", "all done (ms)"),)),
    TimeMetric("delivered", lambda request: request.stamps.delivered_s,
               "when the caller has the whole clip", (Line("delivered", "delivered (ms)"),)),
)  # fmt: skip


def measures(stamps: Stamps, *, duration_s: float, frames: int) -> dict[str, float | None]:
    """All MEASURES of one request by name; None where a stamp is missing."""
    request = Request(stamps, duration_s, frames)
    return {metric.name: metric.measure(request) for metric in MEASURES}


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows with `duration_s` and MEASURES in, the summary out.

    rtf_sum is the headline: all time by all speech; rtf_mean the mean of the rows' ratios. For
    every measure: its number, mean and percentiles (linear between values).
    """
    speech_s = math.fsum(row["duration_s"] for row in rows)
    ratios = [row["rtf"] for row in rows if row["rtf"] is not None]
    return {
        "items": len(rows),
        "speech_s": speech_s,
        "rtf_sum": math.fsum(row["done"] for row in rows) / speech_s if speech_s else None,
        "rtf_mean": math.fsum(ratios) / len(ratios) if ratios else None,
        "measures": {m.name: _spread([row[m.name] for row in rows]) for m in MEASURES},
    }


def _spread(values: Sequence[float | None]) -> dict[str, float | int | None]:
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return {"n": 0, "mean": None, **{f"p{p}": None for p in PERCENTILES}}
    cuts = np.percentile(known, PERCENTILES)
    return {
        "n": len(known),
        "mean": float(known.mean()),
        **{f"p{p}": float(cut) for p, cut in zip(PERCENTILES, cuts, strict=True)},
    }
