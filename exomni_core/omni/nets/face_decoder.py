# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech units and the generator's hidden states in, blendshape weights at 30 fps out.

One class serves both ways. `forward` sees a whole utterance. `start` and `push` keep an explicit
state and take a reply one segment at a time, as the speech generator writes it: the frames of a
segment see that segment's hidden states, as they do in the release, and, through cached keys, the
frames before. So a reply of one segment gives the same frames either way, however it was pushed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exomni_core.omni.config import FACE_FPS, IGNORE_ID, UNIT_RATE_HZ, Compat, FaceConfig
from exomni_core.omni.nets.fusion import GatedFusion

# A unit lasts 2.4 frames; in whole numbers, because the release's floats lose a frame here and
# there.
_FRAMES, _UNITS = 12, 5
# Frames before its segment that a streamed frame looks back on, a minute: so cost and memory stay
# the same however long it goes on.
PAST_FRAMES: Final = 1800


def frame_count(units: Tensor, compat: Compat = "fixed") -> int:
    """Frames that the longest row of `units` (padding IGNORE_ID) lasts: 2.4 a unit, rounded up.

    compat="reference" counts as the release does: unit 0 is left out, floats round down, and the
    rows of a batch are added up.
    """
    if compat == "reference":
        counted = int(((units > 0) & (units != IGNORE_ID)).sum())
        return math.floor((counted * (1 / UNIT_RATE_HZ)) * FACE_FPS)
    return frames_of(int((units != IGNORE_ID).sum(dim=-1).max())) if units.numel() else 0


def frames_of(units: int) -> int:
    """Frames that cover `units` units: ceil(2.4 units)."""
    return -(-units * _FRAMES // _UNITS)


def periodic_rope(x: Tensor, period: int, first: int = 0) -> Tensor:
    """Rotate the pairs of (B, T, D) by the frame's place in its period; `first`: place of row 0."""
    width = x.shape[-1]
    exponent = torch.arange(0, width, 2, dtype=torch.float32, device=x.device) / width
    place = (torch.arange(x.shape[1], device=x.device) + first) % period
    angle = place[:, None] * (1.0 / 10000.0**exponent)  # (T, D/2)
    # The release keeps the tables in the model's dtype, rounded once.
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


KeysValues = tuple[Tensor, Tensor]  # each (B, heads, T, D/heads)
_Output = tuple[Tensor, KeysValues]


class _SelfAttention(nn.Module):
    """Parameter names of torch's MultiheadAttention, with keys that can be kept."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.in_proj_bias)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        return q, k, v  # (B, heads, T, D/heads)


class _Layer(nn.Module):
    """A post-norm transformer layer with a causal mask."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(width, heads)
        self.linear1 = nn.Linear(width, 2 * width)
        self.linear2 = nn.Linear(2 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, past: KeysValues | None, mask: Tensor | None) -> _Output:
        """(B, T, D) -> (B, T, D) and the keys and values so far; `past`: those before `x`."""
        q, k, v = self.self_attn.project(x)
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = self.norm1(x + self.self_attn.out_proj(attended.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x)))), (k, v)


@dataclass
class FaceState:
    """What streaming has seen and still needs; places are counted from the reply's start.

    units, rows: of the segment that is coming in, which begins with unit `first_unit`. past: keys
    and values of each layer, up to frame `frames_made`.
    """

    units: list[int] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    first_unit: int = 0
    frames_made: int = 0
    past: list[KeysValues] = field(default_factory=list)


class FaceDecoder(nn.Module):
    """Parameter names are the checkpoint's, after the prefix `blendshape_generator.`."""

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.speech_gen_projection = nn.Linear(config.memory_width, width)
        self.speech_token_embedding = nn.Embedding(config.unit_vocab, config.unit_width)
        self.speech_token_projection = nn.Linear(config.unit_width, width)
        self.tqgf = GatedFusion(
            width,
            depth=config.fusion_depth,
            heads=config.fusion_heads,
            head_width=config.fusion_head_width,
        )
        self.layers = nn.ModuleList(_Layer(width, config.heads) for _ in range(config.layers))
        self.out_head = nn.Sequential(  # the release has two dropouts at 2 and 3
            nn.LayerNorm(width),
            nn.Linear(width, width // 2),
            nn.ReLU(),
            nn.Identity(),
            nn.Linear(width // 2, config.outputs),
        )

    def forward(
        self,
        hidden: Tensor,
        units: Tensor,
        *,
        memory_mask: Tensor | None = None,
        frames: int | None = None,
        compat: Compat = "fixed",
    ) -> Tensor:
        """The whole utterance at once.

        hidden: (B, M, 1024). units: (B, U) ids, padding IGNORE_ID. memory_mask: (B, M), True where
        hidden counts. frames: T, if it is not to be counted (in training). Returns (B, T,
        outputs), neither clipped nor widened to 52.
        """
        wanted = frame_count(units, compat) if frames is None else frames
        features = self.unit_features(units)  # (B, U, D)
        if compat == "reference" or frames is not None:
            queries = stretch(features, wanted)
        else:
            queries = self.at_frames(features, 0, wanted, 0)  # (B, T, D)
        x = self.tqgf(queries, self.speech_gen_projection(hidden), memory_mask)
        x = periodic_rope(x, self.config.period)
        mask = _padding_mask(units, wanted)
        for layer in self.layers:
            x, _ = layer(x, None, mask)
        out: Tensor = self.out_head(x)  # (B, T, outputs)
        return out

    def unit_features(self, units: Tensor) -> Tensor:
        """(B, U) -> (B, U, D); padding gives zeros."""
        there = units != IGNORE_ID
        features = self.speech_token_projection(
            self.speech_token_embedding(units.masked_fill(~there, 0))
        )
        return features * there[..., None].to(features.dtype)

    @staticmethod
    def at_frames(features: Tensor, first: int, end: int, first_unit: int) -> Tensor:
        """Features between units, at the middle of frames `first` to `end` on the true clock.

        features: (B, U, D) of the units from `first_unit` on. Before the middle of the first and
        after that of the last their own values hold.
        """
        device = features.device
        # In double, so that a frame of a long stream falls where it does offline.
        place = (torch.arange(first, end, device=device, dtype=torch.float64) + 0.5) * (
            _UNITS / _FRAMES
        ) - 0.5
        place = (place - first_unit).clamp(0.0, features.shape[1] - 1.0)
        left = place.floor().long()
        right = (left + 1).clamp(max=features.shape[1] - 1)
        share = (place - left).to(features.dtype)[:, None]
        return features[:, left] * (1 - share) + features[:, right] * share

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.speech_token_embedding.weight.device

    def start(self) -> FaceState:
        """A fresh state for `push`."""
        return FaceState()

    def push(
        self,
        state: FaceState,
        hidden: Tensor,
        units: list[int],
        *,
        segment_ends: bool = False,
        final: bool = False,
    ) -> Tensor:
        """Take m more hidden rows (1, m, 1024) and n more units of the segment that is coming in.

        Its frames, (1, t, outputs), are given when it ends, or the reply does (`final`).
        """
        if hidden.shape[1]:
            state.rows.append(hidden)
        state.units += units
        end_unit = state.first_unit + len(state.units)
        first, end = state.frames_made, frames_of(end_unit) if final else _frames_until(end_unit)
        if not (segment_ends or final) or not state.units or end <= first:
            return hidden.new_zeros(1, 0, self.config.outputs)
        frames = self._decode(state, first, end)
        state.units, state.rows = [], []
        state.first_unit, state.frames_made = end_unit, end
        return frames

    def _decode(self, state: FaceState, first: int, end: int) -> Tensor:
        features = self.unit_features(torch.tensor([state.units], device=self.device))
        queries = self.at_frames(features, first, end, state.first_unit)
        x = self.tqgf(queries, self.speech_gen_projection(torch.cat(state.rows, dim=1)))
        x = periodic_rope(x, self.config.period, first)
        past_frames = state.past[0][0].shape[2] if state.past else 0
        row = torch.arange(past_frames, past_frames + end - first, device=self.device)[:, None]
        mask = torch.arange(past_frames + end - first, device=self.device) <= row  # (t, past + t)
        kept = []
        for number, layer in enumerate(self.layers):
            x, (keys, values) = layer(x, state.past[number] if state.past else None, mask)
            kept.append((keys[:, :, -PAST_FRAMES:], values[:, :, -PAST_FRAMES:]))
        state.past = kept
        out: Tensor = self.out_head(x)
        return out


def _frames_until(units: int) -> int:
    """Frames whose middle lies before the end of that many units: ceil(2.4 units - 1/2)."""
    return max(0, -(-(24 * units - 5) // 10))


def stretch(features: Tensor, frames: int) -> Tensor:
    """(B, U, D) -> (B, frames, D) by linear interpolation without corner alignment."""
    if features.shape[1] == frames:
        return features
    channels_first = features.transpose(1, 2)
    return F.interpolate(channels_first, frames, mode="linear", align_corners=False).transpose(1, 2)


def arkit_weights(predicted: Tensor) -> Tensor:
    """(T, 51 or 52) raw outputs -> (T, 52) float32 in [0, 1]; a missing tongueOut is 0."""
    weights = predicted.float()
    if weights.shape[-1] == 51:
        weights = F.pad(weights, (0, 1))
    return weights.clamp(0.0, 1.0)


def _padding_mask(units: Tensor, frames: int) -> Tensor | None:
    """(B, 1, T, T) causal mask that also hides the frames of padding; None where none is needed."""
    if len(units) == 1 and not bool((units == IGNORE_ID).any()):
        return None
    there = (units != IGNORE_ID).sum(dim=1).float()
    valid = (there / units.shape[1] * frames).trunc().clamp(1, frames)  # (B,)
    place = torch.arange(frames, device=units.device)
    causal = place <= place[:, None]
    return (causal & (place < valid[:, None, None]))[:, None]
