# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured of each clip without a reference in, a table by language and route out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from exomni_core.metrics.record import Value
from exomni_core.metrics.sync.mouth import COUNTS, Mouth, aperture_order, merged
from exomni_core.metrics.sync.offset import Offset, peak_ms, pooled_offset
from exomni_core.metrics.sync.smoothness import of_clips

ALL = "all"


@dataclass(frozen=True, eq=False)
class Measured:
    """One clip. mouth, shifted: None where its sounds aren't known. correlations: or None.

    truth: where its sounds come from: `events` (the synthesiser's), `aligned` (forced alignment of
    the known text), `file`, `own` (found by the engine that is measured: not independent) or
    `none`. note: why there are none.
    """

    id: str
    language: str
    route: str
    engine: str
    truth: str
    duration_s: float
    fps: float
    smoothness: Mapping[str, Value]
    mouth: Mouth | None = None
    shifted: Mouth | None = None
    correlations: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    note: str = ""


def row_of(clip: Measured) -> dict[str, Any]:
    """The clip as a flat row; counts as `<name>` and `<name>_of`."""
    row: dict[str, Any] = {
        "id": clip.id, "status": "scored", "reason": "", "language": clip.language,
        "route": clip.route, "engine": clip.engine, "truth": clip.truth,
        "duration_s": clip.duration_s, "fps": clip.fps, "note": clip.note,
    }  # fmt: skip
    for name in COUNTS:
        share = clip.mouth.shares[name] if clip.mouth else None
        row[name], row[f"{name}_of"] = (share.value, share.of) if share else (None, 0)
    row["offset_ms"] = None if clip.correlations is None else peak_ms(clip.correlations)
    return row | dict(clip.smoothness)


def summarise(clips: Sequence[Measured], *, seed: int) -> list[dict[str, Any]]:
    """One group for each language and route, by name; `all` comes last if there are several."""
    keys = sorted({(clip.language, clip.route) for clip in clips})
    groups = []
    for key in keys:
        inside = [clip for clip in clips if (clip.language, clip.route) == key]
        groups.append(_group(*key, inside, seed))
    if len(keys) > 1:
        groups.append(_group(ALL, ALL, clips, seed))
    return groups


def _group(language: str, route: str, clips: Sequence[Measured], seed: int) -> dict[str, Any]:
    mouth = merged([c.mouth for c in clips if c.mouth is not None])
    chance = merged([c.shifted for c in clips if c.shifted is not None])
    offset = pooled_offset(
        [c.correlations for c in clips], [c.duration_s for c in clips], seed=seed
    )
    return {
        "language": language,
        "route": route,
        "engines": sorted({c.engine for c in clips}),
        "clips": len(clips),
        "seconds": sum(c.duration_s for c in clips),
        "truth": {t: sum(c.truth == t for c in clips) for t in sorted({c.truth for c in clips})},
        "shares": {
            name: {
                "value": share.value, "of": share.of, "if_shifted": chance.shares[name].value,
            }
            for name, share in mouth.shares.items()
        },
        "viseme_groups": {g: {"value": s.value, "of": s.of} for g, s in mouth.groups.items()},
        "aperture": aperture_order(mouth.apertures),
        "offset": _plain(offset),
        "smoothness": of_clips(c.smoothness for c in clips),
    }  # fmt: skip


def _plain(offset: Offset) -> dict[str, Any]:
    data = asdict(offset)
    data["quartiles_ms"] = list(offset.quartiles_ms) if offset.quartiles_ms else None
    return data
