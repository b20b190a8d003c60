# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts in, ids and the hidden state behind each id out: the loop of both language models.

A loop has a fixed number of rows over one cache. Prompts are admitted to free rows at any time, so
a finished row can take the next prompt while other rows continue (continuous batching). A step uses
only device tensors; the host reads them only to find out which rows have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from exomni_core.omni.nets.backbone import Backbone, KVCache
from exomni_core.omni.nets.graphs import GraphCache
from exomni_core.omni.nets.sampling import uniform_numbers

# How many steps may run ahead on CUDA before the host asks whether all rows have ended.
CUDA_RUN_AHEAD: Final = 4


class Rule(Protocol):
    """Chooses ids: the head, the sampler and the embedding of one of the language models."""

    @property
    def draws(self) -> int:
        """Uniform numbers that a choice takes."""
        ...

    @property
    def stream(self) -> str:
        """Names this use of the seed."""
        ...

    def choose(
        self, hidden: Tensor, made: Tensor, past: Tensor, uniforms: Tensor, least: Tensor
    ) -> Tensor:
        """(B, H), (B,) count, (B, room) ids so far, (B, draws), (B,) fewest -> (B,) ids."""
        ...

    def ends(self, ids: Tensor) -> Tensor:
        """(B,) ids -> (B,) bool."""
        ...

    def embed(self, ids: Tensor) -> Tensor:
        """(B,) ids -> (B, H)."""
        ...


@dataclass(frozen=True)
class Request:
    """prompt: (1, n, H). least, most: ids wanted, the end not counted. seed: the row's own."""

    prompt: Tensor
    least: int
    most: int
    seed: int


@dataclass
class _Rows:
    """The device's side. ids: (B, room + 1), the end id included; hidden: (B, room + 1, H)."""

    vectors: Tensor
    ids: Tensor
    hidden: Tensor
    made: Tensor
    ended: Tensor
    least: Tensor
    most: Tensor
    uniforms: Tensor


@dataclass(frozen=True)
class Decoded:
    """A row's result. ids: (n,) without the end. hidden: (1, m, H), the end's row last if `ended`.

    ended: False if `most` cut it.
    """

    ids: Tensor
    hidden: Tensor
    ended: bool


class DecodeLoop:
    """rows: prompts at a time. room: most ids that a row can make. positions: longest prompt.

    Both may grow later, at the price of recording the graphs again.
    """

    def __init__(
        self,
        backbone: Backbone,
        rule: Rule,
        *,
        rows: int,
        room: int,
        positions: int,
        graphs: bool = True,
    ) -> None:
        self.backbone = backbone
        self.rule = rule
        self.rows = rows
        self._graphs = graphs
        self._allocate(room, positions)

    @torch.inference_mode()
    def _allocate(self, room: int, positions: int) -> None:
        rows, device, dtype = self.rows, self.backbone.device, self.backbone.dtype
        self.room = room
        self.cache: KVCache = self.backbone.new_cache(rows, positions + room + 1)
        whole = {"dtype": torch.long, "device": device}
        self._rows = _Rows(
            vectors=torch.zeros(rows, 1, self.backbone.width, dtype=dtype, device=device),
            ids=torch.zeros(rows, room + 1, **whole),  # type: ignore[call-overload]
            hidden=torch.zeros(rows, room + 1, self.backbone.width, dtype=dtype, device=device),
            made=torch.zeros(rows, **whole),  # type: ignore[call-overload]
            ended=torch.ones(rows, dtype=torch.bool, device=device),
            least=torch.zeros(rows, **whole),  # type: ignore[call-overload]
            most=torch.zeros(rows, **whole),  # type: ignore[call-overload]
            uniforms=torch.zeros(rows, room + 1, self.rule.draws, device=device),
        )
        self._places = torch.arange(rows, device=device)
        self._step = GraphCache(
            self._one_step,
            enabled=self._graphs,
            # The books' other columns are written anew before anyone reads them.
            state=lambda: [
                self._rows.vectors,
                self._rows.made,
                self._rows.ended,
                self.cache.lengths,
            ],
        )

    def fits(self, requests: Sequence[Request]) -> bool:
        """Whether these requests fit without growing."""
        return all(
            r.most <= self.room and r.prompt.shape[1] + r.most + 1 <= self.cache.capacity
            for r in requests
        )

    def _grow(self, requests: Sequence[Request]) -> None:
        self._allocate(
            max(self.room, *(r.most for r in requests)),
            max(r.prompt.shape[1] for r in requests),
        )

    def use(self, rule: Rule) -> None:
        """Choose by `rule` from now on; a new one costs recording the graphs again."""
        if _alike(rule, self.rule):
            return
        same_draws, self.rule = rule.draws == self.rule.draws, rule
        if same_draws:
            self._step.clear()
        else:
            self._allocate(self.room, self.cache.capacity - self.room - 1)

    def serve(
        self,
        requests: Sequence[Request],
        check: Checkpoint,
        begun: Callable[[], None] | None = None,
    ) -> list[Decoded]:
        """Decode all requests, as many at a time as there are rows; a free row takes the next.

        begun: called when the first ids are there.
        """
        if not self.fits(requests):
            self._grow(requests)
        results: dict[int, Decoded] = {}
        first = min(self.rows, len(requests))
        owners = dict(enumerate(range(first)))  # row -> request
        self.admit(requests[:first])
        if begun is not None:
            begun()
        following = first
        ahead = CUDA_RUN_AHEAD if self.backbone.device.type == "cuda" else 1
        while owners:
            ended = self.ended()
            done = [row for row in owners if ended[row]]
            for row in done:
                results[owners.pop(row)] = self.result(row)
            new = done[: len(requests) - following]
            if new:
                self.admit(requests[following : following + len(new)], new)
                owners |= zip(new, range(following, following + len(new)), strict=True)
                following += len(new)
            if done:
                self._shorten([row for row in done if row not in new])
            for _ in range(ahead if owners else 0):
                check()
                self.step()
        return [results[number] for number in range(len(requests))]

    def _shorten(self, done: Sequence[int]) -> None:
        """Limit the window to what the running rows need; the `done` rows are empty."""
        with torch.inference_mode():
            for row in done:
                self.cache.lengths[row] = 0
        self.cache.longest = int(self.cache.lengths.max())

    @torch.inference_mode()
    def admit(self, requests: Sequence[Request], rows: Sequence[int] | None = None) -> None:
        """Give `requests` to `rows` (default: the first ones) and choose each one's first id."""
        rows = range(len(requests)) if rows is None else rows
        if not self.fits(requests):
            if not bool(self._rows.ended.all()):
                raise ValueError("a running loop can't grow; make it large enough from the start")
            self._grow(requests)
        if bool(self._rows.ended.all()):
            self.cache.reset()
        places = torch.tensor(list(rows), device=self.backbone.device)
        last = self._prefill(requests, places)  # (b, H)
        state = self._rows
        state.made[places] = 0
        state.least[places] = torch.tensor([r.least for r in requests], device=places.device)
        state.most[places] = torch.tensor([r.most for r in requests], device=places.device)
        state.ended[places] = state.most[places] == 0
        draws = self.rule.draws
        numbers = uniform_numbers(
            [r.seed for r in requests], (self.room + 1) * draws, self.rule.stream, places.device
        )
        state.uniforms[places] = numbers.unflatten(1, (-1, draws))
        hidden = torch.zeros_like(state.hidden[:, 0]).index_copy(0, places, last)
        self._choose(hidden, (self._places[:, None] == places).any(dim=1) & ~state.ended)

    def _prefill(self, requests: Sequence[Request], places: Tensor) -> Tensor:
        lengths = torch.tensor([r.prompt.shape[1] for r in requests], device=places.device)
        longest = max(r.prompt.shape[1] for r in requests)
        vectors = torch.cat(
            [F.pad(r.prompt, (0, 0, 0, longest - r.prompt.shape[1])) for r in requests]
        )
        # All rows in their order: straight into the loop's cache. Else by way of one of their own.
        alone = places.tolist() == list(range(self.rows))
        cache = self.cache if alone else self.backbone.new_cache(len(requests), longest)
        cache.reset()
        hidden = self.backbone.prefill(vectors, cache, lengths)
        if not alone:
            for own, new in ((self.cache.keys, cache.keys), (self.cache.values, cache.values)):
                for target, source in zip(own, new, strict=True):
                    target[places, :, :longest] = source[:, :, :longest]
            self.cache.lengths[places] = lengths
            self.cache.longest = max(self.cache.longest, longest)
        return hidden[torch.arange(len(requests), device=places.device), lengths - 1]

    @torch.inference_mode()
    def step(self) -> None:
        """Append one id to every row that has not ended, without waiting for the device."""
        self._step(self.backbone.window(self.cache))
        self.cache.longest = min(self.cache.longest + 1, self.cache.capacity - 1)

    def _one_step(self, window: Tensor) -> Tensor:
        state = self._rows
        hidden = self.backbone.step(state.vectors, self.cache, window)[:, 0]
        running = ~state.ended
        self.cache.lengths += running
        self._choose(hidden, running)
        return state.made

    def _choose(self, hidden: Tensor, running: Tensor) -> None:
        """Record the next id of the `running` rows (B,), chosen by hidden (B, H).

        The other rows must not change, because they may be unfinished.
        """
        state, at = self._rows, self._rows.made
        uniforms = state.uniforms[self._places, at]
        ids = self.rule.choose(hidden, at, state.ids, uniforms, state.least)
        state.ids[self._places, at] = torch.where(running, ids, state.ids[self._places, at])
        kept = state.hidden[self._places, at]
        state.hidden[self._places, at] = torch.where(running[:, None], hidden, kept)
        ends = self.rule.ends(ids)
        following = torch.where(running[:, None], self.rule.embed(ids), state.vectors[:, 0])
        state.vectors.copy_(following[:, None])
        state.made += running & ~ends
        state.ended |= running & (ends | (state.made >= state.most))

    def ended(self) -> list[bool]:
        """Which rows have ended; waits for the device."""
        return [bool(e) for e in self._rows.ended.tolist()]

    def made(self, row: int) -> int:
        """Ids that `row` has so far, the end not counted; waits for the device."""
        return int(self._rows.made[row])

    @torch.inference_mode()
    def result(self, row: int, first: int = 0) -> Decoded:
        """What `row` has from its id number `first` on (copies)."""
        state, made = self._rows, self.made(row)
        # Cut by length, the row holds as many hidden states as ids; else one more, the end's.
        by_rule = bool(state.ended[row]) and made < int(state.most[row])
        end = made + (1 if by_rule else 0)
        return Decoded(
            state.ids[row, first:made].clone(),
            state.hidden[row : row + 1, first:end].clone(),
            by_rule,
        )

    @torch.inference_mode()
    def stop(self) -> None:
        """End all rows; what they made can't be read any more."""
        self._rows.ended.fill_(True)

    def run(self, check: Checkpoint) -> None:
        """Step until all rows have ended; `check` is called before each step and may raise."""
        ahead = CUDA_RUN_AHEAD if self.backbone.device.type == "cuda" else 1
        steps = 0
        while True:
            if steps % ahead == 0 and bool(self._rows.ended.all()):
                return
            check()
            self.step()
            steps += 1


def _alike(one: Rule, other: Rule) -> bool:
    """Whether two rules choose alike; what a rule keeps under `_names` doesn't count."""

    def public(rule: Rule) -> dict[str, object]:
        return {name: value for name, value in vars(rule).items() if not name.startswith("_")}

    return type(one) is type(other) and public(one) == public(other)


class Checkpoint(Protocol):
    """Called between steps; raises to stop the loop."""

    def __call__(self) -> None:
        """Raise Cancelled, or return."""
        ...
