# SPDX-License-Identifier: GPL-3.0-or-later
"""The 52 ARKit blendshape channels: names, regions and mirror pairs; any spelling or order -> ours.

Names are the only address of a channel. Orders in the wild differ, so an
array without names is never accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError

# Alphabetical, as Ex-Omni and EmoTalk order their outputs.
ARKIT_52: Final[tuple[str, ...]] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

# The order of Apple's app "Live Link Face" (JawRight before JawLeft is really so).
LIVE_LINK_52: Final[tuple[str, ...]] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawRight", "jawLeft", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

# The order of UniTalker's D6 and D7 heads, which have no tongueOut.
UNITALKER_51: Final[tuple[str, ...]] = (
    "eyeBlinkLeft", "eyeBlinkRight", "eyeSquintLeft", "eyeSquintRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeWideLeft", "eyeWideRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "jawOpen",
    "mouthClose", "jawLeft", "jawRight", "jawForward", "mouthUpperUpLeft", "mouthUpperUpRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthRollUpper", "mouthRollLower",
    "mouthSmileLeft", "mouthSmileRight", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthFunnel", "mouthLeft", "mouthRight",
    "mouthShrugLower", "mouthShrugUpper", "noseSneerLeft", "noseSneerRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight",
)  # fmt: skip

CHANNEL_INDEX: Final[dict[str, int]] = {name: i for i, name in enumerate(ARKIT_52)}

REGIONS: Final[dict[str, tuple[str, ...]]] = {
    "jaw": tuple(n for n in ARKIT_52 if n.startswith("jaw")),
    "lips": tuple(n for n in ARKIT_52 if n.startswith("mouth")),
    "tongue": ("tongueOut",),
    "cheeks": tuple(n for n in ARKIT_52 if n.startswith(("cheek", "nose"))),
    "brows": tuple(n for n in ARKIT_52 if n.startswith("brow")),
    "lids": tuple(n for n in ARKIT_52 if n.startswith(("eyeBlink", "eyeSquint", "eyeWide"))),
    "gaze": tuple(n for n in ARKIT_52 if n.startswith("eyeLook")),
}


def mirror_of(channel: str) -> str:
    """The channel of the other side of the face; a channel without a side is its own mirror."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if channel.endswith(side):
            return channel[: -len(side)] + other
    return channel


@cache
def _spellings() -> dict[str, str]:
    """Lower-case spelling without separators -> our name: `JawOpen`, `mouthSmile_L`, `Jaw Left`."""
    table = {}
    for name in ARKIT_52:
        table[name.lower()] = name
        for side in ("Left", "Right"):
            if name.endswith(side):
                table[(name[: -len(side)] + side[0]).lower()] = name
    return table


def canonical_name(spelling: str) -> str | None:
    """Our name for a channel however it is cased or sided (`_L`, `.L`, `Left`), or None."""
    squeezed = "".join(c for c in spelling if c not in "_-. ").lower()
    # `jawL` would mean jawLeft, but `mouthL` also fits mouthLeft: both are unambiguous here.
    return _spellings().get(squeezed)


def columns_by_name(
    names: Sequence[str], *, ignore: Sequence[str] = ()
) -> tuple[dict[int, int], tuple[str, ...]]:
    """Where the source's columns go: {source column: its place in ARKIT_52}.

    Also returns the channels that the source lacks. Raises InputError on a name that is unknown
    (and not in `ignore`) or stands twice.
    """
    places: dict[int, int] = {}
    seen: dict[str, str] = {}
    for column, name in enumerate(names):
        if name in ignore:
            continue
        ours = canonical_name(name) if isinstance(name, str) else None
        if ours is None:
            shown = repr(name)[:60] if isinstance(name, str) else f"of type {type(name).__name__}"
            raise InputError(
                f"channel name {shown} is not an ARKit blendshape; rename or remove that column"
            )
        if ours in seen:
            raise InputError(f"channel {ours} stands twice, as {seen[ours]!r} and as {name!r}")
        seen[ours] = name
        places[column] = CHANNEL_INDEX[ours]
    return places, tuple(name for name in ARKIT_52 if name not in seen)


def order_by_name(
    weights: npt.ArrayLike, names: Sequence[str], *, ignore: Sequence[str] = ()
) -> tuple[FloatArray, tuple[str, ...]]:
    """Put the columns of `weights` (T, len(names)) into ARKIT_52 order.

    Returns the (T, 52) float32 weights and the channels that the source lacks (zero-filled, so
    that the caller can say so). Raises InputError on a column count that differs from the names,
    and on a name that is unknown (and not in `ignore`) or stands twice.
    """
    try:
        with np.errstate(over="ignore"):  # too large becomes infinite, which callers refuse
            table = np.asarray(weights, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError("the weights are not a table of numbers with equally long rows") from error
    if table.ndim != 2 or table.shape[1] != len(names):
        raise InputError(
            f"the weights have shape {table.shape} but there are {len(names)} channel names; "
            "give one name for each column"
        )
    ordered = np.zeros((len(table), len(ARKIT_52)), np.float32)
    places, missing = columns_by_name(names, ignore=ignore)
    ordered[:, list(places.values())] = table[:, list(places)]
    return ordered, missing
