# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of speech units in -> their mel and wave, as the release streams them, faults included.

Each call runs the flow over all units so far. Its faults are kept: a cross-fade that adds gain, a
mel prompt that drifts against its units, a phase that restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from exomni_core.errors import InputError
from exomni_core.omni.speech.flow import Flow
from exomni_core.omni.speech.flow_encoder import frames_of
from exomni_core.omni.speech.speech_noise import ReferenceNoise
from exomni_core.omni.speech.speech_stream import OVERLAP_FRAMES
from exomni_core.omni.speech.vocoder import Vocoder


@dataclass
class ReferenceState:
    """What the release keeps between two calls.

    units: all so far. mels: (1, mel, n), all returned so far. held, cached_mel: (1, mel, 34) and
    (1, mel, 1). cached_source: (1, 1, 256).
    """

    noise: ReferenceNoise
    units: list[int] = field(default_factory=list)
    mels: list[Tensor] = field(default_factory=list)
    held: Tensor | None = None
    cached_mel: Tensor | None = None
    cached_source: Tensor | None = None
    calls: int = 0
    ended: bool = False


@dataclass(frozen=True)
class ReferenceBlock:
    """flow_mel, mel: (1, mel, n) before fading, and as the release returns it. wave: (1, m)."""

    flow_mel: Tensor
    mel: Tensor
    wave: Tensor


def reference_block(
    flow: Flow, vocoder: Vocoder, state: ReferenceState, units: Sequence[int], *, final: bool
) -> ReferenceBlock:
    """One call of the release with one new unit or more; InputError if they are too few for it."""
    noise = state.noise(state.calls)
    state.calls += 1
    state.units += units
    frames = frames_of(len(state.units))
    known = torch.cat(state.mels, 2) if state.mels else None
    flow_mel = flow(
        torch.tensor([state.units], device=flow.device),
        noise=noise.mel(frames).to(flow.device),
        prompt_mel=known,
    )
    if not final and flow_mel.shape[2] <= OVERLAP_FRAMES:
        raise InputError(
            f"a block of {len(units)} units is too short in reference mode; push 10 or more"
        )
    mel = flow_mel if state.held is None else faded(state.held, flow_mel)
    if state.cached_mel is not None:
        mel = torch.cat((state.cached_mel, mel), 2)
    if not final:
        mel, state.held = mel[:, :, :-OVERLAP_FRAMES], mel[:, :, -OVERLAP_FRAMES:]
    hop = vocoder.config.hop
    wave, source = vocoder(
        mel,
        phases=noise.phases().to(flow.device),
        noise=noise.samples(hop * mel.shape[2]).to(flow.device),
        cached_source=state.cached_source,
        compat="reference",
    )
    state.mels.append(mel)
    if not final:
        state.cached_mel, state.cached_source = mel[:, :, -1:], source[:, :, -hop:]
        wave = wave[:, :-hop]
    state.ended = final
    return ReferenceBlock(flow_mel, mel, wave)


def faded(before: Tensor, after: Tensor) -> Tensor:
    """The release's cross-fade: halves of a symmetric Hamming window, which add up to 1.06."""
    count = before.shape[2]
    window = torch.hamming_window(2 * count, periodic=False, dtype=torch.float64)
    rise, fall = window.to(after.device).chunk(2)
    begin = after[:, :, :count] * rise + before * fall
    return torch.cat((begin.float(), after[:, :, count:]), 2)
