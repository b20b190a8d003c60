# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoder frames in, speech tokens for the language model out: k frames joined, two layers."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN: Final = 2048  # fixed in every checkpoint


class SpeechProjector(nn.Module):
    """frame_width: of the encoder; stack: k, frames joined; width: of the language model."""

    def __init__(self, frame_width: int, *, stack: int, width: int) -> None:
        super().__init__()
        self.stack = stack
        self.linear1 = nn.Linear(stack * frame_width, HIDDEN)
        self.linear2 = nn.Linear(HIDDEN, width)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, n, frame_width) -> (B, n // k, width); the last n mod k frames are left out."""
        n = frames.shape[1] // self.stack * self.stack
        joined = frames[:, :n].unflatten(1, (-1, self.stack)).flatten(2)  # (B, n/k, k * d)
        projected: Tensor = self.linear2(F.relu(self.linear1(joined)))
        return projected
