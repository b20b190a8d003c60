# SPDX-License-Identifier: GPL-3.0-or-later
"""Predictions and targets in, training losses out: face weights and speech units."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from exomni_core.omni.config import IGNORE_ID
from exomni_core.omni.nets.speech_generator import EXPANSION, SpeechGenerator


def face_loss(predicted: Tensor, target: Tensor, lengths: Tensor) -> Tensor:
    """Mean squared error over valid frames, averaged over samples; a scalar.

    predicted: (B, T', O), cut or zero-padded to the target's T. target: (B, T, O). lengths: (B,).
    """
    frames = target.shape[1]
    fitted = F.pad(predicted[:, :frames], (0, 0, 0, max(0, frames - predicted.shape[1]))).float()
    valid = (torch.arange(frames, device=target.device) < lengths[:, None]).float()  # (B, T)
    error = (fitted - target.float()).square().mean(dim=-1)  # (B, T)
    return ((error * valid).sum(dim=1) / (valid.sum(dim=1) + 1e-6)).mean()


def unit_loss(
    generator: SpeechGenerator,
    hidden: Tensor,
    text_labels: Tensor,
    text: Tensor,
    units: Tensor,
) -> tuple[Tensor, Tensor]:
    """Cross entropy of the speech units: (B,) losses, one per sample, and the logits.

    hidden: (B, L, H), of which rows with a label other than IGNORE_ID are the memory. text: (B, T)
    and units: (B, S), both padded with IGNORE_ID. Logits: (B, positions, units + 3).
    """
    memory, memory_mask = _labelled_rows(hidden, text_labels)
    there = text != IGNORE_ID
    mask = memory_mask.repeat_interleave(EXPANSION, dim=1)
    fused = generator.fuse(memory, text.masked_fill(~there, 0), mask)  # (B, T, 1024)
    rows, labels = [], []
    start, task = generator.llm_embedding.weight.split(1)
    for b in range(len(text)):
        said = units[b][units[b] != IGNORE_ID]
        words = fused[b][there[b]]
        rows.append(torch.cat((start, words, task, generator.speech_embedding(said), start)))
        ignored = said.new_full((len(words) + 2,), IGNORE_ID)
        labels.append(torch.cat((ignored, said, said.new_full((1,), generator.units))))
    vectors = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    targets = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORE_ID)
    lengths = torch.tensor([len(row) for row in rows], device=vectors.device)
    logits = generator.logits(
        generator.backbone.prefill(vectors, lengths=lengths, mask_padding=True)
    )
    losses = F.cross_entropy(
        logits[:, :-1].transpose(1, 2), targets[:, 1:], ignore_index=IGNORE_ID, reduction="none"
    )
    counted = (targets[:, 1:] != IGNORE_ID).sum(dim=1)
    return losses.sum(dim=1) / counted, logits


def _labelled_rows(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows with a label, moved to the front and zero-padded: (B, n, H) and their mask (B, n)."""
    rows = [h[label != IGNORE_ID] for h, label in zip(hidden, labels, strict=True)]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    counts = torch.tensor([len(row) for row in rows], device=hidden.device)
    return padded, torch.arange(padded.shape[1], device=hidden.device) < counts[:, None]
