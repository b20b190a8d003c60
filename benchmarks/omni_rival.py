# SPDX-License-Identifier: GPL-3.0-or-later
"""The same weights in, the same talk out the plain way: what the neural engine is measured against.

A straightforward eager loop as research code has it, written by us: transformers' own causal
language models with a growing cache, logits of every prompt position, hidden states of all layers
kept at every step, the unit model's unused text head evaluated each time, a sampler in Python that
asks the device for every candidate, a face decoder of torch's own encoder layers. Nothing is slower
on purpose: inference mode, SDPA attention, batch 1.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import DynamicCache, Qwen3ForCausalLM

from exomni_core.omni.nets.backbone import Backbone
from exomni_core.omni.nets.face_decoder import FaceDecoder
from exomni_core.omni.nets.language_model import LanguageModel
from exomni_core.omni.nets.sampling import TextSampling
from exomni_core.omni.nets.speech_generator import SpeechGenerator

NUCLEUS, CANDIDATES, RECENT = 0.8, 25, 10
# transformers renamed its cache's argument in version 5.
_CACHE = next(
    name
    for name in ("cache", "past_key_values")
    if name in inspect.signature(Qwen3ForCausalLM.forward).parameters
)


def causal_lm(backbone: Backbone, head: Tensor | None) -> Qwen3ForCausalLM:
    """transformers' whole model over the weights of ours; head: (V, H), None for a tied one."""
    config = copy.deepcopy(backbone.config)
    config.tie_word_embeddings = False  # shared below, whatever the config says
    with torch.device("meta"):
        model = Qwen3ForCausalLM(config)
    weights = {f"model.{name}": p for name, p in backbone.body.named_parameters()}
    tied = backbone.body.embed_tokens.weight
    weights["lm_head.weight"] = tied if head is None else head
    model.load_state_dict(weights, strict=True, assign=True)
    model.model.rotary_emb = copy.deepcopy(backbone.body.rotary_emb)
    return model.eval().requires_grad_(False)


def twin(part: nn.Module) -> Any:
    """A second module over the same tensors, so that packing the first leaves it as it is."""
    memo = {id(p): p for p in (*part.parameters(), *part.buffers())}
    return copy.deepcopy(part, memo)


class RivalText:
    """The language model's loop."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = causal_lm(model.backbone, model.lm_head.weight)

    @torch.inference_mode()
    def write(
        self, prompt: Tensor, tokens: int, how: TextSampling, end: int = -1
    ) -> tuple[Tensor, Tensor]:
        """(1, L, H) prompt -> (1, N) ids and the hidden states that chose them, (1, N, H)."""
        cache = DynamicCache()
        inputs: dict[str, Any] = {"inputs_embeds": prompt}
        ids: list[Tensor] = []
        kept: list[tuple[Tensor, ...]] = []
        for _ in range(tokens):
            out = self.model(**inputs, **{_CACHE: cache}, use_cache=True, output_hidden_states=True)
            kept.append(out.hidden_states)
            token = self._chosen(out.logits[:, -1].float(), how)  # (1, 1)
            ids.append(token)
            if int(token) == end:  # the host waits for every token
                break
            inputs = {"input_ids": token}
        hidden = torch.cat([states[-1][:, -1:] for states in kept], dim=1)
        return torch.cat(ids, dim=1), hidden

    def _chosen(self, scores: Tensor, how: TextSampling) -> Tensor:
        if how.temperature <= 0:
            return scores.argmax(dim=-1, keepdim=True)
        scores = scores / how.temperature
        if how.top_k:
            least = scores.topk(how.top_k)[0][:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        return torch.multinomial(scores.softmax(dim=-1), 1)


class RivalUnits:
    """The speech generator's loop. greedy: the likeliest unit instead of a draw."""

    def __init__(self, generator: SpeechGenerator, *, greedy: bool = False) -> None:
        self.parts = twin(generator)
        self.model = causal_lm(generator.backbone, None)
        self.greedy = greedy

    @torch.inference_mode()
    def speak(self, hidden: Tensor, text: Tensor, units: int) -> tuple[list[int], Tensor]:
        """Hidden states (1, N, H) and text ids (1, n) -> U units and their hidden (1, U, 1024)."""
        cache = DynamicCache()
        vectors = self.parts.prompt(hidden, text)  # (1, n + 2, 1024)
        end = self.parts.units
        made: list[int] = []
        rows: list[Tensor] = []
        for _ in range(units):
            # Its text head runs too, over all prompt positions and then for every unit.
            out = self.model(
                inputs_embeds=vectors, **{_CACHE: cache}, use_cache=True, output_hidden_states=True
            )
            last = out.hidden_states[-1][:, -1:]
            rows.append(last)
            scores = self.parts.llm_decoder(last)[0, 0].log_softmax(dim=-1)
            unit = int(scores.argmax()) if self.greedy else drawn_unit(scores, made)
            if unit >= end:
                break
            made.append(unit)
            ids = torch.tensor([[unit]], device=vectors.device)
            vectors = self.parts.speech_embedding(ids)
        return made, torch.cat(rows, dim=1)


def drawn_unit(scores: Tensor, made: list[int]) -> int:
    """(V,) log-probabilities and the units so far -> a unit, by the repetition-aware rule."""
    probabilities = scores.softmax(dim=0)
    values, ids = probabilities.sort(descending=True, stable=True)
    kept_values, kept_ids, total = [], [], 0.0
    for place in range(CANDIDATES):
        if total >= NUCLEUS:
            break
        value = float(values[place])  # the host waits for every candidate
        total += value
        kept_values.append(value)
        kept_ids.append(int(ids[place]))
    nucleus = torch.tensor(kept_values, device=scores.device)
    unit = kept_ids[int(torch.multinomial(nucleus, 1))]
    if unit in made[-RECENT:]:
        unit = int(torch.multinomial(scores.softmax(dim=0), 1))
    return unit


class RivalFace:
    """The face decoder over the whole clip, with torch's own encoder layers."""

    def __init__(self, face: FaceDecoder) -> None:
        self.parts = twin(face)
        config = face.config
        with torch.device("meta"):
            layer = nn.TransformerEncoderLayer(
                config.width, config.heads, 2 * config.width, dropout=0.0, batch_first=True
            )
            self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        weights = {name: p for name, p in face.named_parameters() if name.startswith("layers.")}
        self.encoder.load_state_dict(weights, strict=True, assign=True)
        self.encoder.eval().requires_grad_(False)

    @torch.inference_mode()
    def animate(self, hidden: Tensor, units: list[int], frames: int) -> Tensor:
        """(1, M, 1024) and U units -> (1, frames, outputs)."""
        parts, device = self.parts, hidden.device
        memory = parts.speech_gen_projection(hidden)
        ids = torch.tensor([units], device=device)
        x = parts.speech_token_projection(parts.speech_token_embedding(ids))
        x = F.interpolate(x.transpose(1, 2), frames, mode="linear").transpose(1, 2)
        x = self._turned(parts.tqgf(x, memory))
        mask = torch.ones(frames, frames, dtype=torch.bool, device=device).triu(1)
        return parts.out_head(self.encoder(x, mask=mask, is_causal=True))

    def _turned(self, x: Tensor) -> Tensor:
        """Periodic rotary positions on the whole width."""
        frames, width = x.shape[1:]
        rates = 10_000.0 ** (-torch.arange(0, width, 2, device=x.device).float() / width)
        place = torch.arange(frames, device=x.device) % self.parts.config.period
        angle = place[:, None] * rates
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(2)
