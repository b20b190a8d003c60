# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech units as they come -> mel frames that no longer change, at a cost that stays the same.

Units are collected into blocks of a fixed schedule. The flow sees each block behind a window of the
units before it, together with the very mel frames that these became; the last frames of a block are
held back and blended with what the next block makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from exomni_core.omni.speech.flow import Flow
from exomni_core.omni.speech.flow_encoder import frames_of
from exomni_core.omni.speech.speech_noise import NoiseBank
from exomni_core.omni.speech.vocoder import VocoderState

WINDOW_UNITS: Final = 50
OVERLAP_UNITS: Final = 5
OVERLAP_FRAMES: Final = frames_of(OVERLAP_UNITS)
# Units of the first blocks, of which the last repeats: soon a first sound, then few calls.
SCHEDULE: Final = (10, 25, 50)


@dataclass
class StreamState:
    """All that is known of an utterance in the making.

    units: those from number `first` on. seen: how many of the utterance's units the flow has seen.
    mel: (1, mel, n) final frames, the first of which has number mel_first. held: (1, mel, 34) the
    frames after them, to be blended.
    """

    noise: NoiseBank
    vocoder: VocoderState
    mel: Tensor
    schedule: Sequence[int] = SCHEDULE
    units: list[int] = field(default_factory=list)
    first: int = 0
    seen: int = 0
    mel_first: int = 0
    held: Tensor | None = None
    blocks: int = 0
    ended: bool = False

    @property
    def waiting(self) -> int:
        """Units that are in no block yet."""
        return self.first + len(self.units) - self.seen

    @property
    def next_block(self) -> int:
        """Number of units that the next block needs."""
        return self.schedule[min(self.blocks, len(self.schedule) - 1)]


def next_frames(flow: Flow, state: StreamState, *, final: bool) -> Tensor | None:
    """(1, mel, n) the frames that the next block makes final; None where units are lacking for one.

    final: no more units will come, so a smaller block will do, or none: then the frames held back
    are what is left.
    """
    count = min(state.waiting, state.next_block)
    if count == state.next_block or (final and count):
        return _block(flow, state, count, last=final and count < state.next_block)
    if final and state.held is not None:
        left, state.held = state.held, None
        return left
    return None


def _block(flow: Flow, state: StreamState, count: int, *, last: bool) -> Tensor:
    block = flow.config.encoder.block
    # The window starts where a block of the encoder does, so that all see what they saw before.
    start = -(-max(state.seen - WINDOW_UNITS, 0) // block) * block
    stop = state.seen + count
    offset = frames_of(start)
    total = frames_of(stop) - offset
    known = state.mel[:, :, offset - state.mel_first :]
    window = state.units[start - state.first : stop - state.first]
    mel = flow(
        torch.tensor([window], device=flow.device),
        noise=state.noise.mel(offset, total).to(flow.device),
        frames=[total],
        prompt_mel=known if known.shape[2] else None,
    )
    if state.held is not None:
        mel = blended(state.held, mel)
    ready = mel
    state.held = None
    if not last:
        ready, state.held = mel[:, :, :-OVERLAP_FRAMES], mel[:, :, -OVERLAP_FRAMES:]
    state.seen = stop
    state.blocks += 1
    _remember(state, ready, block)
    return ready


def _remember(state: StreamState, ready: Tensor, block: int) -> None:
    """Keep the new frames, and of all that came before only what the next window shows."""
    start = -(-max(state.seen - WINDOW_UNITS, 0) // block) * block
    first = frames_of(start)
    mel = torch.cat((state.mel, ready), 2)
    state.mel = mel[:, :, max(first - state.mel_first, 0) :].clone()
    state.mel_first = max(first, state.mel_first)
    state.units = state.units[start - state.first :]
    state.first = start


def blended(before: Tensor, after: Tensor) -> Tensor:
    """`after` (1, mel, m) with its first frames faded in over `before` (1, mel, n), n <= m.

    The two weights, halves of a raised cosine, add up to one at each frame.
    """
    count = before.shape[2]
    place = (torch.arange(count, dtype=torch.float32, device=after.device) + 0.5) / count
    weight = 0.5 - 0.5 * torch.cos(math.pi * place)
    begin = torch.lerp(before, after[:, :, :count], weight)
    return torch.cat((begin, after[:, :, count:]), 2)
