# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts as ids and blocks of speech in, one batch of vectors and labels for training out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from exomni_core.omni.config import IGNORE_ID, SPEECH_MARKER_ID
from exomni_core.omni.nets.language_model import LanguageModel


@dataclass(frozen=True)
class Batch:
    """Spliced prompts of equal length: vectors (B, L, H), labels, mask and positions (B, L)."""

    vectors: Tensor
    labels: Tensor
    mask: Tensor
    positions: Tensor


def splice_batch(
    model: LanguageModel,
    ids: Tensor,
    speech: Sequence[Tensor],
    *,
    mask: Tensor,
    labels: Tensor,
    padding_side: str = "right",
    most: int | None = None,
) -> Batch:
    """Rows of ids (B, n) with speech blocks, in the release's way, for training.

    Positions with mask 0 are dropped first. Blocks are taken in row order; a row without a marker
    still uses one up. Labels at speech are IGNORE_ID. Rows longer than `most` lose their end.
    """
    rows, names, block = [], [], 0
    for number in range(len(ids)):
        kept = mask[number].bool()
        row, label = ids[number][kept], labels[number][kept]
        count = int((row == SPEECH_MARKER_ID).sum())
        blocks = speech[block : block + count]
        block += max(count, 1)
        rows.append(model.spliced(row, blocks)[0][:most])
        names.append(_spliced_labels(row, label, blocks)[:most])
    longest = max(len(row) for row in rows)
    out = Batch(
        vectors=rows[0].new_zeros(len(rows), longest, rows[0].shape[1]),
        labels=ids.new_full((len(rows), longest), IGNORE_ID),
        mask=mask.new_zeros(len(rows), longest),
        positions=ids.new_zeros(len(rows), longest),
    )
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        first = longest - len(row) if padding_side == "left" else 0
        place = slice(first, first + len(row))
        out.vectors[number, place], out.labels[number, place] = row, name
        out.mask[number, place] = 1
        out.positions[number, place] = torch.arange(len(row), device=ids.device)
    return out


def _spliced_labels(row: Tensor, labels: Tensor, blocks: Sequence[Tensor]) -> Tensor:
    pieces, begin = [], 0
    for place, block in zip(
        (row == SPEECH_MARKER_ID).nonzero()[:, 0].tolist(), blocks, strict=True
    ):
        pieces += [labels[begin:place], labels.new_full((len(block),), IGNORE_ID)]
        begin = place + 1
    return torch.cat([*pieces, labels[begin:]])
