# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech units in -> a mel spectrogram out, by conditional flow matching.

Noise becomes a mel in ten Euler steps; each asks the estimator twice, with and without what the mel
should say, and goes further along the difference. Both answers are one batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exomni_core.omni.nets.dense import Dense, length_mask
from exomni_core.omni.nets.graphs import GraphCache
from exomni_core.omni.speech.flow_encoder import (
    MEL_HOP,
    BlockEncoder,
    EncoderConfig,
    LengthRegulator,
    frames_of,
    stretch_places,
)
from exomni_core.omni.speech.flow_estimator import Estimator, EstimatorConfig
from exomni_core.omni.speech.speech_noise import NoiseBank

STEPS: Final = 10
GUIDANCE: Final = 0.7
# On CUDA frames are padded to a multiple of this, so that few graphs serve all lengths.
BUCKET_FRAMES: Final = 64


@dataclass(frozen=True)
class FlowConfig:
    """Sizes of the flow; published defaults."""

    vocab: int = 16_384
    mel: int = 80
    speaker: int = 192
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)

    @classmethod
    def from_state_dict(
        cls, shapes: Mapping[str, Sequence[int]], *, heads: int | None = None
    ) -> FlowConfig:
        """The sizes behind the tensors' shapes; KeyError if one is missing.

        heads: of the estimator, which no shape defines; by default 64 wide each where that divides
        their joint width, else 16.
        """
        vocab, inputs = shapes["input_embedding.weight"]
        mel, width = shapes["encoder_proj.weight"]
        attention = "decoder.estimator.down_blocks.0.1.0"
        inner = shapes[f"{attention}.attn1.to_q.weight"][0]
        heads = heads or inner // (64 if inner % 64 == 0 else 16) or 1
        time_inner, time_width = shapes["decoder.estimator.time_mlp.linear_1.weight"]
        down = count(shapes, r"decoder\.estimator\.down_blocks\.(\d+)\.")
        conv = "decoder.estimator.down_blocks.{}.0.res_conv.weight"
        return cls(
            vocab=vocab,
            mel=mel,
            speaker=shapes["spk_embed_affine_layer.weight"][1],
            encoder=EncoderConfig(
                inputs=inputs,
                width=width,
                heads=shapes["encoder.encoders.0.self_attn.pos_bias_u"][0],
                feed_forward=shapes["encoder.encoders.0.feed_forward.w_1.weight"][0],
                layers=count(shapes, r"encoder\.encoders\.(\d+)\."),
            ),
            estimator=EstimatorConfig(
                mel=mel,
                inputs=time_width,
                channels=tuple(shapes[conv.format(n)][0] for n in range(down)),
                blocks=count(shapes, r"decoder\.estimator\.down_blocks\.0\.1\.(\d+)\."),
                middle=count(shapes, r"decoder\.estimator\.mid_blocks\.(\d+)\."),
                heads=heads,
                head_width=inner // heads,
                feed_forward=shapes[f"{attention}.ff.net.0.proj.weight"][0],
                time_inner=time_inner,
            ),
        )


class Flow(nn.Module):
    """Units to mel; parameters named as in flow.pt.

    Call `fuse` after loading and moving: it makes everything several times faster, and is final.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.input_embedding = nn.Embedding(config.vocab, config.encoder.inputs)
        self.spk_embed_affine_layer = Dense(config.speaker, config.mel)
        self.encoder = BlockEncoder(config.encoder)
        self.encoder_proj = Dense(config.encoder.width, config.mel)
        self.length_regulator = LengthRegulator(config.mel)
        self.decoder = nn.ModuleDict({"estimator": Estimator(config.estimator)})
        self.bucket_frames = 0  # 0: what suits the device
        self._times: dict[Any, Tensor] = {}
        self._velocity = GraphCache(self._guided)

    @property
    def estimator(self) -> Estimator:
        """The UNet inside."""
        estimator = self.decoder["estimator"]
        assert isinstance(estimator, Estimator)
        return estimator

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.input_embedding.weight.device

    def fuse(self) -> None:
        """Turn the estimator's weights into their fastest form; no state dict fits afterwards.

        The rest is a hundredth of the work, and PyTorch's own product rounds a little less there.
        """
        self.estimator.fuse()

    @torch.inference_mode()
    def speaker_share(self, speaker: Tensor | None = None) -> Tensor:
        """(B, 192) speaker vectors, None for the release's zeros -> (B, mel) float32."""
        if speaker is None:
            speaker = torch.zeros(1, self.config.speaker, device=self.device)
        y: Tensor = self.spk_embed_affine_layer(F.normalize(speaker.float(), dim=1))
        return y.float()

    @torch.inference_mode()
    def encode(
        self,
        units: Tensor,
        *,
        lengths: Sequence[int] | None = None,
        frames: Sequence[int] | None = None,
    ) -> Tensor:
        """(B, T) int64 units -> (B, L, mel) float32: what each frame should say.

        lengths: units that count in each row, all by default. frames: mel frames of each row,
        `frames_of` its units by default; L is the largest. Negative units count as 0.
        """
        many = list(lengths or [units.shape[1]] * len(units))
        wanted = list(frames or [frames_of(n) for n in many])
        ragged = len(set(many)) > 1 or len(set(wanted)) > 1
        device = units.device
        x = self.input_embedding(units.clamp(min=0)).float()  # (B, T, inputs)
        x = self.encoder(x, torch.tensor(many, device=device) if ragged else None)
        x = self.encoder_proj(x)  # (B, T, mel)
        longest = max(wanted)
        places = torch.zeros(len(units), longest, dtype=torch.int64)
        for row, (n, count_) in enumerate(zip(many, wanted, strict=True)):
            places[row, :count_] = stretch_places(n, count_)
        mask = length_mask(torch.tensor(wanted, device=device), longest) if ragged else None
        y: Tensor = self.length_regulator(x, places.to(device), mask)
        return y if mask is None else y * mask

    @torch.inference_mode()
    def forward(
        self,
        units: Tensor,
        *,
        noise: Tensor | None = None,
        lengths: Sequence[int] | None = None,
        frames: Sequence[int] | None = None,
        speaker: Tensor | None = None,
        prompt_mel: Tensor | None = None,
        steps: int = STEPS,
    ) -> Tensor:
        """(B, T) int64 units -> (B, mel, L - P) float32 mel, the prompt's frames removed.

        units: those of the prompt first. noise: (B, mel, L) standard normal, what the solver
        starts from; None for that of seed 0. prompt_mel: (B, mel, P), the mel that is known
        already. lengths, frames: see `encode`; frames behind a row's own are 0. speaker: (B, 192).
        """
        mu = self.encode(units, lengths=lengths, frames=frames)  # (B, L, mel)
        longest = mu.shape[1]
        many = list(lengths or [units.shape[1]] * len(units))
        counts = list(frames or [frames_of(n) for n in many])
        cond = torch.zeros_like(mu)
        known = 0
        if prompt_mel is not None:
            known = prompt_mel.shape[2]
            cond[:, :known] = prompt_mel.transpose(1, 2)
        bucket = self.bucket_frames or (BUCKET_FRAMES if mu.is_cuda else 1)
        padded = -(-longest // bucket) * bucket
        mask = None
        if any(n != padded for n in counts):
            mask = length_mask(torch.tensor(counts, device=mu.device), padded)
        if noise is None:
            bank = NoiseBank(0, mel=self.config.mel, harmonics=0, hop=MEL_HOP)
            noise = bank.mel(0, longest).to(mu.device).expand(len(mu), -1, -1)
        more = (0, 0, 0, padded - longest)
        x = F.pad(noise.transpose(1, 2).float(), more)
        x = self._solve(
            x,
            F.pad(mu, more),
            self.speaker_share(speaker).expand(len(mu), -1),
            F.pad(cond, more),
            mask,
            steps,
        )
        if mask is not None:
            x = x * mask
        return x[:, known:longest].transpose(1, 2)

    def _solve(
        self, x: Tensor, mu: Tensor, speaker: Tensor, cond: Tensor, mask: Tensor | None, steps: int
    ) -> Tensor:
        """x (B, L, mel) after all steps from time 0 to 1."""
        guided = self.estimator.share(mu, speaker, cond, mask)
        nothing = torch.zeros_like(mu)
        free = self.estimator.share(nothing, torch.zeros_like(speaker), nothing, mask)
        conv, skip = (torch.cat(pair) for pair in zip(guided, free, strict=True))
        masks = () if mask is None else (mask.repeat(2, 1, 1),)
        times, lasts = time_grid(steps)
        vectors = self.time_table(times)
        for step, last in enumerate(lasts):
            v = self._velocity(x, conv, skip, vectors[step], *masks)
            x = torch.add(x, v, alpha=last)
        return x

    def _guided(
        self, x: Tensor, conv: Tensor, skip: Tensor, time: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        with_, without = self.estimator.velocity(x, conv, skip, time, mask).chunk(2)
        return torch.add((1.0 + GUIDANCE) * with_, without, alpha=-GUIDANCE)

    def time_table(self, times: Sequence[float]) -> Tensor:
        """(K, sum of widths) float32 of K times; kept for the next call."""
        key = (tuple(times), self.device, self.input_embedding.weight.dtype)
        if key not in self._times:
            self._times[key] = self.estimator.time_vectors(torch.tensor(times, device=self.device))
        return self._times[key]


def time_grid(steps: int = STEPS) -> tuple[list[float], list[float]]:
    """The times of all Euler steps and how long each lasts, in float32's arithmetic."""
    tau = 1 - torch.cos(torch.linspace(0, 1, steps + 1) * 0.5 * math.pi)
    now, lasts = tau[0], tau[1] - tau[0]
    times, lengths = [], []
    for step in range(1, steps + 1):
        times.append(float(now))
        lengths.append(float(lasts))
        now = now + lasts
        if step < steps:
            lasts = tau[step + 1] - now
    return times, lengths


def count(shapes: Mapping[str, Sequence[int]], pattern: str) -> int:
    """One more than the largest number that `pattern` finds at the start of a name; 0 for none."""
    found = [match for name in shapes if (match := re.match(pattern, name))]
    return max((int(match[1]) + 1 for match in found), default=0)
