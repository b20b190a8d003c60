# SPDX-License-Identifier: GPL-3.0-or-later
"""Token ids and speech features in, the next token out: the language model that answers.

Qwen3 with a text head. Speech enters as a block of vectors in the place of a marker among
the token ids. For every token the hidden state that chose it is kept: the speech
generator speaks from those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from exomni_core.errors import InputError
from exomni_core.omni.config import SPEECH_MARKER_ID
from exomni_core.omni.nets.backbone import Backbone
from exomni_core.omni.nets.sampling import TextSampling, sample_text


class LanguageModel(nn.Module):
    """backbone.body holds the checkpoint's `model.*`, lm_head its `lm_head.weight`."""

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        super().__init__()
        self.backbone = Backbone(sizes)
        config = self.backbone.config
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()

    def tie(self) -> None:
        """Share the embedding with the head where the checkpoint does; again after loading."""
        if self.backbone.config.tie_word_embeddings:
            self.lm_head.weight = self.backbone.body.embed_tokens.weight

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., H) hidden after the final norm -> (..., V)."""
        scores: Tensor = self.lm_head(hidden)
        return scores

    def spliced(self, ids: Tensor, speech: Sequence[Tensor]) -> Tensor:
        """One prompt: (n,) ids with markers and a block (s, H) for each -> vectors (1, L, H).

        Raises InputError if there are more or fewer blocks than markers.
        """
        marked = (ids == SPEECH_MARKER_ID).nonzero()[:, 0].tolist()
        if len(marked) != len(speech):
            raise InputError(
                f"the prompt has {len(marked)} places for speech but {len(speech)} recordings; "
                "give one for each",
                field="audio",
            )
        words = self.backbone.embed(ids.masked_fill(ids == SPEECH_MARKER_ID, 0))  # (n, H)
        pieces, begin = [], 0
        for place, block in zip(marked, speech, strict=True):
            pieces += [words[begin:place], block.to(words.dtype)]
            begin = place + 1
        return torch.cat([*pieces, words[begin:]])[None]

    def teach(self, prompt: Tensor, answer: Tensor) -> Tensor:
        """Force the ids `answer` (1, N) after `prompt` (1, L, H).

        Returns the N + 1 hidden states that predict them and what follows, (1, N + 1, H).
        """
        vectors = torch.cat((prompt, self.backbone.embed(answer)), dim=1)
        return self.backbone.prefill(vectors)[:, prompt.shape[1] - 1 :]


@dataclass(frozen=True)
class TextRule:
    """How the decode loop chooses text. end_ids: tokens that end the answer."""

    model: LanguageModel
    sampling: TextSampling = TextSampling()
    end_ids: tuple[int, ...] = ()
    draws: int = 1
    stream: str = "text"
    _ends: dict[torch.device, Tensor] = field(default_factory=dict, compare=False)

    def choose(
        self, hidden: Tensor, made: Tensor, past: Tensor, uniforms: Tensor, least: Tensor
    ) -> Tensor:
        """(B, H) hidden, (B,) ids made, (B, room) past ids, (B, 1), (B,) -> (B,) ids."""
        logits = self.model.logits(hidden).float()  # (B, V)
        if self.end_ids:
            ends = self._end_tensor(logits.device)
            too_early = (made < least)[:, None].expand(-1, len(ends))
            logits = logits.index_copy(1, ends, logits[:, ends].masked_fill(too_early, -torch.inf))
        seen = None
        if self.sampling.repetition_penalty != 1.0:
            there = torch.arange(past.shape[1], device=past.device) < made[:, None]
            counts = torch.zeros_like(logits).scatter_add(1, past, there.to(logits.dtype))
            seen = counts > 0
        return sample_text(logits, uniforms[:, 0], self.sampling, seen)

    def ends(self, ids: Tensor) -> Tensor:
        """(B,) ids -> (B,) bool."""
        if not self.end_ids:
            return torch.zeros_like(ids, dtype=torch.bool)
        return (ids[:, None] == self._end_tensor(ids.device)).any(dim=1)

    def embed(self, ids: Tensor) -> Tensor:
        """(B,) ids -> (B, H)."""
        return self.model.backbone.embed(ids)

    def _end_tensor(self, device: torch.device) -> Tensor:
        # Made once: copying from the host would wait for the device at every step.
        if device not in self._ends:
            self._ends[device] = torch.tensor(self.end_ids, device=device)
        return self._ends[device]
