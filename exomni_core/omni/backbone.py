# SPDX-License-Identifier: GPL-3.0-or-later
"""Vectors in, hidden states out: a Qwen3 body from transformers, run over a cache of ours.

Both language models are Qwen3. The layers are transformers' own; what is ours is the way through
them: a preallocated key-value cache in which every row of a batch has its own length, so that
prompts of different lengths decode together, and a step that never asks the host anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Qwen3Config, Qwen3Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

CPU_GROWTH: Final = 64  # positions by which a cache on the CPU is rounded up
CUDA_BUCKET: Final = 256  # on CUDA attention looks at whole buckets, so that few graphs are needed


def qwen3_config(sizes: Mapping[str, Any]) -> Qwen3Config:
    """Qwen3 fields as a config.json has them -> transformers' own config."""
    sizes = {k: v for k, v in sizes.items() if v is not None and k != "model_type"}
    config = Qwen3Config.from_dict(sizes)
    config._attn_implementation = "sdpa"
    return config


@dataclass
class KVCache:
    """Keys and values that were seen: per layer (B, groups, capacity, head_width).

    lengths: (B,) long on the device, positions that each row holds. longest: their maximum, known
    to the host without asking the device.
    """

    keys: list[Tensor]
    values: list[Tensor]
    lengths: Tensor
    longest: int = 0

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        return self.keys[0].shape[2]

    def reset(self) -> None:
        """Forget everything, keep the room."""
        self.lengths.zero_()
        self.longest = 0

    def reserve(self, positions: int) -> None:
        """Make room for `positions` in all; what is there stays."""
        if positions <= self.capacity:
            return
        positions = max(positions, self.capacity * 3 // 2)
        positions = -(-positions // CPU_GROWTH) * CPU_GROWTH
        for tensors in (self.keys, self.values):
            for i, old in enumerate(tensors):
                tensors[i] = F.pad(old, (0, 0, 0, positions - old.shape[2]))

    def forget(self, keep: int) -> None:
        """Keep the last `keep` positions of a cache with one row."""
        drop = self.longest - keep
        if drop <= 0:
            return
        for tensors in (self.keys, self.values):
            for tensor in tensors:
                tensor[:, :, :keep] = tensor[:, :, drop : drop + keep].clone()
        self.lengths -= drop
        self.longest = keep


class Backbone(nn.Module):
    """Qwen3 without its head. body: transformers' Qwen3Model, whose parameter names are used."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = qwen3_config(sizes)
        self.body = Qwen3Model(self.config)

    def renew_buffers(self) -> None:
        """Compute what no checkpoint holds (the rotary frequencies), on the weights' device."""
        self.body.rotary_emb = Qwen3RotaryEmbedding(self.config).to(self.device)

    @property
    def width(self) -> int:
        """Channels of a hidden state."""
        return int(self.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.body.norm.weight.device

    def embed(self, ids: Tensor) -> Tensor:
        """(B, n) token ids -> (B, n, H)."""
        embedded: Tensor = self.body.embed_tokens(ids)
        return embedded

    def new_cache(self, rows: int, capacity: int) -> KVCache:
        """An empty cache for `rows` prompts of up to `capacity` positions."""
        step = CUDA_BUCKET if self.device.type == "cuda" else CPU_GROWTH
        capacity = -(-capacity // step) * step
        config: Any = self.config
        like = self.body.norm.weight
        shape = (rows, config.num_key_value_heads, capacity, config.head_dim)
        layers = range(config.num_hidden_layers)
        return KVCache(
            [like.new_zeros(shape) for _ in layers],
            [like.new_zeros(shape) for _ in layers],
            torch.zeros(rows, dtype=torch.long, device=self.device),
        )

    def prefill(
        self,
        vectors: Tensor,
        cache: KVCache | None = None,
        lengths: Tensor | None = None,
        *,
        mask_padding: bool = False,
    ) -> Tensor:
        """(B, n, H) right-padded prompts into an empty cache -> hidden (B, n, H) after the norm.

        cache: None if nothing will follow. lengths: (B,) true lengths, if they differ. Padding
        never reaches a real position: attention is causal, and its keys are overwritten when the
        row goes on. mask_padding: hide it from itself too, as training in the release does.
        """
        rows, n, _ = vectors.shape
        if cache is not None:
            cache.reserve(n)
        positions = torch.arange(n, device=vectors.device).expand(rows, n)
        mask: Tensor | None = None
        if mask_padding and lengths is not None:
            mask = (positions[:, :, None] >= positions[:, None]) & (
                positions[:, None] < lengths[:, None, None]
            )
            mask = mask[:, None]  # (B, 1, n, n)
            positions = positions.masked_fill(positions >= lengths[:, None], 0)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if cache is not None:
                cache.keys[layer][:, :, :n] = k
                cache.values[layer][:, :, :n] = v
            return F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None and n > 1, enable_gqa=True
            )

        hidden = self._through(vectors, positions, attend)
        if cache is not None:
            cache.lengths.copy_(torch.full_like(cache.lengths, n) if lengths is None else lengths)
            cache.longest = n
        return hidden

    def extend(self, vectors: Tensor, cache: KVCache) -> Tensor:
        """(1, n, H) more vectors of a single row -> hidden (1, n, H)."""
        n, seen = vectors.shape[1], cache.longest
        cache.reserve(seen + n)
        positions = torch.arange(seen, seen + n, device=vectors.device)
        visible = torch.arange(seen + n, device=vectors.device) <= positions[:, None]  # (n, seen+n)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.keys[layer], cache.values[layer]
            keys[:, :, seen : seen + n] = k
            values[:, :, seen : seen + n] = v
            keys, values = keys[:, :, : seen + n], values[:, :, : seen + n]
            return F.scaled_dot_product_attention(
                q, keys, values, attn_mask=visible, enable_gqa=True
            )

        hidden = self._through(vectors, positions[None], attend)
        cache.lengths += n
        cache.longest += n
        return hidden

    def window(self, cache: KVCache) -> Tensor:
        """(w,) positions that the next `step` looks at; its length alone chooses the graph."""
        wanted = cache.longest + 1
        if self.device.type == "cuda":
            wanted = min(-(-wanted // CUDA_BUCKET) * CUDA_BUCKET, cache.capacity)
        return torch.arange(wanted, device=self.device)

    def step(self, vectors: Tensor, cache: KVCache, window: Tensor) -> Tensor:
        """(B, 1, H) one vector for each row -> hidden (B, 1, H).

        The caller reserves the room, passes `window(cache)`, and counts the new position in the
        cache afterwards. Only device tensors decide what happens, so that the step can be recorded
        as a CUDA graph.
        """
        rows = torch.arange(len(vectors), device=vectors.device)
        lengths, w = cache.lengths, len(window)
        mask: Tensor | None = (window <= lengths[:, None])[:, None, None]  # (B, 1, 1, w)
        if len(vectors) == 1 and vectors.device.type != "cuda":
            mask = None  # the window is exactly as long as the row

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.keys[layer], cache.values[layer]
            keys[rows, :, lengths] = k[:, :, 0]
            values[rows, :, lengths] = v[:, :, 0]
            # One query per row: fold its heads onto the key groups, so that no key is repeated.
            folded = q.unflatten(1, (keys.shape[1], -1))[:, :, :, 0]  # (B, groups, heads/group, w)
            attended = F.scaled_dot_product_attention(
                folded, keys[:, :, :w], values[:, :, :w], attn_mask=mask
            )
            return attended.flatten(1, 2).unsqueeze(2)  # (B, heads, 1, head_width)

        return self._through(vectors, lengths[:, None], attend)

    def _through(self, x: Tensor, positions: Tensor, attend: Any) -> Tensor:
        cos, sin = self.body.rotary_emb(x, positions)  # (B, n, head_width)
        cos, sin = cos[:, None], sin[:, None]
        layers: Any = self.body.layers
        for number, layer in enumerate(layers):
            attention = layer.self_attn
            normal = layer.input_layernorm(x)
            q, k, v = (
                p(normal).unflatten(-1, (-1, attention.head_dim))
                for p in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            q = _rotate(attention.q_norm(q).transpose(1, 2), cos, sin)  # (B, heads, n, head_width)
            k = _rotate(attention.k_norm(k).transpose(1, 2), cos, sin)  # (B, groups, n, head_width)
            attended = attend(number, q, k, v.transpose(1, 2))
            x = x + attention.o_proj(attended.transpose(1, 2).flatten(2))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        hidden: Tensor = self.body.norm(x)
        return hidden


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
