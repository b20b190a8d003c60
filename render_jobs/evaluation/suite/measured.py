# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured of a clip without a reference in, plain data out; and back, number for number.

So the sums of a table can be made again from its rows, and a killed run need not listen twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from exomni_core.metrics.sync.mouth import Mouth, Share
from exomni_core.metrics.sync.smoothness import SMOOTHNESS
from exomni_core.metrics.sync.table import Measured

_PLAIN = ("id", "language", "route", "engine", "truth", "duration_s", "fps", "note")


def to_plain(clip: Measured) -> dict[str, Any]:
    """All of it as JSON can hold it."""
    return {
        **{name: getattr(clip, name) for name in _PLAIN},
        "smoothness": dict(clip.smoothness),
        "mouth": _mouth(clip.mouth),
        "shifted": _mouth(clip.shifted),
        "correlations": None if clip.correlations is None else clip.correlations.tolist(),
    }


def from_plain(data: Mapping[str, Any]) -> Measured:
    """The same clip again; KeyError or TypeError for data of another form."""
    curve = data["correlations"]
    return Measured(
        **{name: data[name] for name in _PLAIN},
        smoothness={m.name: data["smoothness"][m.name] for m in SMOOTHNESS},
        mouth=_mouth_again(data["mouth"]),
        shifted=_mouth_again(data["shifted"]),
        correlations=None if curve is None else np.array(curve),
    )


def _mouth(mouth: Mouth | None) -> dict[str, Any] | None:
    if mouth is None:
        return None
    return {
        "shares": {name: [s.yes, s.of] for name, s in mouth.shares.items()},
        "groups": {name: [s.yes, s.of] for name, s in mouth.groups.items()},
        "apertures": mouth.apertures,
    }


def _mouth_again(data: Mapping[str, Any] | None) -> Mouth | None:
    if data is None:
        return None
    return Mouth(
        shares={name: Share(*counts) for name, counts in data["shares"].items()},
        groups={name: Share(*counts) for name, counts in data["groups"].items()},
        apertures={name: list(gaps) for name, gaps in data["apertures"].items()},
    )
