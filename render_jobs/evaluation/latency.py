# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompts file and an engine in, how long its answers take out: one at a time, after a warm-up.

The prompts are drawn with a seed, and their ids are kept. Loading the model is not measured: the
warm-up does it. A prompt that fails is counted and harms no other.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core import __version__
from exomni_core.clip import Clip
from exomni_core.engine import DEFAULT_ENGINE, ENGINE_KINDS, Engine, load_engine
from exomni_core.errors import ExOmniError, InputError
from exomni_core.metrics.latency import STAMPS, Clock, Stamps, measures, summarise
from exomni_core.prompt import Prompt, PromptLine, read_prompts
from exomni_core.storage.files import sha256_file
from render_jobs.batch.folder import installed_version

OnRows = Callable[[int], None]
_PACKAGES: Final = ("numpy", "torch", "transformers", "espeakng-loader", "pocketsphinx")
_NOT_STREAMED: Final = (
    "not streamed: time to first audio is when the first samples existed, but the caller gets them "
    "with the whole clip (delivered)"
)


@dataclass(frozen=True)
class LatencyRun:
    """n: measured prompts. warmup: prompts before them that don't count. seed: of the draw.

    stream: ask for pieces, and take the first piece with sound as the first audio.
    """

    prompts: Path
    engine: str = DEFAULT_ENGINE
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    n: int = 100
    warmup: int = 3
    seed: int = 0
    stream: bool = False


def evaluate_latency(run: LatencyRun, on_rows: OnRows | None = None) -> dict[str, Any]:
    """The whole result as plain data: settings, counts, summary, failures and rows.

    Raises InputError if no prompt fits the engine, and EnvironmentProblem if it can't be loaded.
    """
    lines = read_prompts(run.prompts)
    clock = Clock()
    engine = load_engine(run.engine, **_options(run, clock))
    try:
        modes = engine.capabilities().modes
        fitting = [x.prompt for x in lines if isinstance(x, PromptLine) and x.prompt.mode in modes]
        if not fitting:
            raise InputError(
                f"no prompt in {run.prompts} can be served by the {run.engine} engine, which can "
                f"{' and '.join(modes)}"
            )
        measured, rehearsed = draw(fitting, run)
        notes = _notes(run, len(lines), len(fitting), len(measured))
        notes += _rehearse(engine, rehearsed, run, clock)
        rows = []
        for prompt in measured:
            rows.append(_row(engine, prompt, run, clock))
            if on_rows:
                on_rows(1)
        settings = _settings(engine, run, lines, measured, rehearsed, notes)
    finally:
        engine.close()
    scored = [row for row in rows if row["status"] == "scored"]
    return {
        "settings": settings,
        "counts": {
            "n": len(rows), "n_scored": len(scored), "n_failed": len(rows) - len(scored),
            "n_lines": len(lines), "n_fitting": len(fitting),
        },
        "summary": summarise(scored) if scored else None,
        "failures": [{"id": r["id"], "reason": r["reason"]} for r in rows if r["reason"]],
        "rows": rows,
    }  # fmt: skip


def _options(run: LatencyRun, clock: Clock) -> dict[str, Any]:
    """The engine's options, with the seed and the clock where it takes them."""
    kind = ENGINE_KINDS.find(run.engine)
    options: dict[str, Any] = {}
    if any(option.name == "default_seed" for option in kind.options):
        options["default_seed"] = run.seed
    if kind.capabilities.tells_stages:
        options["on_stage"] = clock
    return options | dict(run.engine_options)


def draw(prompts: Sequence[Prompt], run: LatencyRun) -> tuple[list[Prompt], list[Prompt]]:
    """The prompts to measure and those for the warm-up, which are others where there are enough.

    Depends on the ids and the seed alone, not on the order of the file.
    """
    ordered = sorted(prompts, key=lambda prompt: prompt.id)
    order = np.random.default_rng(run.seed).permutation(len(ordered))
    drawn = [ordered[k] for k in order]
    measured = drawn[: run.n]
    others = drawn[run.n :] or measured
    return measured, [others[k % len(others)] for k in range(run.warmup)]


def _rehearse(
    engine: Engine, prompts: Sequence[Prompt], run: LatencyRun, clock: Clock
) -> list[str]:
    failed = 0
    for prompt in prompts:
        try:
            _timed(engine, prompt, run, clock)
        except ExOmniError:
            failed += 1
    return [f"{failed} of the {len(prompts)} warm-up prompts failed"] if failed else []


def _timed(engine: Engine, prompt: Prompt, run: LatencyRun, clock: Clock) -> tuple[Clip, Stamps]:
    """Serve one prompt; raises what the engine raises."""
    clock.start()
    if not run.stream:
        clip = engine.generate(prompt)
        return clip, clock.stop()
    whole: Clip | None = None
    for chunk in engine.stream(prompt):
        if len(chunk.audio):
            clock.heard()
        whole = chunk.clip or whole
    if whole is None:
        raise ExOmniError(f"the {engine.name} engine ended without a clip; please report it")
    return whole, clock.stop()


def _row(engine: Engine, prompt: Prompt, run: LatencyRun, clock: Clock) -> dict[str, Any]:
    row: dict[str, Any] = {"id": prompt.id, "status": "scored", "reason": "", "mode": prompt.mode}
    try:
        clip, stamps = _timed(engine, prompt, run, clock)
    except ExOmniError as error:
        return row | {"status": "failed", "reason": str(error)}
    frames = len(clip.weights)
    return row | {
        "language": clip.language,
        "duration_s": clip.duration_s,
        "frames": frames,
        "text_characters": len(clip.text),
        "text_tokens": clip.provenance.get("text_tokens"),
        "units": clip.provenance.get("units"),
        **{name: stamps.times[name] for name in STAMPS},
        **measures(stamps, duration_s=clip.duration_s, frames=frames),
    }


def _settings(
    engine: Engine,
    run: LatencyRun,
    lines: Sequence[object],
    measured: Sequence[Prompt],
    rehearsed: Sequence[Prompt],
    notes: list[str],
) -> dict[str, Any]:
    facts = dict(engine.facts())
    options = {name: str(value) for name, value in run.engine_options.items()}
    return {
        "exomni": __version__,
        "prompts": str(run.prompts),
        "prompts_sha256": sha256_file(run.prompts),
        "lines": len(lines),
        "engine": run.engine,
        "engine_version": engine.version(),
        "engine_options": options,
        "stream": run.stream,
        "batch": 1,
        "seed": run.seed,
        "n": run.n,
        "warmup": run.warmup,
        "ids": [prompt.id for prompt in measured],
        "warmup_ids": [prompt.id for prompt in rehearsed],
        "device": "cpu",
        **facts,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in _PACKAGES},
        "notes": notes,
    }


def _notes(run: LatencyRun, lines: int, fitting: int, measured: int) -> list[str]:
    notes = []
    if fitting < lines:
        notes.append(f"{lines - fitting} of {lines} lines can't be served by this engine")
    if measured < run.n:
        notes.append(f"{run.n} prompts were asked for, {measured} are there")
    if run.warmup == 0:
        notes.append("without a warm-up, the first prompt's times hold the loading of the model")
    elif fitting < run.n + run.warmup:
        notes.append("too few prompts: the warm-up used prompts that were measured again later")
    return notes if run.stream else [*notes, _NOT_STREAMED]


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    lines = [line for line in text.splitlines() if line.startswith("model name")]
    return lines[0].partition(":")[2].strip() if lines else platform.processor()
