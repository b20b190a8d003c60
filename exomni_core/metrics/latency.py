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
MEASURES: Final = (
    "rtf", "ttft", "text_time", "ttfu_component", "ttfu_e2e", "unit_time", "ttfa", "face_latency",
    "face_busy", "face_fps", "done", "delivered",
)  # fmt: skip
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


def measures(stamps: Stamps, *, duration_s: float, frames: int) -> dict[str, float | None]:
    """All measures of one request, by the names of MEASURES; None where a stamp is missing."""
    t = stamps.times
    busy = stamps.face_busy_s
    return {
        "rtf": stamps.done_s / duration_s if duration_s > 0 else None,
        "ttft": t["t1"],
        "text_time": t["t2"],
        "ttfu_component": _between(t["t3"], t["t4"]),
        "ttfu_e2e": t["t4"],
        "unit_time": _between(t["t3"], t["t5"]),
        "ttfa": t["t6"],
        "face_latency": _between(t["t8"], t["t9"]),
        "face_busy": busy,
        "face_fps": frames / busy if busy else None,
        "done": stamps.done_s,
        "delivered": stamps.delivered_s,
    }


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
        "measures": {name: _spread([row[name] for row in rows]) for name in MEASURES},
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


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin
