# SPDX-License-Identifier: GPL-3.0-or-later
"""The language model's hidden states and its text in, speech units and their hidden states out.

Spec 5: the hidden states become a memory of four rows each, the text tokens ask it, and the fused
vectors, between a start and a task vector, are the prompt of a small Qwen3 that writes speech units
one by one. The hidden state behind every unit also goes to the face decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from exomni_core.omni.nets.backbone import Backbone
from exomni_core.omni.nets.fusion import GatedFusion
from exomni_core.omni.nets.sampling import RECENT_UNITS, sample_unit

WIDTH: Final = 1024
EXPANSION: Final = 4  # memory rows for each hidden state
FUSION_DEPTH, FUSION_HEADS, FUSION_HEAD_WIDTH = 2, 16, 256
MIN_UNITS_PER_TOKEN, MAX_UNITS_PER_TOKEN = 2, 20


class SpeechGenerator(nn.Module):
    """Parameter names are the checkpoint's after `speech_generator.`.

    But for the unit language model, which is `backbone.body` here and `llm.model.model` there. Its
    text head is never needed and never loaded.
    """

    def __init__(self, unit_lm: Mapping[str, Any], *, text_width: int, units: int) -> None:
        super().__init__()
        self.units = units  # U_v; the end has this id, two spare ids follow
        self.backbone = Backbone(unit_lm)
        self.llm_embedding = nn.Embedding(2, WIDTH)
        self.speech_embedding = nn.Embedding(units + 3, WIDTH)
        self.llm_decoder = nn.Linear(WIDTH, units + 3)
        self.input_proj = nn.Sequential(
            nn.Linear(text_width, EXPANSION * WIDTH),
            nn.GELU(),
            nn.Linear(EXPANSION * WIDTH, EXPANSION * WIDTH),
        )
        self.tqgf = GatedFusion(
            WIDTH, depth=FUSION_DEPTH, heads=FUSION_HEADS, head_width=FUSION_HEAD_WIDTH
        )

    def memory(self, hidden: Tensor) -> Tensor:
        """(B, N, H) -> (B, 4N, 1024): row 4n + j holds every fourth channel from j on (5.1)."""
        z = self.input_proj(hidden)  # (B, N, 4096)
        return z.unflatten(-1, (WIDTH, EXPANSION)).transpose(2, 3).flatten(1, 2)

    def fuse(self, hidden: Tensor, text: Tensor, mask: Tensor | None = None) -> Tensor:
        """Text ids (B, n) ask the memory of hidden (B, N, H), mask (B, 4N): (B, n, 1024)."""
        return self.tqgf(self.backbone.embed(text), self.memory(hidden), mask)

    def prompt(self, hidden: Tensor, text: Tensor, mask: Tensor | None = None) -> Tensor:
        """`fuse` between the start and the task vector: (B, n + 2, 1024)."""
        start, task = self.llm_embedding.weight.expand(len(text), -1, -1).split(1, dim=1)
        if text.shape[1] == 0:
            return torch.cat((start, task), dim=1)
        return torch.cat((start, self.fuse(hidden, text, mask), task), dim=1)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., 1024) -> (..., units + 3)."""
        scores: Tensor = self.llm_decoder(hidden)
        return scores

    def teach(self, prompt: Tensor, units: Tensor) -> Tensor:
        """Force `units` (1, U) after `prompt` (1, n, 1024).

        Returns the hidden states that predict them and the end, (1, U + 1, 1024).
        """
        vectors = torch.cat((prompt, self.speech_embedding(units)), dim=1)
        return self.backbone.prefill(vectors)[:, prompt.shape[1] - 1 :]


@dataclass(frozen=True)
class UnitRule:
    """How the decode loop chooses units.

    The two spare ids never come. The end can't come before `least` units; the release draws again
    instead, endlessly if nothing else is likely. greedy: the most likely unit instead of a draw.
    """

    generator: SpeechGenerator
    greedy: bool = False
    draws: int = 2
    stream: str = "units"

    def choose(
        self, hidden: Tensor, made: Tensor, past: Tensor, uniforms: Tensor, least: Tensor
    ) -> Tensor:
        """(B, 1024) hidden, (B,) ids made, (B, room) past ids, (B, 2), (B,) -> (B,) ids."""
        end = self.generator.units
        logits = self.generator.logits(hidden).float()  # (B, U_v + 3)
        allowed = torch.arange(logits.shape[-1], device=logits.device) <= end
        too_early = (made < least)[:, None] & (
            torch.arange(len(allowed), device=made.device) == end
        )
        logits = logits.masked_fill(~allowed | too_early, -torch.inf)
        if self.greedy:
            return logits.argmax(dim=-1)
        place = made[:, None] - 1 - torch.arange(RECENT_UNITS, device=made.device)  # (B, 10)
        recent = past.gather(1, place.clamp(min=0)).masked_fill(place < 0, -1)
        return sample_unit(logits, uniforms, recent)

    def ends(self, ids: Tensor) -> Tensor:
        """(B,) ids -> (B,) bool."""
        return ids == self.generator.units

    def embed(self, ids: Tensor) -> Tensor:
        """(B,) ids -> (B, 1024)."""
        vectors: Tensor = self.generator.speech_embedding(ids)
        return vectors


def unit_limits(tokens: int) -> tuple[int, int]:
    """Fewest and most units for that many text tokens."""
    return MIN_UNITS_PER_TOKEN * tokens, MAX_UNITS_PER_TOKEN * tokens
