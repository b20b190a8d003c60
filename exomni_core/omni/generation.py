# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts in, complete replies out, many at a time: text, speech units, face and sound.

There are three inputs: an answer that the model writes (`write`), a text that it has to say
(`recite`), and units of a recording that it has to speak (`mouth`). All later steps are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from exomni_core.arrays import FloatArray
from exomni_core.clip import frame_count
from exomni_core.errors import InputError
from exomni_core.omni.config import FACE_FPS
from exomni_core.omni.decoding.decode_loop import Decoded, DecodeLoop, Request
from exomni_core.omni.decoding.reference_loop import reference_units
from exomni_core.omni.decoding.segments import OFFLINE, SegmentRule, cut
from exomni_core.omni.model import OmniModel
from exomni_core.omni.nets.face_decoder import arkit_weights
from exomni_core.omni.nets.language_model import TextRule
from exomni_core.omni.nets.sampling import TextSampling, mixed_seed
from exomni_core.omni.nets.speech_generator import UnitRule, unit_limits
from exomni_core.omni.prompting import Turn

Check = Callable[[], None]

REFERENCE_MOST_TOKENS: Final = 128
MOST_TOKENS: Final = 1024


@dataclass(frozen=True)
class Asked:
    """A conversation to answer. recordings: samples at 16 kHz, one array per recording."""

    turns: tuple[Turn, ...]
    recordings: tuple[FloatArray, ...] = ()
    seed: int = 0
    sampling: TextSampling = TextSampling()
    most_tokens: int = MOST_TOKENS


@dataclass(frozen=True)
class Written:
    """The answer. ids: N tokens. complete: it came to its end, and was not cut by its length.

    hidden: (1, N + 1, H), the last row being the one that chose the end; (1, N, H) if cut.
    """

    ids: Tensor
    hidden: Tensor
    text: str
    complete: bool


@dataclass(frozen=True)
class Spoken:
    """What the generator said, segment by segment: ids are units (U_k,), hidden (1, M_k, 1024)."""

    segments: tuple[Decoded, ...]

    @property
    def units(self) -> Tensor:
        """All units, (U,) long."""
        return torch.cat([segment.ids for segment in self.segments])


@torch.inference_mode()
def hear(model: OmniModel, samples: FloatArray) -> Tensor:
    """(S,) at 16 kHz -> the block of speech features (s, H): 300 for each 30 s begun.

    The release hears the first 30 s only; so does compat="reference".
    """
    chunk = model.mel.chunk
    count = max(1, -(-len(samples) // chunk))
    blocks = []
    for k in range(1 if model.compat == "reference" else count):
        mel = model.mel.chunk_features(samples[k * chunk : (k + 1) * chunk], model.device)
        blocks.append(model.projector(model.speech_encoder(mel))[0])
    return torch.cat(blocks)


@torch.inference_mode()
def prompt_vectors(model: OmniModel, asked: Asked) -> Tensor:
    """The prompt as the language model sees it, (1, L, H)."""
    ids = model.text.prompt_ids(asked.turns, model.compat)
    blocks = [hear(model, samples) for samples in asked.recordings]
    vectors = model.language_model.spliced(torch.tensor(ids, device=model.device), blocks)
    return vectors[:, : model.config.max_prompt] if model.config.max_prompt else vectors


@torch.inference_mode()
def write(
    model: OmniModel, asked: Sequence[Asked], check: Check, *, rows: int = 8
) -> list[Written]:
    """Answer each, up to `rows` at a time. Prompts that sample differently don't share a batch."""
    written: list[Written | None] = [None] * len(asked)
    for sampling in dict.fromkeys(a.sampling for a in asked):
        places = [i for i, a in enumerate(asked) if a.sampling == sampling]
        requests = [_text_request(model, asked[i], check) for i in places]
        rule = TextRule(model.language_model, sampling, model.end_ids)
        for place, decoded in zip(
            places, _decode(model, "text", rule, requests, check, rows), strict=True
        ):
            written[place] = _as_written(model, decoded)
    model.mark("text_done")
    return [w for w in written if w is not None]


@torch.inference_mode()
def recite(model: OmniModel, asked: Asked, text: str) -> Written:
    """Force `text` through the language model as its own answer, word for word."""
    ids = torch.tensor([model.text.plain_ids_of(text)], device=model.device)
    hidden = model.language_model.teach(prompt_vectors(model, asked), ids)
    model.mark("text_done")
    return Written(ids[0], hidden, text, complete=True)


@torch.inference_mode()
def speak(
    model: OmniModel,
    written: Sequence[Written],
    seeds: Sequence[int],
    check: Check,
    *,
    rows: int = 8,
    rule: SegmentRule = OFFLINE,
) -> list[Spoken]:
    """Speech units of each answer, all segments of all answers in one batch."""
    model.mark("units_begin")
    if model.compat == "reference":
        released = [
            _spoken_as_released(model, answer, seed, check)
            for answer, seed in zip(written, seeds, strict=True)
        ]
        model.mark("units_done")
        return released
    requests, owners = [], []
    for number, (answer, seed) in enumerate(zip(written, seeds, strict=True)):
        for request in segment_requests(model, answer, seed, rule):
            requests.append(request)
            owners.append(number)
    decoded = _decode(model, "units", UnitRule(model.generator), requests, check, rows)
    model.mark("units_done")
    return [
        Spoken(tuple(d for d, o in zip(decoded, owners, strict=True) if o == number))
        for number in range(len(written))
    ]


def segment_requests(
    model: OmniModel, answer: Written, seed: int, rule: SegmentRule
) -> list[Request]:
    """The generator's prompts for an answer, one for each segment."""
    ids = answer.ids
    requests, begin = [], 0
    for number, end in enumerate(cut(ids.tolist(), rule, model.text.pieces_of)):
        requests.append(segment_request(model, ids, answer.hidden, (begin, end), seed, number))
        begin = end
    return requests


def _spoken_as_released(model: OmniModel, answer: Written, seed: int, check: Check) -> Spoken:
    """Speak the whole answer as one segment without its last token, as the release does."""
    ids = answer.ids if answer.complete else answer.ids[:-1]
    steps = itertools.count()

    def watched() -> None:
        if next(steps) == 1:  # the second step begins: the first unit is there
            model.mark("unit")
        check()

    decoded = reference_units(
        model.generator,
        model.generator.prompt(answer.hidden, ids[None]),
        unit_limits(len(ids)),
        torch.Generator().manual_seed(seed),
        watched,
    )
    return Spoken((decoded,))


def segment_request(
    model: OmniModel,
    ids: Tensor,
    hidden: Tensor,
    span: tuple[int, int],
    seed: int,
    number: int,
) -> Request:
    """The prompt of one segment: its tokens ask its hidden states and the one after."""
    begin, end = span
    prompt = model.generator.prompt(hidden[:, begin : end + 1], ids[None, begin:end])
    least, most = unit_limits(max(1, end - begin))
    return Request(prompt, least, most, mixed_seed(seed, f"segment {number}"))


@torch.inference_mode()
def mouth(model: OmniModel, written: Written, units: Sequence[int]) -> Spoken:
    """Force the units of a recording through the generator, as the speech of `written`."""
    model.mark("units_begin")
    ids = torch.tensor([list(units)], device=model.device)
    prompt = model.generator.prompt(written.hidden, written.ids[None])
    hidden = model.generator.teach(prompt, ids)
    model.mark("units_done")
    return Spoken((Decoded(ids[0], hidden, ended=True),))


@torch.inference_mode()
def animate(model: OmniModel, spoken: Spoken) -> FloatArray:
    """(T, 52) weights at 30 fps."""
    model.mark("face_begin")
    segments = [segment for segment in spoken.segments if len(segment.ids)]
    if not segments:
        return np.zeros((0, 52), np.float32)
    if len(segments) == 1:
        one = segments[0]
        frames = model.face(one.hidden, one.ids[None].to(model.device), compat=model.compat)
    else:
        state, last = model.face.start(), len(segments) - 1
        parts = [
            model.face.push(
                state, s.hidden, s.ids.tolist(), segment_ends=True, final=number == last
            )
            for number, s in enumerate(segments)
        ]
        frames = torch.cat(parts, dim=1)
    weights: FloatArray = arkit_weights(frames[0]).cpu().numpy()
    model.mark("face_done")
    return weights


@torch.inference_mode()
def sound(model: OmniModel, spoken: Sequence[Spoken], seeds: Sequence[int]) -> list[FloatArray]:
    """The waveform of each, (S,) at 22,050 Hz."""
    waves = model.decoder.decode_many([s.units.tolist() for s in spoken], seeds=list(seeds))
    samples = [np.clip(w.float().cpu().numpy(), -1.0, 1.0) for w in waves]
    model.mark("audio")
    model.mark("audio_done")
    return samples


def fit_frames(weights: FloatArray, samples: int, rate_hz: int) -> FloatArray:
    """Cut or hold the last frame, so that the face lasts as long as the sound."""
    wanted = frame_count(samples / rate_hz, FACE_FPS)
    if len(weights) >= wanted:
        return weights[:wanted]
    last = weights[-1:] if len(weights) else np.zeros((1, weights.shape[1]), np.float32)
    return np.concatenate([weights, np.repeat(last, wanted - len(weights), axis=0)])


def text_request(model: OmniModel, asked: Asked) -> Request:
    """The language model's request for a conversation."""
    most = asked.most_tokens
    if model.compat == "reference":
        most = min(most, REFERENCE_MOST_TOKENS)
    # A reply of nothing can't be spoken: the end may not come first.
    least = 0 if model.compat == "reference" else 1
    return Request(prompt_vectors(model, asked), least, most, asked.seed)


def _text_request(model: OmniModel, asked: Asked, check: Check) -> Request:
    check()
    return text_request(model, asked)


def _as_written(model: OmniModel, decoded: Decoded) -> Written:
    text = model.text.text_of(decoded.ids.tolist())
    if not len(decoded.ids):
        raise InputError(
            "the model gave an empty answer; change the wording or the seed", field="text"
        )
    return Written(decoded.ids, decoded.hidden, text, decoded.ended)


def _decode(
    model: OmniModel, name: str, rule: object, requests: Sequence[Request], check: Check, rows: int
) -> list[Decoded]:
    if not requests:
        return []
    rows = min(rows, len(requests))
    loop: DecodeLoop = model.loop(
        name,
        rule,  # type: ignore[arg-type]
        rows=rows,
        room=max(r.most for r in requests),
        positions=max(r.prompt.shape[1] for r in requests),
    )
    first = "text_token" if name == "text" else "unit"
    return loop.serve(requests, check, lambda: model.mark(first))
