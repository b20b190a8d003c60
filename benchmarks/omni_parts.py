# SPDX-License-Identifier: GPL-3.0-or-later
"""A size's name in, parts of Ex-Omni with random weights and their stages out, for benchmarks.

Weights are drawn on the device in the wanted type, so eight billion of them never pass through the
host. Speed doesn't depend on what they say; lengths are fixed, so that both sides do equal work.
A stage is a function without arguments; the same stage starts from the same input on both sides.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from exomni_core.omni.config import QWEN3_06B, FaceConfig
from exomni_core.omni.decoding.decode_loop import DecodeLoop, Request
from exomni_core.omni.nets.backbone import Backbone
from exomni_core.omni.nets.face_decoder import FaceDecoder, frames_of
from exomni_core.omni.nets.language_model import LanguageModel, TextRule
from exomni_core.omni.nets.packing import pack
from exomni_core.omni.nets.sampling import TextSampling
from exomni_core.omni.nets.speech_generator import SpeechGenerator, UnitRule
from exomni_core.omni.speech.flow import Flow, FlowConfig
from exomni_core.omni.speech.flow_encoder import EncoderConfig
from exomni_core.omni.speech.flow_encoder import frames_of as mel_frames_of
from exomni_core.omni.speech.flow_estimator import EstimatorConfig
from exomni_core.omni.speech.speech_decoder import SpeechDecoder
from exomni_core.omni.speech.vocoder import Vocoder, VocoderConfig

PartType = TypeVar("PartType", bound=nn.Module)
STAGES = ("text", "units", "face", "flow", "vocoder")
SAMPLING = TextSampling()
Stages = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True)
class Sizes:
    """What is measured. prompt, tokens, units: lengths of the talk. sound_units: those sounded.

    llm, unit_lm: Qwen3 fields. vocab: speech units.
    """

    llm: Mapping[str, Any]
    unit_lm: Mapping[str, Any]
    face: FaceConfig
    vocab: int = 16_384
    flow: FlowConfig = field(default_factory=FlowConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    prompt: int = 40
    tokens: int = 100
    units: int = 200
    sound_units: int = 50


# Width, table and heads of the published face decoder aren't known; these follow from the others.
_QWEN3_8B = {
    "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 151936,
    "rope_theta": 1_000_000.0, "rms_norm_eps": 1e-6, "max_position_embeddings": 40960,
    "tie_word_embeddings": False, "attention_bias": False, "hidden_act": "silu",
}  # fmt: skip
_FACE = FaceConfig(
    width=512, unit_vocab=16_384, unit_width=512, heads=8, layers=6, outputs=52, period=25
)
# Qwen3 fields that all sizes share.
_QWEN = {"rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 40_960}
SIZES = {
    "tiny": Sizes(
        llm={
            **_QWEN, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "vocab_size": 300,
            "tie_word_embeddings": False,
        },
        unit_lm={
            **_QWEN, "hidden_size": 1024, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 64, "vocab_size": 300,
            "tie_word_embeddings": True,
        },
        face=FaceConfig(
            width=64, unit_vocab=64, unit_width=32, heads=4, layers=2, outputs=52, period=25
        ),
        vocab=64,
        flow=FlowConfig(
            vocab=64,
            encoder=EncoderConfig(inputs=32, width=32, heads=2, feed_forward=64, layers=2),
            estimator=EstimatorConfig(
                channels=(32, 32), blocks=1, middle=2, heads=2, head_width=16, feed_forward=64,
                time_inner=64,
            ),
        ),
        vocoder=VocoderConfig(channels=32, pitch_width=16),
        prompt=7, tokens=10, units=20, sound_units=20,
    ),
    "medium": Sizes(
        llm={
            **_QWEN, "hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8,
            "num_key_value_heads": 4, "head_dim": 64, "intermediate_size": 1536,
            "vocab_size": 151_936, "tie_word_embeddings": False,
        },
        unit_lm={**QWEN3_06B, "num_hidden_layers": 4},
        face=_FACE,
    ),
    "published": Sizes(llm=_QWEN3_8B, unit_lm=QWEN3_06B, face=_FACE, sound_units=200),
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """The parts that write, speak and move the face; the speech encoder isn't measured here."""

    llm: LanguageModel
    generator: SpeechGenerator
    face: FaceDecoder

    def pack(self) -> Parts:
        """All in their fastest form; final."""
        for part in (self.llm, self.generator, self.face):
            pack(part)
        return self


def make_parts(sizes: Sizes, device: torch.device, dtype: torch.dtype, seed: int = 0) -> Parts:
    """Random parts, not packed."""

    def make_generator() -> SpeechGenerator:
        return SpeechGenerator(
            sizes.unit_lm, text_width=int(sizes.llm["hidden_size"]), units=sizes.vocab
        )

    generator = random_part(make_generator, device, dtype, seed)
    # Lengths are fixed: neither the end nor the spare ids shall ever come.
    generator.llm_decoder.bias[sizes.vocab :] = -1e4
    return Parts(
        random_part(lambda: LanguageModel(sizes.llm), device, dtype, seed + 1),
        generator,
        random_part(lambda: FaceDecoder(sizes.face), device, dtype, seed + 2),
    )


def make_decoder_parts(
    sizes: Sizes, device: torch.device, dtype: torch.dtype, seed: int = 0
) -> tuple[Flow, Vocoder]:
    """Random flow and vocoder, not fused; the vocoder is always float32."""
    flow = random_part(lambda: Flow(sizes.flow), device, dtype, seed)
    vocoder = random_part(lambda: Vocoder(sizes.vocoder), device, torch.float32, seed)
    return flow, vocoder


def as_decoder(flow: Flow, vocoder: Vocoder) -> SpeechDecoder:
    """Both fused, as `SpeechDecoder.load` leaves them; final."""
    flow.fuse()
    vocoder.fuse_weight_norm()
    return SpeechDecoder(flow, vocoder)


def random_part(
    make: Callable[[], PartType], device: torch.device, dtype: torch.dtype, seed: int
) -> PartType:
    """A part drawn on `device`: matrices that keep lengths, norms of 1, no biases."""
    with torch.device("meta"):
        part = make().to(dtype).eval().requires_grad_(False)
    part.to_empty(device=device)
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in part.named_parameters():
        _fill(name, parameter.data, generator)
    return renewed(part)


def cast(part: PartType, dtype: torch.dtype) -> PartType:
    """A copy with the same weights in another type."""
    return renewed(copy.deepcopy(part).to(dtype))


def renewed(part: PartType) -> PartType:
    """The part with what no weight holds, after its weights came or changed."""
    for module in part.modules():
        if isinstance(module, Backbone):
            module.renew_buffers()
        if isinstance(module, LanguageModel):
            module.tie()
    return part


def _fill(name: str, values: Tensor, generator: torch.Generator) -> None:
    if values.dim() == 1:
        values.fill_(0.0 if name.endswith("bias") else 1.0)
    elif name.endswith("weight_g"):
        values.fill_(0.7)
    elif "embed" in name:
        values.normal_(0.0, 1.0 / math.sqrt(values.shape[-1]), generator=generator)
    else:
        values.normal_(0.0, values[0].numel() ** -0.5, generator=generator)


def random_ids(count: int, most: int, device: torch.device, seed: int = 0) -> Tensor:
    """(1, count) ids below `most`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, most, (1, count), generator=generator).to(device)


class Inputs:
    """What every stage starts from. The vocoder's is always float32."""

    def __init__(self, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> None:
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device)

        self.sizes, self.dtype = sizes, dtype
        width, vocoder = int(sizes.llm["hidden_size"]), sizes.vocoder
        self.prompt = normal(1, sizes.prompt, width).to(dtype)
        self.hidden = normal(1, sizes.tokens, width).to(dtype)
        self.text = random_ids(sizes.tokens - 1, sizes.unit_lm["vocab_size"], device)
        self.units = random_ids(sizes.units, sizes.vocab, device)
        self.unit_hidden = normal(1, sizes.units, sizes.unit_lm["hidden_size"]).to(dtype)
        self.sound = self.units[:, : sizes.sound_units]
        frames = mel_frames_of(sizes.sound_units)
        self.mel_noise, self.mel = (normal(1, vocoder.mel, frames) for _ in range(2))
        self.phases = normal(1, vocoder.harmonics, 1)
        self.phases[:, 0] = 0.0
        self.noise = normal(1, vocoder.harmonics, frames * vocoder.hop)


def our_stages(parts: Parts, decoder: SpeechDecoder, given: Inputs) -> Stages:
    """The engine's own way through the stages."""
    sizes, llm, generator = given.sizes, parts.llm, parts.generator
    text = DecodeLoop(
        llm.backbone, TextRule(llm, SAMPLING), rows=1, room=sizes.tokens, positions=sizes.prompt
    )
    units = DecodeLoop(
        generator.backbone,
        UnitRule(generator),
        rows=1,
        room=sizes.units,
        positions=sizes.tokens + 1,
    )

    def decode(loop: DecodeLoop, prompt: Tensor, count: int) -> Tensor:
        loop.admit([Request(prompt, count, count, seed=0)])
        loop.run(lambda: None)
        return loop.result(0).ids

    return {
        "text": lambda: decode(text, given.prompt, sizes.tokens),
        "units": lambda: decode(units, generator.prompt(given.hidden, given.text), sizes.units),
        "face": lambda: parts.face(given.unit_hidden, given.units),
        "flow": lambda: decoder.flow(given.sound, noise=given.mel_noise),
        "vocoder": lambda: decoder.vocoder(given.mel, phases=given.phases, noise=given.noise),
    }


def plain_stages(rivals: Mapping[str, Any], given: Inputs) -> Stages:
    """The rival's way (omni_rival.py); rivals: by stage."""
    sizes = given.sizes
    frames = frames_of(sizes.units)
    units, sound = given.units[0].tolist(), given.sound[0].tolist()
    return {
        "text": lambda: rivals["text"].write(given.prompt, sizes.tokens, SAMPLING),
        "units": lambda: rivals["units"].speak(given.hidden, given.text, sizes.units),
        "face": lambda: rivals["face"].animate(given.unit_hidden, units, frames),
        "flow": lambda: rivals["flow"](sound, given.mel_noise),
        "vocoder": lambda: rivals["vocoder"](given.mel, given.phases, given.noise),
    }
