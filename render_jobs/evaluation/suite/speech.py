# SPDX-License-Identifier: GPL-3.0-or-later
"""A cell in, what its speech is worth and how long it took out: consistency, tts and latency."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exomni_core import __version__
from exomni_core.errors import ExOmniError, InputError
from exomni_core.metrics.speech.seedtts import language_of_list
from exomni_core.storage.files import content_key, sha256_file, write_bytes, write_text
from exomni_core.storage.foreign import read_text
from render_jobs.evaluation.latency import LatencyRun, evaluate_latency
from render_jobs.evaluation.recogniser import Recogniser
from render_jobs.evaluation.responses import read_answers
from render_jobs.evaluation.speech import ConsistencyRun, TtsRun, evaluate_consistency, evaluate_tts
from render_jobs.evaluation.suite.cells import Cell, write_record
from render_jobs.evaluation.suite.config import SuiteConfig
from render_jobs.evaluation.suite.metric_options import HearingMetric
from render_jobs.evaluation.suite.rows import write_rows
from render_jobs.evaluation.suite.scoring import (
    Scored,
    failed_cell,
    load_result,
    rows_place,
    rows_with_names,
)

OnRows = Callable[[int], None]


def score_consistency(cell: Cell, config: SuiteConfig, out: Path, on_rows: OnRows) -> Scored:
    """Speech against the answers' text; transcripts that a recogniser gave are kept."""
    if cell.error:
        return failed_cell("consistency", cell, cell.error, out)
    hyp, recogniser = _transcripts("consistency", cell, config, out)
    run = ConsistencyRun(
        cell.place, hyp, recogniser, cell.system.lines, ids=tuple(i.id for i in cell.items)
    )
    try:
        result = evaluate_consistency(run, on_rows)
    except InputError as error:
        return failed_cell("consistency", cell, str(error), out)
    return _kept("consistency", cell, result, out)


def score_tts(
    cell: Cell, config: SuiteConfig, out: Path, on_rows: OnRows, limit: int = 0
) -> Scored:
    """A Seed-TTS-Eval list spoken by the system: its clips' sounds against the list's texts."""
    assert cell.prompts.config.meta is not None
    if cell.error:
        return failed_cell("tts", cell, cell.error, out)
    meta = cell.prompts.config.meta
    language = language_of_list(meta)
    if limit:
        lines = read_text(meta).splitlines()[:limit]
        meta = out / "lists" / f"{cell.set_name}.lst"
        write_text(meta, "".join(f"{line}\n" for line in lines))
    hyp, recogniser = _transcripts("tts", cell, config, out)
    try:
        sounds = _sounds(cell, out)
        result = evaluate_tts(TtsRun(meta, sounds, hyp, recogniser, language), on_rows)
    except InputError as error:
        return failed_cell("tts", cell, str(error), out)
    return _kept("tts", cell, result, out)


def score_latency(cell: Cell, config: SuiteConfig, out: Path, on_rows: OnRows) -> Scored | None:
    """How long the engine's answers take; None for a system that is no engine of ours.

    What was measured before with the same prompts, options and program is not measured again.
    """
    made = cell.system.engine
    if made is None:
        return None
    prompts = cell.place / "prompts.jsonl"
    if cell.error or not prompts.is_file():
        return failed_cell("latency", cell, cell.error or "no prompts were written", out)
    chosen = config.metrics["latency"]
    run = LatencyRun(
        prompts,
        made.engine,
        made.options,
        n=chosen.n or 1,
        warmup=chosen.warmup,
        seed=config.seed,
        stream=chosen.stream,
    )
    key = content_key({
        "exomni": __version__, "prompts": sha256_file(prompts), "engine": made.engine,
        "options": {k: str(v) for k, v in made.options.items()}, "seed": config.seed,
        "n": chosen.n, "warmup": chosen.warmup, "stream": chosen.stream,
    })  # fmt: skip
    path = out / "results" / "latency" / cell.system.name / f"{cell.set_name}.json"
    result = load_result(path, key)
    if result is None:
        try:
            result = {"key": key, **evaluate_latency(run, on_rows)}
        except ExOmniError as error:
            return failed_cell("latency", cell, str(error), out)
        write_record(path, result)
    return _kept("latency", cell, result, out)


def _kept(metric: str, cell: Cell, result: dict[str, Any], out: Path) -> Scored:
    place = rows_place(metric, cell)
    write_rows(out / place, list(rows_with_names(result["rows"], cell)))
    return Scored(metric, cell.system.name, cell.set_name, result, place)


def _transcripts(
    metric: str, cell: Cell, config: SuiteConfig, out: Path
) -> tuple[Path | None, Recogniser | None]:
    chosen: HearingMetric = config.metrics[metric]
    if chosen.hyp:
        return config.place(chosen.hyp, cell.system.name, cell.set_name), None
    # Shared by all systems: those that say the same with the same sound are heard once.
    cache = out / "transcripts" / f"{metric}.{cell.set_name}.jsonl"
    command = str(chosen.asr).replace("{folder}", shlex.quote(str(config.path.parent.resolve())))
    return None, Recogniser(command, timeout_s=chosen.asr_timeout, cache=cache)


def _sounds(cell: Cell, out: Path) -> Path:
    """A folder of ID.wav: what the system said, as far as it said anything."""
    folder = out / "sounds" / cell.system.name / cell.set_name
    folder.mkdir(parents=True, exist_ok=True)
    for answer in read_answers(cell.place, system=cell.system.lines):
        path = folder / f"{answer.response.id}.wav"
        path.unlink(missing_ok=True)  # of an earlier run
        if answer.response.error is not None:
            continue
        try:
            sound = answer.hear(folder)
            if sound != path:
                write_bytes(path, sound.read_bytes())
        except (ExOmniError, OSError):
            continue  # it stays missing, and is counted as such
    return folder
