# SPDX-License-Identifier: GPL-3.0-or-later
"""Logits and one uniform number per draw in, token ids out: all on the device, row by row.

Every draw inverts a cumulative sum with a number that was drawn beforehand from the row's own seed.
So a row's tokens don't depend on its companions in a batch, nothing waits for the host, and a step
can be recorded as a CUDA graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from exomni_core.omni.nets.graphs import may_look

# The release's sampler for speech units.
NUCLEUS: Final = 0.8
MOST_CANDIDATES: Final = 25
RECENT_UNITS: Final = 10


@dataclass(frozen=True)
class TextSampling:
    """How reply text is drawn. temperature 0: always the likeliest. top_k 0: all tokens.

    The defaults are those of the release: 0.2, and Hugging Face's top_k of 50.
    """

    temperature: float = 0.2
    top_p: float = 1.0
    top_k: int = 50
    repetition_penalty: float = 1.0


def uniform_numbers(seeds: Sequence[int], draws: int, stream: str, device: torch.device) -> Tensor:
    """(rows, draws) numbers in [0, 1), each row from its own seed, the same on every device.

    stream: names the use, so that text and speech don't share their numbers.
    """
    rows = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(mixed_seed(seed, stream))
        rows.append(torch.rand(draws, generator=generator))
    return torch.stack(rows).to(device)


def mixed_seed(seed: int, stream: str) -> int:
    """A 63-bit seed of its own for each use of the user's seed."""
    import hashlib

    digest = hashlib.sha256(f"{seed}|{stream}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """(B, n) weights, not necessarily summing to 1, and (B,) uniforms -> (B,) chosen positions."""
    cumulative = probabilities.cumsum(dim=-1)
    total = cumulative[:, -1:].contiguous()
    # `right` skips entries of zero width; rounding may lead beyond the last one that has any,
    # which is where the sum first reaches the total.
    wanted = (uniform[:, None] * total).to(cumulative.dtype)
    place = torch.searchsorted(cumulative, wanted, right=True)
    return torch.minimum(place, torch.searchsorted(cumulative, total))[:, 0]


def sample_text(
    logits: Tensor, uniform: Tensor, how: TextSampling, seen: Tensor | None = None
) -> Tensor:
    """(B, V) logits -> (B,) ids. seen: (B, V) bool, tokens that the repetition penalty counts."""
    scores = logits.float()
    if seen is not None and how.repetition_penalty != 1.0:
        penalised = torch.where(
            scores > 0, scores / how.repetition_penalty, scores * how.repetition_penalty
        )
        scores = torch.where(seen, penalised, scores)
    if how.temperature <= 0:
        return scores.argmax(dim=-1)
    scores = scores / how.temperature
    kept = min(how.top_k or scores.shape[-1], scores.shape[-1])
    top, ids = scores.topk(kept, dim=-1)  # (B, k), descending
    probabilities = top.softmax(dim=-1)
    if how.top_p < 1.0:
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(before >= how.top_p, 0.0)
    chosen = draw(probabilities, uniform)
    return ids.gather(-1, chosen[:, None])[:, 0]


def nucleus(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """(B, V) -> the candidates' ids and probabilities, (B, 25) each, 0 where there are fewer.

    In descending order; the id that crosses the nucleus's mass is the last one in.
    """
    # Of equals the lower id comes first, on every device: in double there is room for a tie-break
    # far below what float32 tells apart.
    order = torch.arange(probabilities.shape[-1], device=probabilities.device, dtype=torch.float64)
    ids = (probabilities.double() * (1.0 - 1e-12 * order)).topk(
        min(MOST_CANDIDATES, probabilities.shape[-1]), dim=-1
    )[1]
    top = probabilities.gather(-1, ids)
    inside = torch.ones_like(top, dtype=torch.bool)
    inside[:, 1:] = top.cumsum(dim=-1)[:, :-1] < NUCLEUS
    return ids, top * inside


def sample_unit(logits: Tensor, uniforms: Tensor, recent: Tensor) -> Tensor:
    """Repetition-aware sampling: (B, V) logits, (B, 2) uniforms, (B, 10) last units -> (B,) ids.

    A nucleus pick that is among the last ten units is thrown away for a draw from everything.
    Ids that must not come have logits of -inf.
    """
    probabilities = logits.float().softmax(dim=-1)
    ids, candidates = nucleus(probabilities)
    pick = ids.gather(-1, draw(candidates, uniforms[:, 0])[:, None])[:, 0]
    repeated = is_repeated(pick, recent)
    if may_look(repeated) and not bool(repeated.any()):
        return pick  # to sum up all probabilities isn't free
    return torch.where(repeated, draw(probabilities, uniforms[:, 1]), pick)


def is_repeated(pick: Tensor, recent: Tensor) -> Tensor:
    """(B,) picks, (B, RECENT_UNITS) last units (-1 where there was none) -> (B,) bool."""
    return (recent == pick[:, None]).any(dim=-1)
