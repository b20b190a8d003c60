# SPDX-License-Identifier: GPL-3.0-or-later
"""Any clip or coefficient file in, its weights by channel name and its rate out, with its hygiene.

Nothing is clipped unless asked for: metrics are linear in the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52, UNITALKER_51, columns_by_name
from exomni_core.arrays import Array
from exomni_core.errors import InputError
from exomni_core.formats.convert import read_face
from exomni_core.formats.face_track import IGNORED_COLUMNS

MouthClose = Literal["asis", "claire"]

_JAW: Final = CHANNEL_INDEX["jawOpen"]
_CLOSE: Final = CHANNEL_INDEX["mouthClose"]
_LARGE: Final = 0.4  # both at once: one of the two conventions is probably the wrong one
_BEYOND: Final = 0.1  # mouthClose so far above jawOpen means lips through each other
_NOTABLE: Final = 0.02  # share of frames
_SAME_RATE: Final = 0.005  # 29.97 is 30

# Orders that other systems write without names, for files that tell which.
NAMED_ORDERS: Final = {
    "arkit_52": ARKIT_52,
    "live_link": LIVE_LINK_52,
    "unitalker_51": UNITALKER_51,
}


@dataclass(frozen=True, eq=False)
class Series:
    """Weights of one clip: (T, 52) float64 in ARKIT_52 order at `fps`, as in the file.

    missing: channels that the file lacks, zero here. outside: the share of its values that are
    below 0 or above 1. warnings: whole sentences.
    """

    weights: Array
    fps: float
    missing: tuple[str, ...] = ()
    outside: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds that the frames cover."""
        return len(self.weights) / self.fps


def by_name(values: npt.ArrayLike, names: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    """(T, K) values with K names -> (T, 52) float64 in ARKIT_52 order, and the channels it lacks.

    Raises InputError for a shape that doesn't fit, for unknown and doubled names, and for numbers
    that are not finite.
    """
    table = np.asarray(values)
    if table.ndim != 2 or table.shape[1] != len(names) or table.dtype.kind not in "fiu":
        raise InputError(
            f"the weights have shape {table.shape} but there are {len(names)} channel names; "
            "give one name for each column"
        )
    places, missing = columns_by_name(names, ignore=IGNORED_COLUMNS)
    ordered = np.zeros((len(table), len(ARKIT_52)))
    ordered[:, list(places.values())] = table[:, list(places)]
    if not np.isfinite(ordered).all():
        row, column = np.argwhere(~np.isfinite(ordered))[0]
        raise InputError(f"there is no finite number for {ARKIT_52[column]} in frame {row}")
    return ordered, missing


def read_series(
    path: Path, *, fps: float | None = None, names: Sequence[str] | str | None = None
) -> Series:
    """Read a clip or coefficient file.

    fps: the rate, for a file that doesn't tell; one that tells another is refused. names: the
    columns of an array that has none beside it, as a list or one of NAMED_ORDERS.
    Raises InputError.
    """
    order = channel_order(names)
    try:
        track = read_face(path, names=order)
    except InputError as error:
        if fps is None or error.field != "fps":
            raise
        track = read_face(path, fps=fps, names=order)
    if fps is not None and abs(track.fps - fps) > _SAME_RATE * fps:
        raise InputError(
            f"{path} has {track.fps:g} frames per second, but {fps:g} were told; one is wrong",
            field="fps",
        )
    weights = track.weights.astype(np.float64)
    return measured(Series(weights, track.fps, track.missing, warnings=track.notes))


def channel_order(names: Sequence[str] | str | None) -> tuple[str, ...] | None:
    """Names as a list, or the name of a known order -> the list; InputError if it isn't known."""
    if names is None or not isinstance(names, str):
        return None if names is None else tuple(names)
    if names not in NAMED_ORDERS:
        known = ", ".join(NAMED_ORDERS)
        raise InputError(
            f"there is no channel order {names!r:.40}; known are {known}", field="names"
        )
    return NAMED_ORDERS[names]


def measured(series: Series) -> Series:
    """The series with the share of its values outside [0, 1], and what looks wrong in it."""
    weights = series.weights
    outside = float(((weights < 0.0) | (weights > 1.0)).mean()) if len(weights) else 0.0
    jaw, close = weights[:, _JAW], weights[:, _CLOSE]
    warnings = list(series.warnings)
    if _share((jaw > _LARGE) & (close > _LARGE)) > _NOTABLE:
        warnings.append(
            "mouthClose and jawOpen are both large; if mouthClose includes the jaw here (Claire's "
            "blendshapes), use --ref-mouthclose claire"
        )
    elif _share(close > jaw + _BEYOND) > _NOTABLE:
        warnings.append(
            "mouthClose exceeds jawOpen, as where it includes the jaw (Claire's blendshapes); "
            "consider --ref-mouthclose claire"
        )
    return replace(series, outside=outside, warnings=tuple(warnings))


def with_mouth_close(series: Series, convention: MouthClose) -> Series:
    """The series as a normal ARKit head wants it.

    In Claire's blendshapes mouthClose includes the jaw: jawOpen' = jawOpen + mouthClose.
    """
    if convention == "asis":
        return series
    weights = series.weights.copy()
    weights[:, _JAW] += weights[:, _CLOSE]
    return replace(series, weights=weights)


def clipped(series: Series) -> Series:
    """The series with all weights in [0, 1]."""
    return replace(series, weights=np.clip(series.weights, 0.0, 1.0))


def _share(flags: npt.NDArray[Any]) -> float:
    return float(flags.mean()) if len(flags) else 0.0
