# SPDX-License-Identifier: GPL-3.0-or-later
"""A noisy mel, what it should say and the time in -> its velocity out: the flow's UNet.

Runs over (batch, time, channels). What depends on neither the mel nor the step (the share of all
other inputs in the first layers) and what depends on the step alone (the time's vectors) is made
once by `share` and `time_vectors`, and given to `velocity`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exomni_core.omni.nets.dense import (
    Dense,
    Norm,
    Product,
    TimeConv,
    TimeGroupNorm,
    TimeUpsample,
    can_pack,
    fuse_layers,
    mish,
    product_once,
    windows,
)

GROUPS: Final = 8
# Attention on CPUs.
QUERIES: Final = 512  # at once, so that the scores stay small
FRAMES_PER_THREAD: Final = 170  # from this many on, attend head by head: it keeps all threads busy


@dataclass(frozen=True)
class EstimatorConfig:
    """Sizes of the UNet; published defaults."""

    mel: int = 80
    inputs: int = 320  # mel, what it should say, speaker, known mel
    channels: tuple[int, ...] = (256, 256)
    blocks: int = 4  # transformers in a stage
    middle: int = 12
    heads: int = 8
    head_width: int = 64
    feed_forward: int = 1024
    time_inner: int = 1024


class ConvBlock(nn.Module):
    """Convolution, group norm, Mish."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.ModuleList([TimeConv(inputs, outputs, 3), TimeGroupNorm(GROUPS, outputs)])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, inputs) -> (B, T, outputs) float32; mask: (B, T, 1), None: all frames count."""
        return self.after_conv(self.block[0](masked(x, mask)), mask)

    def after_conv(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The rest, given the convolution's output."""
        return mish(self.block[1](x, mask))


class MelResBlock(nn.Module):
    """Two convolution blocks with the time's vector between them, beside a plain product."""

    def __init__(self, inputs: int, outputs: int, time_inner: int) -> None:
        super().__init__()
        self.width = outputs
        self.mlp = nn.ModuleDict({"1": Dense(time_inner, outputs)})
        self.block1 = ConvBlock(inputs, outputs)
        self.block2 = ConvBlock(outputs, outputs)
        self.res_conv = TimeConv(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, inputs) -> (B, T, outputs); time: (outputs,), added between the blocks."""
        h = self.block2(self.block1(x, mask) + time, mask)
        y: Tensor = self.res_conv(x, h)
        return y

    def from_shares(self, conv: Tensor, skip: Tensor, time: Tensor, mask: Tensor | None) -> Tensor:
        """The same, given the outputs of the first convolution and of `res_conv`."""
        y: Tensor = self.block2(self.block1.after_conv(conv, mask) + time, mask)
        return y + skip


class Attention(nn.Module):
    """Full self-attention over all frames, without positions."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = head_width**-0.5
        inner = heads * head_width
        self.to_q = Dense(width, inner, bias=False)
        self.to_k = Dense(width, inner, bias=False)
        self.to_v = Dense(width, inner, bias=False)
        self.to_out = nn.ModuleList([Dense(inner, width)])
        self._joined: Product | None = None

    def fuse(self) -> None:
        """Make the three products one; they free their own weights."""
        if self._joined is None:
            self._joined = self._join()
            self._joined.pack()
            del self.to_q, self.to_k, self.to_v

    def _join(self) -> Product:
        q = self.to_q.weight * self.scale  # exact: a power of two at the published sizes
        return Product(torch.cat((q, self.to_k.weight, self.to_v.weight)), None)

    def forward(self, x: Tensor, add: Tensor, seen: Tensor | None) -> Tensor:
        """add + attention over x (B, T, width); seen: see `attended`."""
        batch, frames, _ = x.shape
        qkv = (self._joined or self._join())(x)  # (B, T, 3 * inner)
        q, k, v = qkv.view(batch, frames, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = attended(q, k, v, seen).transpose(1, 2)  # (B, T, heads, head)
        out: Tensor = self.to_out[0](y.reshape(batch, frames, -1), add)
        return out


class FeedForward(nn.Module):
    """add + W2 gelu(W1 x)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        first = nn.Sequential(OrderedDict(proj=Dense(width, inner, act="gelu")))
        self.net = nn.ModuleDict({"0": first, "2": Dense(inner, width)})

    def forward(self, x: Tensor, add: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        y: Tensor = self.net["2"](self.net["0"](x), add)
        return y


class Transformer(nn.Module):
    """Attention and feed-forward, each behind its norm."""

    def __init__(self, width: int, config: EstimatorConfig) -> None:
        super().__init__()
        self.norm1 = Norm(width)
        self.attn1 = Attention(width, config.heads, config.head_width)
        self.norm3 = Norm(width)
        self.ff = FeedForward(width, config.feed_forward)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """(B, T, width) -> (B, T, width); seen: see `attended`."""
        x = self.attn1(self.norm1(x), x, seen)
        y: Tensor = self.ff(self.norm3(x), x)
        return y


class TimeMlp(nn.Module):
    """A time in [0, 1] -> the vector that all residual blocks see."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.linear_1 = Dense(inputs, inner, act="swish")
        self.linear_2 = Dense(inner, inner)

    def forward(self, times: Tensor) -> Tensor:
        """(K,) float32 -> (K, inner) float32."""
        half = self.inputs // 2
        index = torch.arange(half, dtype=torch.float32, device=times.device)
        rates = torch.exp(index * -(math.log(10_000.0) / (half - 1)))
        angle = 1000.0 * times[:, None] * rates
        y: Tensor = self.linear_2(self.linear_1(torch.cat((angle.sin(), angle.cos()), 1)))
        return y.float()


class Estimator(nn.Module):
    """The UNet. Each stage is [residual block, transformers, change of rate where there is one]."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        self.config = config
        self.time_mlp = TimeMlp(config.inputs, config.time_inner)
        down, last = config.channels, len(config.channels) - 1
        widths = (config.inputs, *down)
        self.down_blocks = nn.ModuleList(
            self._stage(
                widths[n], c, TimeConv(c, c, 3) if n == last else named(TimeConv(c, c, 3, 2))
            )
            for n, c in enumerate(down)
        )
        self.mid_blocks = nn.ModuleList(
            self._stage(down[-1], down[-1]) for _ in range(config.middle)
        )
        up = (*down[-2::-1], down[0]) if last else down
        widths = (down[-1], *up)
        self.up_blocks = nn.ModuleList(
            self._stage(
                widths[n] + down[last - n],
                c,
                TimeConv(c, c, 3) if n == last else named(TimeUpsample(c, c)),
            )
            for n, c in enumerate(up)
        )
        self.final_block = ConvBlock(up[-1], up[-1])
        self.final_proj = TimeConv(up[-1], config.mel, 1)
        self._first: tuple[Product, Product] | None = None
        self._widths = [block.width for block in self.residual_blocks()]

    def _stage(self, inputs: int, outputs: int, *rate: nn.Module) -> nn.ModuleList:
        config = self.config
        blocks = nn.ModuleList(Transformer(outputs, config) for _ in range(config.blocks))
        return nn.ModuleList([MelResBlock(inputs, outputs, config.time_inner), blocks, *rate])

    def residual_blocks(self) -> list[MelResBlock]:
        """All residual blocks, in the order in which they run."""
        stages = (*self.down_blocks, *self.mid_blocks, *self.up_blocks)
        return [cast(MelResBlock, cast(nn.ModuleList, stage)[0]) for stage in stages]

    def fuse(self) -> None:
        """Make all products ready; no state dict fits afterwards."""
        if self._first is not None:
            return
        self._first = self._first_products()
        for product in self._first:
            product.pack()
        for module in self.modules():
            if isinstance(module, Attention):
                module.fuse()
        fuse_layers(self)

    def _first_products(self) -> tuple[Product, Product]:
        """The noisy mel's own share of the first convolution and of the first `res_conv`."""
        block = self.residual_blocks()[0]
        conv = cast(TimeConv, block.block1.block[0])
        return conv.split(self.config.mel), block.res_conv.split(self.config.mel)

    def time_vectors(self, times: Tensor) -> Tensor:
        """(K,) times -> (K, sum of widths): what each residual block adds at each time, joined."""
        hidden = mish(self.time_mlp(times))
        return torch.cat([block.mlp["1"](hidden).float() for block in self.residual_blocks()], 1)

    def share(
        self, mu: Tensor, speaker: Tensor, cond: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The share of all inputs but the noisy mel in the first two layers, biases included.

        mu, cond: (B, L, mel). speaker: (B, mel). Gives (B, L, C) float32 twice, for `velocity`.
        """
        block = self.residual_blocks()[0]
        spread = speaker[:, None].expand(-1, mu.shape[1], -1)
        given = masked(torch.cat((torch.zeros_like(mu), mu, spread, cond), 2), mask)
        return block.block1.block[0](given).float(), block.res_conv(given).float()

    def velocity(
        self,
        x: Tensor,
        conv: Tensor,
        skip: Tensor,
        time: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """(n B, L, mel) float32: the velocities of x (B, L, mel) float32 under n sets of inputs.

        conv, skip: (n B, L, C) of `share`, set after set. time: a row of `time_vectors`.
        mask: (n B, L, 1) float32, 1 for frames that count; None: all do.
        """
        from_conv, from_skip = self._first or self._first_products()
        shown = masked(x, None if mask is None else mask[: len(x)])
        sets = len(conv) // len(x)
        conv = conv + from_conv(windows(shown, 3)).repeat(sets, 1, 1)
        skip = skip + from_skip(shown).repeat(sets, 1, 1)
        return self._unet(conv, skip, list(torch.split(time, self._widths)), mask)

    def _unet(self, conv: Tensor, skip: Tensor, times: list[Tensor], mask: Tensor | None) -> Tensor:
        x, skips, masks = conv, [], [mask]
        for number, stage in enumerate(self.down_blocks):
            res, blocks, rate = cast(nn.ModuleList, stage)
            mask = masks[-1]
            time = times.pop(0)
            if number == 0:
                x = cast(MelResBlock, res).from_shares(conv, skip, time, mask)
            else:
                x = res(x, time, mask)
            x = transformed(x, cast(nn.ModuleList, blocks), mask)
            skips.append(x)
            x = rate(masked(x, mask))
            if number < len(self.down_blocks) - 1:
                masks.append(None if mask is None else mask[:, ::2])
        for stage in self.mid_blocks:
            res, blocks = cast(nn.ModuleList, stage)
            x = transformed(res(x, times.pop(0), masks[-1]), cast(nn.ModuleList, blocks), masks[-1])
        for stage in self.up_blocks:
            res, blocks, rate = cast(nn.ModuleList, stage)
            saved, mask = skips.pop(), masks.pop()
            x = torch.cat((x[:, : saved.shape[1]], saved), 2)
            x = transformed(res(x, times.pop(0), mask), cast(nn.ModuleList, blocks), mask)
            x = rate(masked(x, mask))
        y: Tensor = self.final_proj(self.final_block(x, mask))
        return y.float()


def transformed(x: Tensor, blocks: nn.ModuleList, mask: Tensor | None) -> Tensor:
    """x (B, T, C) through the transformers of a stage."""
    seen = None if mask is None else (mask > 0).transpose(1, 2).unsqueeze(1)  # (B, 1, 1, T)
    for block in blocks:
        x = block(x, seen)
    return x


def attended(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
    """softmax(q k^T) v over (B, heads, T, head); seen: (B, 1, 1, T), False for keys to ignore."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        # PyTorch's own kernel doesn't use a CPU's bfloat16 products; plain ones take half the time.
        return torch.cat([_attended_part(part, k, v, seen) for part in q.split(QUERIES, 2)], 2)
    enough = FRAMES_PER_THREAD * torch.get_num_threads()
    if seen is None and q.shape[2] >= enough and q.dtype == torch.float32 and can_pack(q):
        return _attended_by_heads(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=1.0)


def _attended_part(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
    scores = q @ k.transpose(2, 3)
    if seen is not None:
        scores.masked_fill_(~seen, -torch.inf)
    return scores.softmax(3) @ v


def _attended_by_heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """With oneDNN's products, head by head: for long rows a third to two thirds faster."""
    batch, heads, frames, width = q.shape
    y = q.new_empty(batch, frames, heads, width)
    for row in range(batch):
        for head in range(heads):
            keys, values = k[row, head].contiguous(), v[row, head].T.contiguous()
            for begin in range(0, frames, QUERIES):
                part = slice(begin, begin + QUERIES)
                scores = product_once(q[row, head, part].contiguous(), keys).softmax(1)
                y[row, part, head] = product_once(scores, values)
    return y.transpose(1, 2)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """x with zeros where the mask is 0, as a convolution at a row's own end would see them."""
    return x if mask is None else x * mask


def named(layer: nn.Module) -> nn.Sequential:
    """The layer under the name `conv`."""
    return nn.Sequential(OrderedDict(conv=layer))
