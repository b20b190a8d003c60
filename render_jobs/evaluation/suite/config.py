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
from typing import Any, Final

from exomni_core.errors import InputError
from render_jobs.evaluation.suite.tables import Field, read_table, read_toml, unique_names
from render_jobs.study.making.runs import check_system_name
from render_jobs.systems.config import EngineSystem, System, find_system, read_systems

METRICS: Final = ("face", "sync", "consistency", "tts", "latency")
_PLACEHOLDER: Final = re.compile(r"\{(\w*)\}")

_SUITE: Final = {
    "title": Field("text", "Evaluation"),
    "note": Field("text", ""),
    "seed": Field("whole", 0),
    "systems": Field("path"),
}
_SET: Final = {
    "name": Field("text", needed=True),
    "prompts": Field("path", needed=True),
    "references": Field("text"),
    "synthetic": Field("table"),
    "texts": Field("path"),
    "audio": Field("path"),
    "phones": Field("path"),
    "meta": Field("path"),
    "case": Field("text", ""),
}
_SYNTHETIC: Final = {"from": Field("text", needed=True), "seed": Field("whole", 0)}
_SYSTEM: Final = {
    "name": Field("text", needed=True),
    "engine": Field("text"),
    "run": Field("text"),
    "system": Field("text"),
    "options": Field("table"),
    "prompt": Field("table"),
    "lines": Field("text", ""),
    "description": Field("text", ""),
}
_SETS: Final = {"sets": Field("texts", ()), "note": Field("text", "")}
_METRICS: Final[dict[str, dict[str, Field]]] = {
    "face": _SETS | {
        "template": Field("text", "head"),
        "lip_ids": Field("path"),
        "upper_ids": Field("path"),
        "unit": Field("text", "", ("m", "cm", "mm")),
        "clip": Field("text", "", ("01",)),
        "ref_mouthclose": Field("text", "asis", ("asis", "claire")),
        "allow_length_mismatch": Field("flag", False),
        "fps": Field("number"),
    },
    "sync": _SETS | {"realign": Field("flag", False), "fps": Field("number")},
    "consistency": _SETS | {
        "hyp": Field("text"), "asr": Field("text"), "asr_timeout": Field("number", 300.0),
    },
    "tts": _SETS | {
        "hyp": Field("text"), "asr": Field("text"), "asr_timeout": Field("number", 300.0),
    },
    "latency": _SETS | {
        "n": Field("whole", 100), "warmup": Field("whole", 3), "stream": Field("flag", False),
    },
}  # fmt: skip


@dataclass(frozen=True)
class SetConfig:
    """Prompts with what is known of them.

    references: a place, or a pattern with {system}. synthetic_from: the system whose clips
    synthetic references are made from, with synthetic_seed. texts: lines of what is said, audio: a
    folder of sounds, phones: of phone files, by id, for clips that don't know. meta: the
    Seed-TTS-Eval list that the prompts come from. case: the prompt shown as a case study.
    """

    name: str
    prompts: Path
    references: str = ""
    synthetic_from: str = ""
    synthetic_seed: int = 0
    texts: Path | None = None
    audio: Path | None = None
    phones: Path | None = None
    meta: Path | None = None
    case: str = ""

    @property
    def has_references(self) -> bool:
        """Whether faces can be compared with something."""
        return bool(self.references or self.synthetic_from)


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
    """All of it. metrics: options by metric, with `sets` (empty: all) and a `note` to readers.

    note: what readers of the report must know of the whole.
    """

    path: Path
    title: str
    seed: int
    sets: tuple[SetConfig, ...]
    systems: tuple[SystemConfig, ...]
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    note: str = ""

    def place(self, pattern: str, system: str, set_name: str) -> Path:
        """A pattern of this file as a path."""
        filled = pattern.replace("{system}", system).replace("{set}", set_name)
        return self.path.parent / Path(filled).expanduser()

    def asks(self, metric: str, set_name: str) -> bool:
        """Whether `metric` is wanted on that set."""
        chosen = self.metrics.get(metric)
        return chosen is not None and (not chosen["sets"] or set_name in chosen["sets"])


def read_config(path: Path) -> SuiteConfig:
    """Read a suite's file; InputError names file, table and key, in one sentence."""
    data = read_toml(path)
    known = ("suite", "set", "system", "metrics")
    for key in data:
        if key not in known:
            raise InputError(
                f"{path} has an unknown table [{key:.40}]; known are [suite], [[set]], [[system]] "
                "and [metrics.NAME]",
                field=key,
            )
    head = read_table(data.get("suite", {}), _SUITE, f"{path}: [suite]", path.parent)
    sets = tuple(_set(one, path) for one in _list(data, "set", path))
    systems = tuple(_system(one, path, head["systems"]) for one in _list(data, "system", path))
    unique_names([one.name for one in sets], f"{path}: [[set]]")
    unique_names([one.name for one in systems], f"{path}: [[system]]")
    config = SuiteConfig(
        path, head["title"], head["seed"], sets, systems,
        _metrics(data.get("metrics", {}), path), head["note"],
    )  # fmt: skip
    _check(config)
    return config


def _list(data: Mapping[str, Any], key: str, path: Path) -> Sequence[object]:
    found = data.get(key)
    if not isinstance(found, list) or not found:
        raise InputError(f"{path} lacks [[{key}]]; a suite has at least one", field=key)
    return found


def _set(data: object, path: Path) -> SetConfig:
    where = f"{path}: [[set]]"
    values = read_table(data, _SET, where, path.parent)
    where += f" {values['name']:.40}"
    _folder_name(values["name"], where)
    synthetic = values.pop("synthetic")
    if synthetic is not None:
        if values["references"]:
            raise InputError(f"{where} has references and synthetic; keep one", field="synthetic")
        made = read_table(synthetic, _SYNTHETIC, f"{where}: synthetic", path.parent)
        values |= {"synthetic_from": made["from"], "synthetic_seed": made["seed"]}
    values["references"] = _pattern(values["references"] or "", "references", where)
    return SetConfig(**values)


def _system(data: object, path: Path, systems_file: Path | None) -> SystemConfig:
    where = f"{path}: [[system]]"
    values = read_table(data, _SYSTEM, where, path.parent)
    name = values["name"]
    where += f" {name:.40}"
    check_system_name(name)
    named = [key for key in ("engine", "run", "system") if values[key] is not None]
    if len(named) != 1:
        raise InputError(
            f"{where} needs exactly one of engine, run and system (a name in the systems file), "
            f"but has {' and '.join(named) or 'none'}",
            field="system",
        )
    for key in ("options", "prompt"):
        if values[key] is not None and named != ["engine"]:
            raise InputError(f"{where}: {key} is for an engine only", field=key)
    run = _pattern(values["run"] or "", "run", where)
    if run:
        return SystemConfig(name, None, run, values["lines"], values["description"])
    if values["engine"]:
        made: System = EngineSystem(
            name, values["engine"], values["options"] or {}, values["prompt"] or {}
        )
        _known_engine(values["engine"], where)
    else:
        found = read_systems(systems_file or path.parent / "systems.toml")
        made = find_system(found, values["system"])
    return SystemConfig(name, made, "", "", values["description"] or made.description)


def _metrics(data: object, path: Path) -> dict[str, dict[str, Any]]:
    if not isinstance(data, dict) or not data:
        raise InputError(f"{path} lacks [metrics.NAME]; known are {', '.join(METRICS)}",
                         field="metrics")  # fmt: skip
    found = {}
    for name, table in data.items():
        if name not in _METRICS:
            raise InputError(
                f"{path} has an unknown metric [metrics.{name:.40}]; known are "
                f"{', '.join(METRICS)}",
                field=name,
            )
        where = f"{path}: [metrics.{name}]"
        found[name] = read_table(table, _METRICS[name], where, path.parent)
        if name in ("consistency", "tts"):
            if (found[name]["hyp"] is None) == (found[name]["asr"] is None):
                raise InputError(f"{where} needs either hyp, transcripts, or asr, a recogniser's "
                                 "command", field="hyp")  # fmt: skip
            _pattern(found[name]["hyp"] or "", "hyp", where)
    return {name: found[name] for name in METRICS if name in found}


def _check(config: SuiteConfig) -> None:
    """What goes beyond one table."""
    names = [one.name for one in config.sets]
    for metric, options in config.metrics.items():
        for name in options["sets"]:
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
            raise InputError(f"{where} has no meta, the Seed-TTS-Eval list that tts needs",
                             field="meta")  # fmt: skip
        makers = [s.name for s in config.systems]
        if one.synthetic_from and one.synthetic_from not in makers:
            raise InputError(
                f"{where}: synthetic is from {one.synthetic_from!r:.40}; known systems are "
                f"{', '.join(makers)}",
                field="from",
            )


def _pattern(text: str, key: str, where: str) -> str:
    for name in _PLACEHOLDER.findall(text):
        if name not in ("system", "set"):
            raise InputError(
                f"{where}: {key} holds {{{name:.40}}}; known are {{system}} and {{set}}", field=key
            )
    return text


def _folder_name(name: str, where: str) -> None:
    try:
        check_system_name(name)
    except InputError as error:
        raise InputError(
            f"{where}: {name[:60]!r} can't name a set; use letters, digits, '-', '.' and single "
            "'_'",
            field="name",
        ) from error


def _known_engine(name: str, where: str) -> None:
    from exomni_core.engine import engine_names

    if name not in engine_names():
        raise InputError(
            f"{where}: there is no engine {name!r:.40}; the choice is {', '.join(engine_names())}",
            field="engine",
        )
