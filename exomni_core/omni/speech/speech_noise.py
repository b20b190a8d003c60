# SPDX-License-Identifier: GPL-3.0-or-later
"""A seed in -> the random numbers that the speech decoder starts from.

A bank computes the numbers of every mel frame and sample from their place in the utterance. So a
stream gets the same numbers as the whole, and a longer utterance begins like a shorter one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Final, Protocol

import torch
from torch import Tensor

CHUNK_FRAMES: Final = 64
REFERENCE_SEED: Final = 42


class NoiseBank:
    """Random access to an utterance's numbers; never touches PyTorch's own generator.

    Each chunk of 64 mel frames has its own generator, seeded with the first eight bytes of BLAKE2b
    over "seed:kind:chunk" in ASCII (little endian, top bit cleared). Kinds: mel, sample, phase.
    """

    def __init__(self, seed: int, *, mel: int, harmonics: int, hop: int) -> None:
        self._seed = seed
        self._mel = mel
        self._harmonics = harmonics
        self._chunk_samples = CHUNK_FRAMES * hop

    def mel(self, first: int, count: int) -> Tensor:
        """(1, mel, count) standard normal, of mel frames `first` and after."""
        return self._span("mel", first, count, CHUNK_FRAMES, self._mel)

    def samples(self, first: int, count: int) -> Tensor:
        """(1, harmonics, count) standard normal, of samples `first` and after."""
        return self._span("sample", first, count, self._chunk_samples, self._harmonics)

    def phases(self) -> Tensor:
        """(1, harmonics, 1) uniform in -pi to pi."""
        drawn = torch.rand(1, self._harmonics, 1, generator=self._generator("phase", 0))
        return (2 * drawn - 1) * math.pi

    def _span(self, kind: str, first: int, count: int, chunk: int, rows: int) -> Tensor:
        numbers = range(first // chunk, -(-(first + count) // chunk))
        drawn = [
            torch.randn(chunk, rows, generator=self._generator(kind, number)) for number in numbers
        ]
        offset = first - numbers.start * chunk
        joined = torch.cat(drawn) if drawn else torch.zeros(0, rows)
        return joined[offset : offset + count].T.unsqueeze(0)

    def _generator(self, kind: str, chunk: int) -> torch.Generator:
        text = f"{self._seed}:{kind}:{chunk}".encode("ascii")
        number = int.from_bytes(hashlib.blake2b(text).digest()[:8], "little")
        return torch.Generator().manual_seed(number & (2**63 - 1))


class CallNoise(Protocol):
    """The numbers of one call in the release's way; asked for in this order."""

    def mel(self, frames: int) -> Tensor:
        """(1, mel, frames) standard normal."""
        ...

    def phases(self) -> Tensor:
        """(1, harmonics, 1) uniform in -pi to pi."""
        ...

    def samples(self, count: int) -> Tensor:
        """(1, harmonics, count) standard normal."""
        ...


# number of the call -> its numbers
ReferenceNoise = Callable[[int], CallNoise]


class DrawnNoise:
    """What the release draws in each call: a generator seeded with 42, in the release's order.

    On the CPU, from a generator of our own; the release seeds PyTorch's.
    """

    def __init__(self, mel: int, harmonics: int) -> None:
        self._mel = mel
        self._harmonics = harmonics
        self._generator = torch.Generator().manual_seed(REFERENCE_SEED)

    def mel(self, frames: int) -> Tensor:
        """(1, mel, frames) standard normal."""
        return torch.randn(1, self._mel, frames, generator=self._generator)

    def phases(self) -> Tensor:
        """(1, harmonics, 1) uniform in -pi to pi."""
        drawn = torch.rand(1, self._harmonics, 1, generator=self._generator)
        return -math.pi + 2 * math.pi * drawn

    def samples(self, count: int) -> Tensor:
        """(1, harmonics, count) standard normal."""
        return torch.randn(1, self._harmonics, count, generator=self._generator)
