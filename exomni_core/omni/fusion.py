# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and queries in, fused queries out: token-as-query gated fusion (TQGF, spec 5.3).

The same block stands in the speech generator (text tokens ask the language model's hidden states)
and in the face decoder (face frames ask the generator's). The memory is never updated, so its keys
and values are computed once, kept in a `FusionMemory`, and may grow while queries go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class FusionMemory:
    """Keys and values per layer, each (B, heads, M, head_width); `rows` is M."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows the memory holds."""
        return self.keys[0].shape[2] if self.keys else 0

    def add(self, other: FusionMemory) -> None:
        """Append the rows of `other`."""
        if not self.keys:
            self.keys, self.values = list(other.keys), list(other.values)
            return
        for own, new in ((self.keys, other.keys), (self.values, other.values)):
            own[:] = [torch.cat(pair, dim=2) for pair in zip(own, new, strict=True)]

    def keep(self, rows: int) -> None:
        """Forget all but the last `rows` rows."""
        if self.rows > rows:
            self.keys = [k[:, :, -rows:] for k in self.keys]
            self.values = [v[:, :, -rows:] for v in self.values]


class GatedAttention(nn.Module):
    """One attention branch, without its residual; parameter names are the checkpoint's."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.norm_text = nn.LayerNorm(width)
        self.norm_query = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, D) memory -> its keys and values, each (B, heads, M, head_width)."""
        keys, values = self.to_kv(self.norm_text(memory)).chunk(2, dim=-1)  # (B, M, I) each
        return self._split(keys), self._split(values)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """(B, n, D) queries and remembered keys and values -> what they add, (B, n, D)."""
        normal = self.norm_query(queries)  # (B, n, D)
        q = self._split(self.to_q(normal))  # (B, heads, n, head_width)
        attended = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        attended = attended.transpose(1, 2).flatten(2)  # (B, n, I)
        fused: Tensor = self.to_out(attended * torch.sigmoid(self.gate_proj(normal)))  # (B, n, D)
        return fused

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class GatedFusion(nn.Module):
    """All layers and the final norm: queries (B, n, D) ask a memory (B, M, D)."""

    def __init__(self, width: int, *, depth: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    GatedAttention(width, heads, head_width),
                    nn.Sequential(
                        nn.LayerNorm(width),
                        nn.Linear(width, 4 * width, bias=False),
                        nn.GELU(),
                        nn.Linear(4 * width, width, bias=False),
                    ),
                ]
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def remember(self, memory: Tensor) -> FusionMemory:
        """(B, M, D) memory -> keys and values of every layer."""
        pairs = [cast(nn.ModuleList, layer)[0].remember(memory) for layer in self.layers]  # type: ignore[operator]
        return FusionMemory([k for k, _ in pairs], [v for _, v in pairs])

    def ask(self, queries: Tensor, memory: FusionMemory, mask: Tensor | None = None) -> Tensor:
        """(B, n, D) queries -> (B, n, D).

        mask: (B, M) bool, True where the memory counts; (B, n, M) where that differs by query.
        """
        if mask is not None:
            mask = mask[:, None, None, :] if mask.dim() == 2 else mask[:, None]  # (B, 1, n|1, M)
        x = queries
        for layer, keys, values in zip(self.layers, memory.keys, memory.values, strict=True):
            attention, feed_forward = cast(nn.ModuleList, layer)
            x = x + attention(x, keys, values, mask)
            x = x + feed_forward(x)
        fused: Tensor = self.norm(x)
        return fused

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """`ask` with a memory (B, M, D) that is used once."""
        return self.ask(queries, self.remember(memory), mask)
