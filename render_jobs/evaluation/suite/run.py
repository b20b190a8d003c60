# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite's configuration in, one folder with rows, tables and a report out; a killed run goes on.

First everything that can be wrong is looked at (prompts, references, templates, transcripts), then
clips are made, then measured. Clips and rows that are there under the same content hash are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.errors import InputError
from exomni_core.metrics.bootstrap import paired_difference
from exomni_core.metrics.faces.table import check_comparable
from exomni_core.metrics.speech.normalise import require
from exomni_core.storage.files import sha256_file, swept, write_text
from render_jobs.batch.folder import BatchFolder, installed_version, lock_folder
from render_jobs.evaluation.head import Head, prepare_head
from render_jobs.evaluation.output import csv_text
from render_jobs.evaluation.suite.cells import (
    Cell,
    PromptSet,
    facts_of,
    find_references,
    make_cell,
    make_synthetic,
    read_set,
    with_references,
    write_record,
)
from render_jobs.evaluation.suite.config import SuiteConfig, SystemConfig
from render_jobs.evaluation.suite.numbers import numbers_of
from render_jobs.evaluation.suite.scoring import Scored, check_hypotheses, score_face, score_sync
from render_jobs.evaluation.suite.speech import score_consistency, score_latency, score_tts

_PACKAGES: Final = ("numpy", "espeakng-loader", "pocketsphinx", "soundfile", "soxr", "jiwer")
OnStep = Callable[[str, int], None]


@dataclass(frozen=True)
class SuiteOptions:
    """out: the folder. limit: prompts of each set, 0 = all. workers: processes, 0: one per core."""

    out: Path
    limit: int = 0
    workers: int = 0


@dataclass(frozen=True)
class Suite:
    """What came out: the record (plain data), and what the report draws from."""

    config: SuiteConfig
    record: dict[str, Any]
    scored: tuple[Scored, ...]
    cells: tuple[Cell, ...]
    head: Head | None

    def of(self, metric: str, set_name: str = "", system: str = "") -> list[Scored]:
        """Results of a metric, in the order of the configuration."""
        return [
            one
            for one in self.scored
            if one.metric == metric
            and set_name in ("", one.set_name)
            and system in ("", one.system)
        ]


def run_suite(config: SuiteConfig, options: SuiteOptions, on_step: OnStep | None = None) -> Suite:
    """Do all of it and write the data; the report is `write_report`'s.

    on_step: told what is being done and how many rows more are done. Raises InputError before any
    clip is made, EnvironmentProblem for a package that is missing.
    """
    tell = on_step or (lambda _, __: None)
    options.out.mkdir(parents=True, exist_ok=True)
    with lock_folder(BatchFolder(options.out)), swept(options.out, deep=True):
        sets = [read_set(one, options.limit) for one in config.sets]
        head = _head(config)
        _check_inputs(config, sets, options.out)
        cells = _cells(config, sets, options, tell)
        scored = [one for cell in cells for one in _score(cell, config, head, options, tell)]
        check_comparable([one.result for one in scored if one.metric == "face"])
        record = _record(config, options, sets, cells, scored)
        suite = Suite(config, record, tuple(scored), tuple(cells), head)
        _write(suite, options.out)
    return suite


def _head(config: SuiteConfig) -> Head | None:
    chosen = config.metrics.get("face")
    if chosen is None:
        return None
    template = chosen.template
    beside = config.path.parent / template
    return prepare_head(
        str(beside) if beside.exists() else template,
        lip_ids=chosen.lip_ids,
        upper_ids=chosen.upper_ids,
        unit=chosen.unit,
    )


def _check_inputs(config: SuiteConfig, sets: Sequence[PromptSet], out: Path) -> None:
    """Everything that a long run would only find at its end."""
    yardsticks: dict[str, str] = {}
    for prompts in sets:
        name = prompts.config.name
        for system in config.systems:
            if config.asks("face", name) and prompts.config.references:
                found = find_references(config, prompts, system.name, out)
                if not found:
                    raise InputError(
                        f"no reference of the set {name} belongs to a prompt of it; references are "
                        "named by prompt id",
                        field="references",
                    )
                yardsticks.setdefault(found[0].config, f"{name} ({system.name})")
            for metric in ("consistency", "tts"):
                if config.asks(metric, name) and (hyp := config.metrics[metric].hyp):
                    check_hypotheses(config.place(hyp, system.name, name))
    if len(yardsticks) > 1:
        told = "; ".join(f"{where}: {c or 'none told'}" for c, where in yardsticks.items())
        raise InputError(
            f"the references were made by {len(yardsticks)} configurations ({told}); one table "
            "needs one",
            field="references",
        )
    if "consistency" in config.metrics or "tts" in config.metrics:
        require("jiwer", "counting word errors")


def _cells(
    config: SuiteConfig, sets: Sequence[PromptSet], options: SuiteOptions, tell: OnStep
) -> list[Cell]:
    """Every system on every set, with clips and references, set by set."""
    cells: list[Cell] = []
    for prompts in sets:
        made = []
        for system in config.systems:
            what = f"{system.name} on {prompts.config.name}: clips"
            tell(what, 0)
            made.append(
                make_cell(
                    config,
                    system,
                    prompts,
                    options.out,
                    limit=options.limit,
                    workers=options.workers,
                    on_rows=functools.partial(tell, what),
                )
            )
        synthetic = prompts.config.synthetic
        if synthetic and config.asks("face", prompts.config.name):
            source = next(c for c in made if c.system.name == synthetic.source)
            make_synthetic(source, options.out)
        if config.asks("face", prompts.config.name):
            made = [with_references(cell, config, options.out) for cell in made]
        cells += made
    return cells


def _score(
    cell: Cell, config: SuiteConfig, head: Head | None, options: SuiteOptions, tell: OnStep
) -> list[Scored]:
    """All metrics that are asked for of one cell."""
    name, out = cell.set_name, options.out
    found: list[Scored] = []

    def told(metric: str) -> Callable[[int], None]:
        what = f"{cell.system.name} on {name}: {metric}"
        tell(what, 0)
        return functools.partial(tell, what)

    if config.asks("face", name):
        assert head is not None
        found.append(score_face(cell, config, head, out, told("face"), options.workers))
    if config.asks("sync", name):
        found.append(score_sync(cell, config, out, told("sync")))
    if config.asks("consistency", name):
        found.append(score_consistency(cell, config, out, told("consistency")))
    if config.asks("tts", name):
        found.append(score_tts(cell, config, out, told("tts"), options.limit))
    if config.asks("latency", name):
        timed = score_latency(cell, config, out, told("latency"))
        found += [timed] if timed else []
    return found


def _record(
    config: SuiteConfig,
    options: SuiteOptions,
    sets: Sequence[PromptSet],
    cells: Sequence[Cell],
    scored: Sequence[Scored],
) -> dict[str, Any]:
    """All that is known, without the rows, which lie in files of their own."""
    counts = {"n": 0, "n_scored": 0, "n_failed": 0}
    for one in scored:
        for key in counts:
            counts[key] += one.result["counts"][key]
    return {
        "title": config.title,
        "settings": {
            "exomni": __version__, "config": str(config.path),
            "config_sha256": sha256_file(config.path), "seed": config.seed,
            "limit": options.limit,
            "packages": {name: installed_version(name) for name in _PACKAGES},
            "metrics": {
                metric: {k: str(v) if isinstance(v, Path) else v for k, v in asdict(chosen).items()}
                for metric, chosen in config.metrics.items()
            },
        },
        "sets": [facts_of(one) for one in sets],
        "systems": [_system_facts(one) for one in config.systems],
        "clips": [_cell_facts(cell) for cell in cells],
        "counts": counts,
        "results": [_plain(one) for one in scored],
        "paired": _paired(config, scored),
    }  # fmt: skip


def _system_facts(system: SystemConfig) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": system.name, "description": system.description}
    if system.made is None:
        return facts | {"kind": "finished run", "run": system.run}
    made = {k: v for k, v in asdict(system.made).items() if k not in ("name", "description")}
    return facts | {
        "kind": type(system.made).__name__.removesuffix("System").lower(),
        **{key: str(value) if isinstance(value, Path) else value for key, value in made.items()},
    }


def _cell_facts(cell: Cell) -> dict[str, Any]:
    missing = [item for item in cell.items if item.path is None]
    return {
        "system": cell.system.name,
        "set": cell.set_name,
        "place": str(cell.place),
        "n": len(cell.items),
        "n_failed": len(missing),
        "error": cell.error,
        "failures": [{"id": item.id, "reason": item.error} for item in missing],
    }


def _plain(one: Scored) -> dict[str, Any]:
    facts = {k: v for k, v in one.result.items() if k != "rows"}
    return {
        "metric": one.metric,
        "system": one.system,
        "set": one.set_name,
        "rows": one.rows,
        **facts,
    }


def _paired(config: SuiteConfig, scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """LVE of each pair of systems, prompt by prompt, set by set."""
    found = []
    for one in config.sets:
        faces = [s for s in scored if s.metric == "face" and s.set_name == one.name]
        for number, a in enumerate(faces):
            for b in faces[number + 1 :]:
                difference = paired_difference(
                    _scored_rows(a), _scored_rows(b), "lve_l2_mm", seed=config.seed
                )
                found.append({"set": one.name, "a": a.system, "b": b.system, **difference})
    return found


def _scored_rows(one: Scored) -> list[Mapping[str, Any]]:
    return [row for row in one.result["rows"] if row["status"] == "scored"]


def _write(suite: Suite, out: Path) -> None:
    """suite.json without anything that a clock has measured; latency.json with it."""
    timed = [one for one in suite.record["results"] if one["metric"] == "latency"]
    rest = [one for one in suite.record["results"] if one["metric"] != "latency"]
    write_record(out / "suite.json", suite.record | {"results": rest})
    if timed:
        write_record(out / "latency.json", {"results": timed})
    numbers = numbers_of(suite.scored)
    write_text(out / "numbers.csv", csv_text([n for n in numbers if n["metric"] != "latency"]))
    if timed:
        text = csv_text([n for n in numbers if n["metric"] == "latency"])
        write_text(out / "latency.csv", text)
