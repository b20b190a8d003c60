# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of several channels in, one channel out; and whether their mean lost what was said."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray

_WINDOWS_HZ: Final = 10  # loudness is compared in pieces of a tenth of a second
# The mean of n channels has 1/n of the one channel that speaks; clearly less is cancellation.
_CANCELS: Final = 0.4
_CANCELLED_SHARE: Final = 0.2  # of the sound's power, in pieces that cancel
_SURROUND: Final = (3, 5, 6, 7, 8)  # layouts with a centre channel: left, right, centre, ...
_CENTRE_SPEAKS: Final = 0.1  # of the loudest channel's power


class Mix:
    """Mixes blocks down and keeps count of how loud the channels and their mean are.

    channel: the one to take, or None for the mean of all.
    """

    def __init__(self, channel: int | None = None) -> None:
        self.channel = channel
        self.notes: list[str] = []
        self._power: npt.NDArray[np.float64] = np.zeros(1)
        self._mean_power = self._loud = self._cancelled = 0.0

    def mono(self, block: FloatArray, rate_hz: int) -> npt.NDArray[Any]:
        """(n, channels) samples -> (n,)."""
        if block.shape[1] == 1:
            return block[:, 0]
        mean: npt.NDArray[np.float64] = block.mean(axis=1, dtype=np.float64)
        if self.channel is not None:
            return block[:, self.channel]
        if len(block):
            self._measure(block, mean, max(1, rate_hz // _WINDOWS_HZ))
        return mean

    def better(self, *, is_vorbis: bool = False) -> tuple[int, str] | None:
        """The channel to take instead of the mean, and a note; None where the mean serves.

        is_vorbis: channels stand in the order left, centre, right.
        """
        count = len(self._power)
        centre = 1 if is_vorbis else 2
        top = float(self._power.max())
        if count in _SURROUND:
            power = float(self._power[centre])
            if power > _CENTRE_SPEAKS * top and self._mean_power < 0.5 * power:
                return centre, f"of its {count} channels the centre, which holds speech, is used"
        if count > 1 and self._cancelled > _CANCELLED_SHARE * self._loud:
            best = int(self._power.argmax())
            told = (
                f"its channels cancel each other out: channel {best + 1} of {count} alone is used"
            )
            return best, told
        return None

    def _measure(self, block: FloatArray, mean: npt.NDArray[np.float64], window: int) -> None:
        starts = np.arange(0, len(block), window)
        power = np.add.reduceat(np.square(block, dtype=np.float64), starts, axis=0)
        mixed = np.add.reduceat(np.square(mean), starts)
        top = power.max(axis=1)
        if len(self._power) != block.shape[1]:
            self._power = np.zeros(block.shape[1])
        self._power += power.sum(axis=0)
        self._mean_power += float(mixed.sum())
        self._loud += float(top.sum())
        self._cancelled += float(top[mixed < _CANCELS / block.shape[1] ** 2 * top].sum())
