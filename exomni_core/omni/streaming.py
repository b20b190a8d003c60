# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation in, pieces of the answer out while it is still being written: text, sound, face.

One clock for all. Text is shown token by token; as soon as a clause is there its units are written,
a few at a time; each few go to the face decoder and to the speech decoder, whose states carry over.
A piece holds sound and face of the same stretch of time. Between two pieces the language model goes
on by some tokens, so that the next clause is ready in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from exomni_core.arrays import FloatArray
from exomni_core.omni.config import FACE_FPS
from exomni_core.omni.decoding.decode_loop import Decoded, DecodeLoop
from exomni_core.omni.decoding.segments import STREAMING, Segmenter, SegmentRule, cut
from exomni_core.omni.generation import Asked, Check, Spoken, Written, segment_request, text_request
from exomni_core.omni.model import OmniModel
from exomni_core.omni.nets.face_decoder import arkit_weights
from exomni_core.omni.nets.language_model import TextRule
from exomni_core.omni.nets.speech_generator import UnitRule, unit_limits

UNITS_AT_ONCE: Final = 10  # units written before face and sound take them
TOKENS_BETWEEN: Final = 4  # text tokens written between two pieces


@dataclass(frozen=True, eq=False)
class Piece:
    """What is new. audio: (n,) at 22,050 Hz. weights: (t, 52) at 30 fps, for the same time.

    start_s: the place of both. text: what was written meanwhile.
    """

    start_s: float
    audio: FloatArray
    weights: FloatArray
    text: str = ""


class Performer:
    """Units and hidden states in, sound and face out in step; the state of one stream."""

    def __init__(self, model: OmniModel, seed: int) -> None:
        self.model = model
        self.rate_hz = model.decoder.sample_rate_hz
        self._face = model.face.start()
        self._sound = model.decoder.start(seed=seed)
        self._audio: list[FloatArray] = []  # made, not yet given
        self._weights: list[FloatArray] = []
        self._samples_given = self._frames_given = 0
        self._last = np.zeros((1, 52), np.float32)  # the frame given last

    @property
    def given_s(self) -> float:
        """Seconds of sound and face given so far."""
        return self._samples_given / self.rate_hz

    @torch.inference_mode()
    def push(
        self, units: Sequence[int], hidden: Tensor, *, segment_ends: bool, final: bool
    ) -> Piece:
        """Take n more units with their m hidden rows (1, m, 1024); return what is finished, if any.

        A frame is returned together with its sound.
        """
        units = list(units)
        self.model.mark("face_begin")
        raw = self.model.face.push(
            self._face, hidden, units, segment_ends=segment_ends, final=final
        )
        self.model.mark("face_done")
        wave = self.model.decoder.push(self._sound, units, final=final)
        self._weights.append(arkit_weights(raw[0]).cpu().numpy())
        self._audio.append(np.clip(wave.float().cpu().numpy(), -1.0, 1.0))
        if len(wave):
            self.model.mark("audio")
            self.model.mark("audio_done")
        return self._due(final=final)

    def _due(self, *, final: bool) -> Piece:
        audio, weights = np.concatenate(self._audio), np.concatenate(self._weights)
        first = self._frames_given
        if final:
            total = self._samples_given + len(audio)
            frames = max(0, -(-total * int(FACE_FPS) // self.rate_hz) - first)
            held = np.concatenate([self._last, weights])[-1:]
            weights = np.concatenate([weights, np.repeat(held, max(0, frames - len(weights)), 0)])
            samples = len(audio)
        else:
            heard = (self._samples_given + len(audio)) * int(FACE_FPS) // self.rate_hz - first
            frames = max(0, min(len(weights), heard))
            samples = round((first + frames) * self.rate_hz / FACE_FPS) - self._samples_given
        piece = Piece(self.given_s, audio[:samples], weights[:frames])
        self._audio, self._weights = [audio[samples:]], [weights[frames:]]
        self._samples_given += samples
        self._frames_given += frames
        self._last = piece.weights[-1:] if frames else self._last
        return piece


@dataclass
class _Writing:
    """The language model's side of a stream: tokens seen, text not yet shown, segments cut."""

    loop: DecodeLoop
    model: OmniModel
    segmenter: Segmenter
    seen: int = 0
    begun: int = 0
    ended: bool = False
    unshown: list[int] = field(default_factory=list)
    ready: list[tuple[int, int]] = field(default_factory=list)

    def look(self) -> None:
        """Take over the tokens that are there; cut segments."""
        new = self.loop.result(0, self.seen).ids.tolist()
        ended = self.ended
        self.ended = self.loop.ended()[0]
        if self.ended and not ended:
            self.model.mark("text_done")
        for token in new:
            self.seen += 1
            self.unshown.append(token)
            if self.segmenter.push(token):
                self._cut()
        if self.ended and self.begun < self.seen:
            self._cut()

    def _cut(self) -> None:
        self.ready.append((self.begun, self.seen))
        self.begun = self.seen

    def news(self) -> str:
        """Text that was not shown yet; a half-written character waits for its rest."""
        text = self.model.text.pieces_of(self.unshown)
        if text.endswith("\ufffd") and not self.ended:
            return ""
        self.unshown = []
        return text

    def segment(self, span: tuple[int, int]) -> Written:
        """The tokens of `span`, their hidden states and the one after."""
        begin, end = span
        made = self.loop.result(0, begin)
        count = end - begin
        return Written(made.ids[:count], made.hidden[:, : count + 1], "", complete=made.ended)

    def whole(self) -> Written:
        """Everything, at the end."""
        made = self.loop.result(0)
        text = self.model.text.text_of(made.ids.tolist())
        return Written(made.ids, made.hidden, text, complete=made.ended)

    def can_speak(self) -> bool:
        """Whether the next segment's hidden states, and the one after it, are there."""
        if not self.ready:
            return False
        return self.ended or self.seen > self.ready[0][1]


@torch.inference_mode()
def stream_reply(
    model: OmniModel,
    asked: Asked,
    check: Check,
    *,
    rule: SegmentRule = STREAMING,
    done: Callable[[Written, Spoken], None] | None = None,
) -> Iterator[Piece]:
    """Answer `asked` piece by piece. `check` is called before every token and unit and may raise.

    done: called at the end with the whole text and all units. Closing the iterator stops the work.
    """
    request = text_request(model, asked)
    text_rule = TextRule(model.language_model, asked.sampling, model.end_ids)
    loop = model.loop(
        "text", text_rule, rows=1, room=request.most, positions=request.prompt.shape[1]
    )
    writing = _Writing(loop, model, Segmenter(rule, model.text.pieces_of))
    loop.admit([request])
    model.mark("text_token")

    def advance(tokens: int) -> None:
        for _ in range(tokens):
            if writing.ended:
                break
            check()
            loop.step()
            writing.look()

    yield from _speak_while_writing(model, asked.seed, writing, advance, check, done)


@torch.inference_mode()
def stream_text(
    model: OmniModel,
    written: Written,
    seed: int,
    check: Check,
    *,
    rule: SegmentRule = STREAMING,
    done: Callable[[Written, Spoken], None] | None = None,
) -> Iterator[Piece]:
    """Speak a text that is already there, piece by piece."""
    ends = cut(written.ids.tolist(), rule, model.text.pieces_of)
    performer = Performer(model, seed)
    spoken: list[Decoded] = []
    begin = 0
    for number, end in enumerate(ends):
        text = model.text.pieces_of(written.ids[begin:end].tolist())
        last = number == len(ends) - 1
        segment = Written(
            written.ids[begin:end], written.hidden[:, begin : end + 1], text, complete=True
        )
        for piece in _segment(model, segment, seed, number, performer, spoken, check, last):
            yield Piece(piece.start_s, piece.audio, piece.weights, text)
            text = ""
        begin = end
    if done is not None:
        done(written, Spoken(tuple(spoken)))


def _speak_while_writing(
    model: OmniModel,
    seed: int,
    writing: _Writing,
    advance: Callable[[int], None],
    check: Check,
    done: Callable[[Written, Spoken], None] | None,
) -> Iterator[Piece]:
    performer = Performer(model, seed)
    spoken: list[Decoded] = []
    nothing = np.zeros(0, np.float32), np.zeros((0, 52), np.float32)
    number, finished = 0, False
    writing.look()
    while True:
        while not writing.can_speak() and not writing.ended:
            advance(1)
            if text := writing.news():
                yield Piece(performer.given_s, *nothing, text)
        if not writing.ready:
            break
        written = writing.segment(writing.ready.pop(0))
        finished = writing.ended and not writing.ready
        for piece in _segment(model, written, seed, number, performer, spoken, check, finished):
            advance(TOKENS_BETWEEN)
            yield Piece(piece.start_s, piece.audio, piece.weights, writing.news())
        number += 1
    if not finished:  # the end came right behind the last segment: flush the decoders
        rest = performer.push([], _no_rows(model), segment_ends=True, final=True)
        yield Piece(rest.start_s, rest.audio, rest.weights, writing.news())
    if done is not None:
        done(writing.whole(), Spoken(tuple(spoken)))


def _segment(
    model: OmniModel,
    written: Written,
    seed: int,
    number: int,
    performer: Performer,
    spoken: list[Decoded],
    check: Check,
    last: bool,
) -> Iterator[Piece]:
    """Write the units of one segment, some at a time, and perform them."""
    tokens = len(written.ids)
    model.mark("units_begin")
    request = segment_request(model, written.ids, written.hidden, (0, tokens), seed, number)
    loop = model.loop(
        "units",
        UnitRule(model.generator),
        rows=1,
        room=max(request.most, unit_limits(STREAMING.most)[1]),
        positions=max(request.prompt.shape[1], STREAMING.most + 2),
    )
    loop.admit([request])
    model.mark("unit")
    taken = 0
    while True:
        for _ in range(UNITS_AT_ONCE):
            check()
            loop.step()
            if model.device.type == "cpu" and loop.ended()[0]:
                break
        made = loop.result(0, taken)
        ended = loop.ended()[0]
        if ended:
            model.mark("units_done")
        units = made.ids.tolist()
        taken += len(units)
        check()
        yield performer.push(units, made.hidden, segment_ends=ended, final=ended and last)
        if ended:
            whole = loop.result(0)  # its hidden states were used; kept, they would add up
            spoken.append(replace(whole, hidden=whole.hidden[:, :0].clone()))
            return


def _no_rows(model: OmniModel) -> Tensor:
    return torch.zeros(1, 0, 1024, dtype=model.dtype, device=model.device)
