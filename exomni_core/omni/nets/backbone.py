# SPDX-License-Identifier: GPL-3.0-or-later
"""Vectors in, hidden states out: a Qwen3 body from transformers, run over a cache of ours.

Both language models are Qwen3. The parameters are transformers' own; ours is the computation: a
preallocated key-value cache in which every row of a batch has its own length, so that prompts of
different lengths decode together, a step that never waits for the host, and `fuse`, which joins the
products of a layer and gives them their fastest form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Qwen3Config, Qwen3Model
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from exomni_core.omni.nets.dense import Product
from exomni_core.omni.nets.graphs import may_look

CPU_GROWTH: Final = 64  # positions by which a cache on the CPU is rounded up
CUDA_BUCKET: Final = 256  # on CUDA attention looks at whole buckets, so that few graphs are needed

# (layer, q (B, n, heads, w), k and v (B, n, groups, w)) -> (B, n, heads * w)
_Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


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
    to the host without asking the device. turns: the rotary table, see `Backbone.rotary`.
    """

    keys: list[Tensor]
    values: list[Tensor]
    lengths: Tensor
    turns: Tensor
    longest: int = 0

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        return self.keys[0].shape[2]

    def reset(self) -> None:
        """Forget everything, keep the room."""
        self.lengths.zero_()
        self.longest = 0


class Backbone(nn.Module):
    """Qwen3 without its head. body: transformers' Qwen3Model, whose parameter names are used."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = qwen3_config(sizes)
        self.body = Qwen3Model(self.config)
        self._fused: list[_Layer] = []

    def renew_buffers(self) -> None:
        """Compute what no checkpoint holds (the rotary frequencies), on the weights' device."""
        self.body.rotary_emb = Qwen3RotaryEmbedding(self.config).to(self.device)

    def fuse(self) -> None:
        """Join and pack the layers' products; final: the layers' parameters are freed.

        One layer at a time, so that the peak is the weights and one layer. Layers whose products
        aren't plain (quantized ones) stay as they are.
        """
        layers: Any = self.body.layers
        if self._fused:
            return
        for number, source in enumerate(layers):
            layer = _Layer(source)
            if layer.fuse():
                layers[number] = nn.Identity()  # keeps the numbers of the others
            self._fused.append(layer)

    @property
    def width(self) -> int:
        """Channels of a hidden state."""
        return int(self.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.body.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, hidden states and keys."""
        return self.body.embed_tokens.weight.dtype

    def embed(self, ids: Tensor) -> Tensor:
        """(B, n) token ids -> (B, n, H)."""
        embedded: Tensor = self.body.embed_tokens(ids)
        return embedded

    def new_cache(self, rows: int, capacity: int) -> KVCache:
        """An empty cache for `rows` prompts of up to `capacity` positions."""
        step = CUDA_BUCKET if self.device.type == "cuda" else CPU_GROWTH
        capacity = -(-capacity // step) * step
        config: Any = self.config
        like = self.body.embed_tokens.weight
        shape = (rows, config.num_key_value_heads, capacity, config.head_dim)
        layers = range(config.num_hidden_layers)
        return KVCache(
            [like.new_zeros(shape) for _ in layers],
            [like.new_zeros(shape) for _ in layers],
            torch.zeros(rows, dtype=torch.long, device=self.device),
            self.rotary(torch.arange(capacity, device=self.device)),
        )

    def reserve(self, cache: KVCache, positions: int) -> None:
        """Make room for `positions` in all; what is there stays."""
        if positions <= cache.capacity:
            return
        larger = self.new_cache(len(cache.lengths), max(positions, cache.capacity * 3 // 2))
        more = (0, 0, 0, larger.capacity - cache.capacity)
        cache.turns = larger.turns
        for tensors in (cache.keys, cache.values):
            tensors[:] = [F.pad(old, more) for old in tensors]

    def rotary(self, positions: Tensor) -> Tensor:
        """(..., n) positions -> (..., n, 2, head_width): cosines and sines.

        The first half of the sines is negated, as `_Layer` needs them. A loop computes this once
        for all its positions, where transformers does at every step.
        """
        like = self.body.embed_tokens.weight
        cos, sin = self.body.rotary_emb(like, positions.reshape(1, -1))  # (1, n, head_width)
        first, second = sin.chunk(2, dim=-1)
        table = torch.stack((cos, torch.cat((-first, second), dim=-1)), dim=2)
        return table.view(*positions.shape, 2, -1)

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
            self.reserve(cache, n)
        positions = torch.arange(n, device=vectors.device).expand(rows, n)
        mask: Tensor | None = None
        if mask_padding and lengths is not None:
            mask = (positions[:, :, None] >= positions[:, None]) & (
                positions[:, None] < lengths[:, None, None]
            )
            mask = mask[:, None]  # (B, 1, n, n)
            positions = positions.masked_fill(positions >= lengths[:, None], 0)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, heads, n, w)
            if cache is not None:
                cache.keys[layer][:, :, :n] = k
                cache.values[layer][:, :, :n] = v
            attended = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None and n > 1, enable_gqa=True
            )
            return attended.transpose(1, 2).flatten(2)

        hidden = self._through(vectors, self.rotary(positions), attend)
        if cache is not None:
            cache.lengths.copy_(torch.full_like(cache.lengths, n) if lengths is None else lengths)
            cache.longest = n
        return hidden

    def extend(self, vectors: Tensor, cache: KVCache) -> Tensor:
        """(1, n, H) more vectors of a single row -> hidden (1, n, H)."""
        n, seen = vectors.shape[1], cache.longest
        self.reserve(cache, seen + n)
        place = torch.arange(seen + n, device=vectors.device)
        hidden = self._append(vectors, cache, seen, _bias(place, place[seen:, None], vectors.dtype))
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
        lengths, w = cache.lengths, len(window)
        if len(vectors) == 1 and may_look(vectors):
            # A graph can't use the host's numbers, but here they spare an index and a mask.
            return self._append(vectors, cache, w - 1, None)
        rows = torch.arange(len(vectors), device=vectors.device)
        bias = _bias(window, lengths[:, None, None, None], vectors.dtype)  # (B, 1, 1, w)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.keys[layer], cache.values[layer]
            keys[rows, :, lengths] = k[:, 0]
            values[rows, :, lengths] = v[:, 0]
            return _attended(q, keys[:, :, :w], values[:, :, :w], bias)

        return self._through(vectors, cache.turns[lengths][:, None], attend)

    def _append(self, vectors: Tensor, cache: KVCache, seen: int, bias: Tensor | None) -> Tensor:
        """(1, n, H) behind the first `seen` positions; the host knows where that is."""
        end = seen + vectors.shape[1]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.keys[layer][:, :, :end], cache.values[layer][:, :, :end]
            keys[:, :, seen:] = k.transpose(1, 2)
            values[:, :, seen:] = v.transpose(1, 2)
            return _attended(q, keys, values, bias)

        return self._through(vectors, cache.turns[None, seen:end], attend)

    def _through(self, x: Tensor, turns: Tensor, attend: _Attend) -> Tensor:
        """turns: (1 or B, n, 2, head_width) of `rotary`."""
        cos, sin = turns.unsqueeze(-3).unbind(-2)  # (1 or B, n, 1, head_width)
        layers: Any = self._fused or [_Layer(source) for source in self.body.layers]
        for number, layer in enumerate(layers):
            q, k, v = layer.queries_keys_values(x, cos, sin)
            x = layer.output(attend(number, q, k, v), x)
            x = layer.feed_forward(x)
        hidden: Tensor = self.body.norm(x)
        return hidden


class _Layer:
    """A layer of the body: transformers' modules, or their products joined by `fuse`."""

    def __init__(self, source: Any) -> None:
        attention, mlp = source.self_attn, source.mlp
        self.head_width = attention.head_dim
        self.heads = attention.config.num_attention_heads
        self.groups = attention.config.num_key_value_heads
        self.norms = (source.input_layernorm, source.post_attention_layernorm)
        self.head_norms = (attention.q_norm, attention.k_norm)
        self.activation = mlp.act_fn
        self._apart: Any = (
            (attention.q_proj, attention.k_proj, attention.v_proj),
            (attention.o_proj,),
            (mlp.gate_proj, mlp.up_proj),
            (mlp.down_proj,),
        )
        self._products: list[Product] = []
        self._scales: Tensor | None = None

    def fuse(self) -> bool:
        """Join and pack; False if the products aren't plain."""
        if not all(is_plain(linear) for group in self._apart for linear in group):
            return False
        for group in self._apart:
            weight = torch.cat([linear.weight for linear in group])
            biases = [linear.bias for linear in group]
            product = Product(weight, None if biases[0] is None else torch.cat(biases))
            product.pack()
            self._products.append(product)
            for linear in group:
                linear.weight = None
        self._apart = ()
        self._scales = self._head_scales()
        return True

    def queries_keys_values(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, ...]:
        """(B, n, H) -> q (B, n, heads, w), k and v (B, n, groups, w); q and k normed and turned."""
        rows, n, _ = x.shape
        joined = self._product(0, _normal(x, self.norms[0]))
        every = joined.view(rows, n, -1, self.head_width)  # (B, n, heads + 2 groups, w)
        turning, v = every.split((self.heads + self.groups, self.groups), dim=2)
        scales = self._head_scales() if self._scales is None else self._scales
        eps = self.head_norms[0].variance_epsilon
        turning = torch.rms_norm(turning, (self.head_width,), None, eps) * scales
        # (a, b) -> (a cos - b sin, b cos + a sin); the table's sines carry the sign.
        turning = torch.addcmul(turning * cos, turning.roll(self.head_width // 2, -1), sin)
        q, k = turning.split((self.heads, self.groups), dim=2)
        return q, k, v

    def output(self, attended: Tensor, x: Tensor) -> Tensor:
        """x + what (B, n, heads * w) says."""
        return self._product(1, attended, x)

    def feed_forward(self, x: Tensor) -> Tensor:
        """x + the feed-forward branch, (B, n, H)."""
        gate, up = self._product(2, _normal(x, self.norms[1])).chunk(2, dim=-1)
        return self._product(3, self.activation(gate) * up, x)

    def _product(self, number: int, x: Tensor, add: Tensor | None = None) -> Tensor:
        if self._products:
            return self._products[number](x, add)
        parts = [linear(x) for linear in self._apart[number]]
        y = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        return y if add is None else add + y

    def _head_scales(self) -> Tensor:
        """(heads + groups, w): the norms' weights, so that queries and keys are normed at once."""
        q, k = self.head_norms
        return torch.cat((q.weight.expand(self.heads, -1), k.weight.expand(self.groups, -1)))


def is_plain(linear: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether it is a linear layer with ordinary weights."""
    # Quantizers leave the layer and put a kind of tensor of their own in it.
    return type(linear) is nn.Linear and type(linear.weight) is nn.Parameter


def _normal(x: Tensor, norm: Any) -> Tensor:
    return torch.rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)


def _bias(place: Tensor, last: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where place <= last, else -inf: made once a step, as a bool mask is converted each time."""
    seen = place <= last
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, -torch.inf)


def _attended(q: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """q (B, n, heads, w) ask keys and values (B, groups, m, w): (B, n, heads * w).

    The heads of a group become queries of the same keys, so that no key is repeated. bias: what is
    added to the scores, (B or 1, 1, n, m) or (n, m).
    """
    rows, n, heads, width = q.shape
    groups = keys.shape[1]
    share = heads // groups
    if n == 1:  # every step: nothing need be copied
        folded = q.view(rows, groups, share, width)
        attended = F.scaled_dot_product_attention(folded, keys, values, attn_mask=bias)
        return attended.reshape(rows, 1, -1)
    folded = q.view(rows, n, groups, share, width).permute(0, 2, 3, 1, 4)
    folded = folded.reshape(rows, groups, share * n, width)
    if bias is not None:
        bias = bias.repeat(share, 1)
    y = F.scaled_dot_product_attention(folded, keys, values, attn_mask=bias)
    return y.unflatten(2, (share, n)).permute(0, 3, 1, 2, 4).reshape(rows, n, -1)
