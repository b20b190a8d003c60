# SPDX-License-Identifier: GPL-3.0-or-later
"""A decoder's blocks in, what was decoded out; also the sentences for sound that is no use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from exomni_core.sound.mixdown import Mixdown

MAX_DURATION_S: Final = 600.0  # the most that is read unless a caller says otherwise
MIN_RATE_HZ: Final = 1_000
MAX_RATE_HZ: Final = 655_350  # the most that FLAC, and so a clip, can hold
MAX_CHANNELS: Final = 64
BLOCK_VALUES: Final = 1 << 20  # values decoded at a time, over all channels


@dataclass(frozen=True, eq=False)
class Decoded:
    """What was decoded. promised_s: what the file said it lasts, 0 if it did not. broke: whether
    the decoder gave up before the end.
    """

    mix: Mixdown
    rate_hz: int
    promised_s: float = 0.0
    broke: bool = False

    @property
    def duration_s(self) -> float:
        """Seconds that were decoded."""
        return self.mix.length / self.rate_hz


class PastLimitError(InputError):
    """More samples came than the limit allows; the log may tell how long the file is."""


class BrokenOffError(Exception):
    """The decoder can't go on; what came before is sound."""


def collect(
    blocks: Iterator[FloatArray], mix: Mixdown, rate: int, max_duration_s: float, path: Path
) -> bool:
    """Mix (n, channels) blocks, stopping as soon as the limit is passed; whether they broke off."""
    limit = int(max_duration_s * rate)
    try:
        for block in blocks:
            if mix.length + len(block) > limit:
                raise too_long(path, max_duration_s, None)
            if not np.isfinite(block).all():
                raise bad(
                    path, "holds values that are not numbers (NaN or infinity); export it again"
                )
            mix.add(block)
    except BrokenOffError:
        return True
    return False


def checked_rate(rate: int, channels: int, path: Path) -> int:
    """The rate in Hz; InputError if it or the number of channels is absurd."""
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise bad(path, f"has a sample rate of {rate} Hz; convert it to 48000 Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise bad(path, f"has {channels} channels; mix it down to one or two")
    return rate


def too_long(path: Path, max_duration_s: float, duration_s: float | None) -> InputError:
    """The error for a recording above the limit; duration_s: its length, if that is known."""
    length = "is" if duration_s is None else f"lasts {round(duration_s, 1):g} s,"
    return PastLimitError(
        f"{path} {length} longer than {max_duration_s:g} s, the most that is read; cut it",
        field="audio",
    )


def bad(path: Path, complaint: str) -> InputError:
    """The error for a recording that can't be used, and why."""
    return InputError(f"{path} {complaint}", field="audio")
