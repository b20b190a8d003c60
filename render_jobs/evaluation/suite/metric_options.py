# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite's `[metrics.NAME]` in, one frozen dataclass of its options out.

sets, of each: the sets it is measured on (none: all). note: what readers of the report must know.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from exomni_core.storage.schema import AS_WRITTEN, FILLED, Must, Range

Whole = Annotated[int, Range(0, below=10**9)]
Seconds = Annotated[float, AS_WRITTEN, Range(0, below=10**9)]
Rate = Annotated[float, AS_WRITTEN, Range(0, below=10**9)]
Text = Annotated[str, FILLED]
Texts = Annotated[tuple[str, ...], Must(bool, "a list of one or more texts")]


@dataclass(frozen=True)
class MetricOptions:
    """What all metrics have."""

    sets: Texts = ()
    note: Text = ""


@dataclass(frozen=True)
class FaceMetric(MetricOptions):
    """Faces against references; the options of `eval face`."""

    template: Text = "head"
    lip_ids: Path | None = None
    upper_ids: Path | None = None
    unit: Literal["", "m", "cm", "mm"] = ""
    clip: Literal["", "01"] = ""
    ref_mouthclose: Literal["asis", "claire"] = "asis"
    allow_length_mismatch: bool = False
    fps: Rate | None = None


@dataclass(frozen=True)
class SyncMetric(MetricOptions):
    """Mouths against their own sounds; the options of `eval sync`."""

    realign: bool = False
    fps: Rate | None = None


@dataclass(frozen=True)
class HearingMetric(MetricOptions):
    """What is heard against what was to be said. hyp: transcripts; asr: a recogniser's command."""

    hyp: Text | None = None
    asr: Text | None = None
    asr_timeout: Seconds = 300.0


@dataclass(frozen=True)
class LatencyMetric(MetricOptions):
    """How long answers take; the options of `eval latency`."""

    n: Whole = 100
    warmup: Whole = 3
    stream: bool = False


METRICS: Final[dict[str, type[MetricOptions]]] = {
    "face": FaceMetric,
    "sync": SyncMetric,
    "consistency": HearingMetric,
    "tts": HearingMetric,
    "latency": LatencyMetric,
}
