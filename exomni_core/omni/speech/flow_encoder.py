# SPDX-License-Identifier: GPL-3.0-or-later
"""Embedded speech units in -> one vector per mel frame out: encoder, then length regulator.

The encoder is a conformer without convolutions whose attention sees whole blocks of ten units, its
own and all before it. The regulator stretches 12.5 units a second to mel frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exomni_core.omni.config import UNIT_RATE_HZ
from exomni_core.omni.nets.dense import Dense, Norm, TimeConv, TimeGroupNorm, mish

MEL_SAMPLE_RATE_HZ: Final = 22_050
MEL_HOP: Final = 256


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder; published defaults."""

    inputs: int = 512
    width: int = 512
    heads: int = 8
    feed_forward: int = 2048
    layers: int = 6
    block: int = 10  # units that see each other


def frames_of(units: int) -> int:
    """Mel frames that `units` units last: 441 / 64 a unit, rounded down in float32."""
    seconds = torch.tensor(float(units)) / UNIT_RATE_HZ
    return int(seconds * MEL_SAMPLE_RATE_HZ / MEL_HOP)


class BlockEncoder(nn.Module):
    """(B, T, inputs) -> (B, T, width); what comes later never changes a completed block."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        first = nn.Sequential(Dense(config.inputs, config.width), Norm(config.width))
        self.embed = nn.ModuleDict({"out": first})
        self.encoders = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.after_norm = Norm(config.width)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """lengths: (B,) units that count in each row; None: all."""
        x = self.embed["out"](x) * math.sqrt(self.config.width)  # (B, T, width)
        units = x.shape[1]
        positions = position_table(units, self.config.width, x.device)
        mask = block_mask(units, self.config.block, x.device)[None, None]  # (1, 1, T, T)
        if lengths is not None:
            valid = torch.arange(units, device=x.device) < lengths[:, None]
            # A query always sees the first unit, so that no row of scores is empty.
            mask = mask.masked_fill(~valid[:, None, None], -torch.inf)
        for layer in self.encoders:
            x = layer(x, positions, mask)
        y: Tensor = self.after_norm(x)
        return y


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each behind its norm."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.self_attn = RelativeAttention(config.width, config.heads)
        self.feed_forward = FeedForward(config.width, config.feed_forward)
        self.norm_ff = Norm(config.width)
        self.norm_mha = Norm(config.width)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width); positions, mask: see RelativeAttention."""
        x = self.self_attn(self.norm_mha(x), positions, mask, x)
        y: Tensor = self.feed_forward(self.norm_ff(x), x)
        return y


class FeedForward(nn.Module):
    """add + W2 swish(W1 x)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.w_1 = Dense(width, inner, act="swish")
        self.w_2 = Dense(inner, width)

    def forward(self, x: Tensor, add: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        y: Tensor = self.w_2(self.w_1(x), add)
        return y


class RelativeAttention(nn.Module):
    """Attention whose scores also depend on the distance between query and key."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = Dense(width, width)
        self.linear_k = Dense(width, width)
        self.linear_v = Dense(width, width)
        self.linear_out = Dense(width, width)
        self.linear_pos = Dense(width, width, bias=False)
        head = (heads, width // heads)
        self.pos_bias_u = nn.Parameter(torch.empty(head), requires_grad=False)
        self.pos_bias_v = nn.Parameter(torch.empty(head), requires_grad=False)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor, add: Tensor) -> Tensor:
        """add + attention over x (B, T, width).

        positions: (2T - 1, width) of `position_table`. mask: added to the scores, see `block_mask`.
        """
        batch, units, width = x.shape
        split = (batch, units, self.heads, -1)
        q = self.linear_q(x).view(split)
        k = self.linear_k(x).view(split).transpose(1, 2)  # (B, heads, T, head)
        v = self.linear_v(x).view(split).transpose(1, 2)
        p = self.linear_pos(positions).view(2 * units - 1, self.heads, -1)
        content = (q + self.pos_bias_u).transpose(1, 2)
        distance = (q + self.pos_bias_v).transpose(1, 2) @ p.permute(1, 2, 0)  # (B, h, T, 2T - 1)
        bias = shifted(distance).float() / math.sqrt(width // self.heads) + mask
        y = F.scaled_dot_product_attention(content, k, v, attn_mask=bias.to(v.dtype))
        out: Tensor = self.linear_out(y.transpose(1, 2).reshape(x.shape), add)
        return out


def shifted(scores: Tensor) -> Tensor:
    """(B, h, T, 2T - 1) by row of the table -> (B, h, T, T) by key.

    Query i and key j take row (T - 1) - i + j: a view whose lines start one place earlier each.
    """
    scores = scores.contiguous()
    batch, heads, units, rows = scores.shape
    strides = (heads * units * rows, units * rows, rows - 1, 1)
    shape = (batch, heads, units, units)
    return scores.as_strided(shape, strides, scores.storage_offset() + units - 1)


def position_table(units: int, width: int, device: torch.device) -> Tensor:
    """(2 units - 1, width) float32: sines and cosines of the distances units - 1 ... 1 - units."""
    distance = torch.arange(units - 1, -units, -1.0, device=device)
    even = torch.arange(0, width, 2, dtype=torch.float32, device=device)
    angle = distance[:, None] * torch.exp(even * -(math.log(10_000.0) / width))
    return torch.stack((angle.sin(), angle.cos()), 2).flatten(1)


def block_mask(units: int, block: int, device: torch.device) -> Tensor:
    """(units, units) float32: 0 where a query sees a key, -inf where the key's block is later."""
    number = torch.arange(units, device=device) // block
    hidden = number[None] > number[:, None]
    return torch.zeros(units, units, device=device).masked_fill_(hidden, -torch.inf)


class LengthRegulator(nn.Module):
    """(B, T, C) at the rate of units -> (B, L, C) at that of mel frames."""

    def __init__(self, channels: int, stages: int = 4) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {}
        for stage in range(stages):  # the index in between is the activation's
            layers[str(3 * stage)] = TimeConv(channels, channels, 3)
            layers[str(3 * stage + 1)] = TimeGroupNorm(1, channels)
        layers[str(3 * stages)] = TimeConv(channels, channels, 1)
        self.model = nn.ModuleDict(layers)

    def forward(self, x: Tensor, places: Tensor, mask: Tensor | None = None) -> Tensor:
        """places: (B, L) which unit each frame repeats. mask: (B, L, 1), None: all frames count."""
        x = x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))
        for layer in self.model.values():
            if isinstance(layer, TimeGroupNorm):
                x = mish(layer(x, mask))
            else:
                x = layer(x if mask is None else x * mask)
        return x.float()


def stretch_places(units: int, frames: int) -> Tensor:
    """(frames,) int64: the unit that each frame repeats.

    In float32, as PyTorch's nearest neighbour does it; exact integers differ at a few places.
    """
    scale = torch.tensor(float(units)) / torch.tensor(float(frames))
    places = (torch.arange(frames, dtype=torch.float32) * scale).long()
    return places.clamp_(max=units - 1)
