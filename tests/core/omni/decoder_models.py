# SPDX-License-Identifier: GPL-3.0-or-later
"""Small speech decoders with seeded random weights, for tests that need no golden data."""

from __future__ import annotations

import torch
from torch import nn

from exomni_core.omni.speech.flow import Flow, FlowConfig
from exomni_core.omni.speech.flow_encoder import EncoderConfig
from exomni_core.omni.speech.flow_estimator import EstimatorConfig
from exomni_core.omni.speech.vocoder import Vocoder, VocoderConfig

VOCAB = 64
FLOW = FlowConfig(
    vocab=VOCAB,
    encoder=EncoderConfig(inputs=32, width=32, heads=2, feed_forward=64, layers=2),
    estimator=EstimatorConfig(
        channels=(16, 16),
        blocks=1,
        middle=1,
        heads=2,
        head_width=16,
        feed_forward=32,
        time_inner=32,
    ),
)
VOCODER = VocoderConfig(channels=16, pitch_width=16)


def with_weights(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with weights that keep numbers at a reasonable size."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if name.endswith("alpha"):
            values = values.abs() + 0.3
        elif name.endswith("weight_g"):
            values = values * 0 + 0.7
        elif parameter.dim() > 1:
            values = values * parameter[0].numel() ** -0.5
        else:
            values = values * 0.05 + ("weight" in name)
        parameter.data = values
    if isinstance(model, Vocoder):  # a voice, now and then
        model.f0_predictor.classifier.weight.data *= 300
    return model


def small_flow(*, fused: bool = True) -> Flow:
    flow = with_weights(Flow(FLOW))
    if fused:
        flow.fuse()
    return flow


def small_vocoder(*, fused: bool = True) -> Vocoder:
    vocoder = with_weights(Vocoder(VOCODER), seed=1)
    if fused:
        vocoder.fuse_weight_norm()
    return vocoder


def units(count: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed + count)
    return torch.randint(0, VOCAB, (count,), generator=generator).tolist()
