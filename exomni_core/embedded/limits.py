# SPDX-License-Identifier: GPL-3.0-or-later
"""The mouth's weights and the sounds that have limits in -> weights that keep those limits out.

The limits stand in the viseme table: an f, for one, needs its lower lip tucked and its jaw nearly
shut, however short it is and whatever its neighbours pull at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import Array
from exomni_core.phonetics.phones import Viseme

_TONGUE: Final = CHANNEL_INDEX["tongueOut"]


def lower_to_limits(weights: Array, limited: Sequence[tuple[Viseme, Array]]) -> None:
    """Keep channels below what the sound that holds most strongly at a frame allows; in place."""
    for channel in sorted({channel for viseme, _ in limited for channel in viseme.most}):
        strongest = np.zeros(len(weights))
        most = np.full(len(weights), np.inf)
        for viseme, strength in limited:
            if channel in viseme.most:
                most = np.where(strength > strongest, viseme.most[channel], most)
                strongest = np.maximum(strongest, strength)
        lowered = np.minimum(weights[:, channel], most)
        weights[:, channel] = weights[:, channel] * (1.0 - strongest) + lowered * strongest


def raise_to_limits(
    weights: Array,
    limited: Sequence[tuple[Viseme, Array]],
    shut: npt.NDArray[np.bool_],
) -> None:
    """Lift channels to what each sound needs, but of the lips only where they are not shut."""
    for viseme, strength in limited:
        for channel, least in viseme.least.items():
            free = True if channel == _TONGUE else ~shut
            weights[:, channel] = np.maximum(weights[:, channel], strength * free * least)
