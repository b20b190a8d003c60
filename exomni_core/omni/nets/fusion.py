# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and queries in, fused queries out: token-as-query gated fusion (TQGF).

The same block stands in the speech generator (text tokens ask the language model's hidden states)
and in the face decoder (face frames ask the generator's). The memory is never updated.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Queries (B, n, D) and memory (B, M, D) -> (B, n, D).

        mask: (B, M) bool, True where the memory counts.
        """
        if mask is not None:
            mask = mask[:, None, None, :]  # (B, 1, 1, M)
        x = queries
        for layer in self.layers:
            attention, feed_forward = cast(nn.ModuleList, layer)
            attention = cast(GatedAttention, attention)
            x = x + attention(x, *attention.remember(memory), mask)
            x = x + feed_forward(x)
        fused: Tensor = self.norm(x)
        return fused
