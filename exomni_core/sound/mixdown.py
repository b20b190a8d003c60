# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of a recording with any number of channels in, mono samples out, as loud as they were.

The mean of the channels is right for one and two. It fails in two ways. Channels with opposite
signs cancel each other, and the voice is gone. A voice that is in the centre of 5.1 alone comes
out at a sixth of its loudness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from exomni_core.arrays import FloatArray

# Unrelated channels leave 1 / n of their energy in their mean; a fifth of that is cancellation.
_CANCELLED: Final = 0.2
_FEW: Final = 2  # up to so many channels the mean stays as it is
_LOUDER: Final = 1.05  # a gain below that is rounding


@dataclass(eq=False)
class Mixdown:
    """Collects blocks (n, channels), all with the same channels.

    only: the one channel to take, from 0; None takes the mean of all.
    """

    only: int | None = None
    length: int = 0
    channels: int = 0
    _parts: list[FloatArray] = field(default_factory=list)
    _energies: FloatArray = field(default_factory=lambda: np.zeros(0, np.float64))

    def add(self, block: FloatArray) -> None:
        """Mix one block in; (n, channels) float32, finite."""
        self.length += len(block)
        self.channels = block.shape[1]
        if block.shape[1] == 1:
            mono = block[:, 0]
        else:
            energies = np.square(block, dtype=np.float64).sum(axis=0)
            self._energies = energies + (self._energies if len(self._energies) else 0.0)
            if self.only is None:
                mono = block.mean(axis=1, dtype=np.float64)
            else:
                mono = block[:, self.only]
        self._parts.append(np.clip(mono, -1.0, 1.0).astype(np.float32))

    @property
    def loudest(self) -> int:
        """The channel with the most energy, from 0."""
        return int(np.argmax(self._energies)) if len(self._energies) else 0

    @property
    def cancels(self) -> bool:
        """Whether the channels take each other away in their mean."""
        if self.only is not None or self.channels < 2:
            return False
        total = float(self._energies.sum())
        return total > 0.0 and self._mixed_energy() < _CANCELLED / self.channels**2 * total

    def samples(self) -> tuple[FloatArray, str]:
        """((S,) float32 in [-1, 1], a note or ""); S is at least 1."""
        mono = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        if self.only is not None:
            return mono, (
                f"the channels of the recording cancel each other; channel {self.only + 1} of "
                f"{self.channels} was used alone"
            )
        if self.channels <= _FEW:
            return mono, ""
        gain = self._gain(mono)
        if gain < _LOUDER:
            return mono, ""
        return (mono * np.float32(gain)).astype(np.float32), (
            f"the voice is not in all {self.channels} channels of the recording; their sum was "
            "made as loud as the loudest channel"
        )

    def _gain(self, mono: FloatArray) -> float:
        """What brings the mean to the loudness of the loudest channel, short of clipping."""
        mixed, peak = self._mixed_energy(), float(np.abs(mono).max())
        if mixed <= 0.0 or peak <= 0.0:
            return 1.0
        return min(float(np.sqrt(self._energies.max() / mixed)), 1.0 / peak)

    def _mixed_energy(self) -> float:
        return sum(float(np.square(part, dtype=np.float64).sum()) for part in self._parts)
