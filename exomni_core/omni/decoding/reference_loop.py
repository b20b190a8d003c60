# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt in, speech units out as the release draws them, faults included (compat="reference").

The end is drawn again until it is late enough; a spare id appends nothing and feeds the same vector
again, so that hidden rows and units no longer correspond. Where the release would crash or never
return, this raises.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from exomni_core.errors import WorkerError
from exomni_core.omni.decoding.decode_loop import Checkpoint, Decoded
from exomni_core.omni.nets.sampling import RECENT_UNITS, nucleus
from exomni_core.omni.nets.speech_generator import SpeechGenerator

_MOST_DRAWS: Final = 10_000


def reference_units(
    generator: SpeechGenerator,
    prompt: Tensor,
    limits: tuple[int, int],
    random: torch.Generator,
    check: Checkpoint,
) -> Decoded:
    """prompt: (1, n, 1024). limits: steps before the end may come, steps at most.

    random: a generator on the CPU, where the draws are made. Raises WorkerError where the release
    crashes (a spare id at the first step) or hangs (only the end is likely, too early).
    """
    least, most = limits
    backbone, end = generator.backbone, generator.units
    cache = backbone.new_cache(1, prompt.shape[1] + most + 1)
    hidden = backbone.prefill(prompt, cache)[:, -1:]  # (1, 1, 1024)
    units: list[int] = []
    rows: list[Tensor] = []
    vector: Tensor | None = None
    for step in range(most):
        check()
        if step:
            assert vector is not None
            hidden = backbone.step(vector, cache, backbone.window(cache))
            cache.lengths += 1
            cache.longest += 1
        rows.append(hidden)
        log_probabilities = generator.logits(hidden[:, 0]).log_softmax(dim=-1)
        unit = _draw(log_probabilities, units, end if step < least else None, random)
        if unit == end:
            return _decoded(units, rows, ended=True)
        if unit > end:
            if vector is None:
                raise WorkerError(
                    "the release crashes here: a spare id came first; use another seed, or compat "
                    "fixed"
                )
            continue  # the same vector again, at the next position
        units.append(unit)
        vector = generator.speech_embedding(torch.tensor([[unit]], device=prompt.device))
    return _decoded(units, rows, ended=False)


def _draw(
    log_probabilities: Tensor, units: list[int], refused: int | None, random: torch.Generator
) -> int:
    probabilities = log_probabilities.softmax(dim=-1)
    ids, candidates = nucleus(probabilities)
    candidates = candidates[:, : int((candidates > 0).sum())]  # as many random numbers are drawn
    recent = units[-RECENT_UNITS:]
    for _ in range(_MOST_DRAWS):
        place = torch.multinomial(candidates[0].cpu(), 1, generator=random)
        unit = int(ids[0, int(place)])
        if unit in recent:
            unit = int(torch.multinomial(probabilities[0].cpu(), 1, generator=random))
        if unit != refused:
            return unit
    raise WorkerError(
        "the release hangs here, because only the end is likely and it is too early; use another "
        "seed, or compat fixed"
    )


def _decoded(units: list[int], rows: list[Tensor], *, ended: bool) -> Decoded:
    return Decoded(torch.tensor(units, dtype=torch.long), torch.cat(rows, dim=1), ended)
