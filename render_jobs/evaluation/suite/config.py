# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite's TOML file in, what to measure of which systems on which sets out. Strict.

Paths are relative to the file. Patterns may hold `{system}` and `{set}`; a recogniser's command
may hold `{folder}`, where the file lies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from exomni_core.engine import engine_names
from exomni_core.errors import InputError
from exomni_core.storage.documents import read_toml
from exomni_core.storage.schema import By, Place, read, read_values
from render_jobs.evaluation.suite.metric_options import (
    METRICS,
    HearingMetric,
    MetricOptions,
    Text,
    Whole,
)
from render_jobs.study.making.runs import check_system_name
from render_jobs.systems.config import EngineSystem, System, find_system, read_systems

_PLACEHOLDER: Final = re.compile(r"\{(\w*)\}")
_TABLES: Final = ("suite", "set", "system", "metrics")


@dataclass(frozen=True)
class _SuiteTable:
    """[suite]. systems: the file that [[system]] entries with `system` name their systems from."""

    title: Text = "Evaluation"
    note: Text = ""
    seed: Whole = 0
    systems: Path | None = None


@dataclass(frozen=True)
class _SystemTable:
    """[[system]]: exactly one of engine, run and system."""

    name: Text
    engine: Text | None = None
    run: Text | None = None
    system: Text | None = None
    options: Mapping[str, Any] | None = None
    prompt: Mapping[str, Any] | None = None
    lines: Text = ""
    description: Text = ""


@dataclass(frozen=True)
class Synthetic:
    """References made up from the clips of the system `source` (`from` in the file)."""

    source: str
    seed: int = 0


def _read_synthetic(value: object, key: str, place: Place) -> Synthetic:
    inside = place.within(key)
    found = read_values({"from": Text, "seed": Whole}, value, inside)
    if "from" not in found:
        raise inside.error(f" lacks {key}.from, the name of a system", "from")
    return Synthetic(found["from"], found.get("seed", 0))


@dataclass(frozen=True)
class SetConfig:
    """[[set]]: prompts with what is known of them.

    references: a place, or a pattern with {system}. texts: lines of what is said, audio: a folder
    of sounds, phones: of phone files, by id, for clips that don't know. meta: the Seed-TTS-Eval
    list that the prompts come from. case: the prompt shown as a case study.
    """

    name: Text
    prompts: Path
    references: Text = ""
    synthetic: Annotated[Synthetic | None, By(_read_synthetic, "a table")] = None
    texts: Path | None = None
    audio: Path | None = None
    phones: Path | None = None
    meta: Path | None = None
    case: Text = ""

    @property
    def has_references(self) -> bool:
        """Whether faces can be compared with something."""
        return bool(self.references or self.synthetic)


@dataclass(frozen=True)
class SystemConfig:
    """What is measured: `made` is run on the prompts, or `run` (a pattern) is finished.

    lines: the system's name in the lists of `run`.
    """

    name: str
    made: System | None = None
    run: str = ""
    lines: str = ""
    description: str = ""

    @property
    def engine(self) -> EngineSystem | None:
        """The engine of ours, if it is one."""
        return self.made if isinstance(self.made, EngineSystem) else None


@dataclass(frozen=True)
class SuiteConfig:
    """All of it. metrics: the options of those that are asked for, each of its class in METRICS.

    note: what readers of the report must know of the whole.
    """

    path: Path
    title: str
    seed: int
    sets: tuple[SetConfig, ...]
    systems: tuple[SystemConfig, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def place(self, pattern: str, system: str, set_name: str) -> Path:
        """A pattern of this file as a path."""
        filled = pattern.replace("{system}", system).replace("{set}", set_name)
        return self.path.parent / Path(filled).expanduser()

    def asks(self, metric: str, set_name: str) -> bool:
        """Whether `metric` is wanted on that set."""
        chosen = self.metrics.get(metric)
        return chosen is not None and (not chosen.sets or set_name in chosen.sets)


def read_config(path: Path) -> SuiteConfig:
    """Read a suite's file; InputError names file, table and key, in one sentence."""
    data = read_toml(path, advice="see docs/evaluation.md for a suite's file")
    for key in data:
        if key not in _TABLES:
            raise InputError(
                f"{path} has an unknown table [{key:.40}]; known are [suite], [[set]], [[system]] "
                "and [metrics.NAME]",
                field=key,
            )
    head = read(_SuiteTable, data.get("suite", {}), _place(path, "[suite]"))
    sets = [_set(one, path) for one in _list(data, "set", path)]
    systems = [_system(one, path, head.systems) for one in _list(data, "system", path)]
    _check_unique([one.name for one in sets], f"{path}: [[set]]")
    _check_unique([one.name for one in systems], f"{path}: [[system]]")
    metrics = _metrics(data.get("metrics"), path)
    config = SuiteConfig(
        path, head.title, head.seed, tuple(sets), tuple(systems), metrics, head.note
    )
    _check(config)
    return config


def _place(path: Path, table: str, data: object = None) -> Place:
    """For a table of the file, with its name if it has one."""
    name = data.get("name") if isinstance(data, dict) else None
    shown = f"{table} {name:.40}" if isinstance(name, str) else table
    return Place(f"{path}: {shown}", folder=path.parent, table="a table")


def _list(data: Mapping[str, Any], key: str, path: Path) -> Sequence[object]:
    found = data.get(key)
    if not isinstance(found, list) or not found:
        raise InputError(f"{path} lacks [[{key}]]; a suite has at least one", field=key)
    return found


def _set(data: object, path: Path) -> SetConfig:
    place = _place(path, "[[set]]", data)
    found = read(SetConfig, data, place)
    _check_folder_name(found.name, place.name)
    if found.synthetic is not None and found.references:
        raise place.error(" has references and synthetic; keep one", "synthetic")
    _check_pattern(found.references, "references", place)
    return found


def _system(data: object, path: Path, systems_file: Path | None) -> SystemConfig:
    place = _place(path, "[[system]]", data)
    told = read(_SystemTable, data, place)
    name = check_system_name(told.name)
    named = [key for key in ("engine", "run", "system") if getattr(told, key) is not None]
    if len(named) != 1:
        raise place.error(
            " needs exactly one of engine, run and system (a name in the systems file), but has "
            f"{' and '.join(named) or 'none'}",
            "system",
        )
    for key in ("options", "prompt"):
        if getattr(told, key) is not None and told.engine is None:
            raise place.error(f": {key} is for an engine only", key)
    if told.run:
        _check_pattern(told.run, "run", place)
        return SystemConfig(name, None, told.run, told.lines, told.description)
    if told.engine:
        if told.engine not in engine_names():
            raise place.wrong("engine", f"one of {', '.join(engine_names())}", told.engine)
        made: System = EngineSystem(name, told.engine, told.options or {}, told.prompt or {})
    else:
        found = read_systems(systems_file or path.parent / "systems.toml")
        made = find_system(found, str(told.system))
    return SystemConfig(name, made, "", "", told.description or made.description)


def _metrics(data: object, path: Path) -> dict[str, MetricOptions]:
    if not isinstance(data, dict) or not data:
        raise InputError(
            f"{path} lacks [metrics.NAME]; known are {', '.join(METRICS)}", field="metrics"
        )
    for name in data:
        if name not in METRICS:
            raise InputError(
                f"{path} has an unknown metric [metrics.{name:.40}]; known are "
                f"{', '.join(METRICS)}",
                field=name,
            )
    return {name: _metric(name, data[name], path) for name in METRICS if name in data}


def _metric(name: str, data: object, path: Path) -> MetricOptions:
    place = _place(path, f"[metrics.{name}]")
    found = read(METRICS[name], data, place)
    if isinstance(found, HearingMetric):
        if (found.hyp is None) == (found.asr is None):
            raise place.error(
                " needs either hyp, transcripts, or asr, a recogniser's command", "hyp"
            )
        _check_pattern(found.hyp or "", "hyp", place)
    return found


def _check(config: SuiteConfig) -> None:
    """What goes beyond one table."""
    names = [one.name for one in config.sets]
    for metric, options in config.metrics.items():
        for name in options.sets:
            if name not in names:
                raise InputError(
                    f"{config.path}: [metrics.{metric}] names a set {name!r:.40}; known are "
                    f"{', '.join(names)}",
                    field="sets",
                )
    for one in config.sets:
        where = f"{config.path}: [[set]] {one.name}"
        if config.asks("face", one.name) and not one.has_references:
            raise InputError(
                f"{where} has no references for the face metrics; give references or synthetic, or "
                "leave it out of [metrics.face] sets",
                field="references",
            )
        if config.asks("tts", one.name) and one.meta is None:
            raise InputError(
                f"{where} has no meta, the Seed-TTS-Eval list that tts needs", field="meta"
            )
        makers = [s.name for s in config.systems]
        if one.synthetic and one.synthetic.source not in makers:
            raise InputError(
                f"{where}: synthetic is from {one.synthetic.source!r:.40}; known systems are "
                f"{', '.join(makers)}",
                field="from",
            )


def _check_unique(names: Sequence[str], where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where} holds {name!r} twice; give each its own name", field="name")


def _check_pattern(text: str, key: str, place: Place) -> None:
    for name in _PLACEHOLDER.findall(text):
        if name not in ("system", "set"):
            known = "known are {system} and {set}"
            raise place.error(f": {key} holds {{{name:.40}}}; {known}", key)


def _check_folder_name(name: str, where: str) -> None:
    try:
        check_system_name(name)
    except InputError as error:
        raise InputError(
            f"{where}: {name[:60]!r} can't name a set; use letters, digits, '-', '.' and single "
            "'_'",
            field="name",
        ) from error
