# SPDX-License-Identifier: GPL-3.0-or-later
"""A `systems.toml` in, the systems that it names out: what can sit on a side of a comparison.

Each is one of five kinds: an engine of ours, finished clips, finished coefficients, a program run
once per clip, or an adapter that drives the user's own checkout of somebody's model.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Union

from exomni_core.arkit import ARKIT_52, LIVE_LINK_52, UNITALKER_51
from exomni_core.engine import DEFAULT_ENGINE
from exomni_core.errors import InputError
from exomni_core.formats.clip import FORMAT as CLIP
from exomni_core.formats.format import endings, readable
from exomni_core.storage.documents import read_toml
from exomni_core.storage.schema import By, Place, Range, one_of, read, read_values
from render_jobs.study.making.runs import check_system_name

SYSTEMS_FILE: Final = "systems.toml"
OUTSIDE: Final = Path(__file__).resolve().parents[1] / "outside"
EXAMPLE: Final = OUTSIDE / "systems.toml"
DRIVERS: Final = ("emotalk", "unitalker")
PLACEHOLDERS: Final = ("audio", "text", "out", "out_audio", "id", "language", "python")
MOUTH_CLOSE: Final = ("asis", "claire")
ORDERS: Final[dict[str, tuple[str, ...]]] = {
    "arkit-alphabetical": ARKIT_52,
    "live-link": LIVE_LINK_52,
    "unitalker-51": UNITALKER_51,
}


def _read_names(value: object, key: str, place: Place) -> tuple[str, ...]:
    """An order's name, or the list itself."""
    if not isinstance(value, str):
        found: tuple[str, ...] = read_values({key: tuple[str, ...]}, {key: value}, place)[key]
        return found
    if value not in ORDERS:
        known = f"one of {', '.join(ORDERS)}, or a list of channels"
        raise place.wrong(key, known, value)
    return ORDERS[value]


Names = Annotated[tuple[str, ...], By(_read_names, "an order's name or a list of channels")]
Amount = Annotated[float, Range(0.001, 1_000_000)]
Count = Annotated[int, Range(0, 1_000_000)]


@dataclass(frozen=True)
class EngineSystem:
    """An engine of ours. options: for the engine; prompt: fields that override every prompt's."""

    name: str
    engine: str = DEFAULT_ENGINE
    options: Mapping[str, Any] = field(default_factory=dict)
    prompt: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""


@dataclass(frozen=True)
class ClipsSystem:
    """Finished `.clip` files named by prompt id."""

    name: str
    folder: Path
    description: str = ""


@dataclass(frozen=True)
class CoefficientsSystem:
    """Finished coefficient files. files: a pattern with {id}, relative to `folder`.

    names: the columns of an array that names none (an order's name or a list). fps: overrides the
    file. audio: a pattern with {id} for the sound, relative to `folder`, where the prompts have
    none. mouth_close: one of MOUTH_CLOSE; `claire`: weights of a head whose mouthClose opens the
    jaw as well, so that other heads need jawOpen + mouthClose.
    """

    name: str
    folder: Path
    files: str = "{id}.json"
    names: Names = ()
    fps: Amount | None = None
    audio: str = ""
    mouth_close: Annotated[str, one_of(MOUTH_CLOSE)] = "asis"
    description: str = ""


@dataclass(frozen=True)
class ProgramSystem:
    """A program run once per clip, without a shell. command: arguments with placeholders.

    output: the suffix of {out}, which tells what the program writes. python: for {python}.
    timeout_s: for one clip. retries: how often it may fail. workers: how many run at once.
    """

    name: str
    command: tuple[str, ...]
    output: str = ".npz"
    cwd: Path = Path()
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    names: Names = ()
    fps: Amount | None = None
    timeout_s: Amount = 300.0
    retries: Count = 1
    workers: Count = 1
    description: str = ""


@dataclass(frozen=True)
class AdapterSystem:
    """A driver script of ours (or the user's) run in the user's own checkout with its own Python.

    driver: one of DRIVERS or a script's path. start_s: for loading the model. options: the
    driver's; see docs/systems.md. retries: how often the process may die.
    """

    name: str
    driver: str
    checkout: Path
    python: str = "python"
    checkpoint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    start_s: Amount = 900.0
    timeout_s: Amount = 600.0
    retries: Count = 1
    description: str = ""

    @property
    def script(self) -> Path:
        """The driver's file."""
        if self.driver in DRIVERS:
            return OUTSIDE / f"{self.driver}_driver.py"
        return Path(self.driver)


System = Union[EngineSystem, ClipsSystem, CoefficientsSystem, ProgramSystem, AdapterSystem]  # noqa: UP007
KINDS: Final[dict[str, type]] = {
    "engine": EngineSystem,
    "clips": ClipsSystem,
    "coefficients": CoefficientsSystem,
    "program": ProgramSystem,
    "adapter": AdapterSystem,
}


def kind_of(system: System) -> str:
    """The word for the system's kind in `systems.toml`."""
    return next(kind for kind, made in KINDS.items() if isinstance(system, made))


def system_to_json(system: System) -> dict[str, Any]:
    """A system as plain data, its kind included."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(system), default=str))
    return {"kind": kind_of(system), **plain}


def system_from_json(data: Mapping[str, Any]) -> System:
    """The inverse of `system_to_json`."""
    values = {key: value for key, value in data.items() if key not in ("kind", "name")}
    system: System = read(KINDS[data["kind"]], values, Place("a step"), {"name": data["name"]})
    return system


def read_systems(path: Path) -> dict[str, System]:
    """Read a systems file; paths in it are relative to its folder. Raises InputError.

    Without such a file there are still the embedded engine's three styles.
    """
    if not path.exists() and path.name == SYSTEMS_FILE:
        return {system.name: system for system in _built_in()}
    data = read_toml(path, advice=f"make one with: exorender systems example > {path}")
    tables = data.get("systems")
    if not isinstance(tables, dict) or not tables or data.keys() != {"systems"}:
        raise InputError(f"{path} must hold tables [systems.NAME] and nothing else", field="config")
    found: dict[str, System] = {}
    for name, table in tables.items():
        place = Place(f"{path}: [systems.{name}]", folder=path.parent, table="a table")
        found[check_system_name(name)] = _system(name, table, place)
    return {**{system.name: system for system in _built_in()}, **found}


def find_system(systems: Mapping[str, System], name: str) -> System:
    """The system of that name; InputError that lists the names."""
    if name not in systems:
        raise InputError(
            f"there is no system {name!r:.60}; known are {', '.join(sorted(systems))}",
            field="system",
        )
    return systems[name]


def _built_in() -> list[System]:
    return [
        EngineSystem(f"embedded_{style}", prompt={"style": style},
                     description=f"the embedded engine, {style} face")
        for style in ("quiet", "neutral", "lively")
    ]  # fmt: skip


def _system(name: str, table: object, place: Place) -> System:
    values = dict(table) if isinstance(table, dict) else {}
    kind = values.pop("kind", None)
    if kind not in KINDS:
        raise place.wrong("kind", f"one of {', '.join(KINDS)}", kind)
    given: dict[str, Any] = {"name": name}
    if kind == "program" and "cwd" not in values:
        given["cwd"] = place.folder
    system: System = read(KINDS[kind], values, place, given)
    _check(system, place.name)
    if isinstance(system, AdapterSystem) and system.driver not in DRIVERS:
        return _with_driver_path(system, place.folder, place.name)
    return system


def _with_driver_path(system: AdapterSystem, folder: Path, where: str) -> AdapterSystem:
    script = folder / Path(system.driver).expanduser()
    if not script.is_file():
        raise InputError(
            f"{where}: there is no driver {system.driver!r:.60}; name {' or '.join(DRIVERS)}, or a "
            "script",
            field="driver",
        )
    return replace(system, driver=str(script))


def _check(system: System, where: str) -> None:
    """What goes beyond types."""
    if isinstance(system, CoefficientsSystem):
        for key, pattern in (("files", system.files), ("audio", system.audio)):
            if pattern and placeholders(pattern, where, key) != {"id"}:
                raise InputError(f"{where}: {key} must hold {{id}} and nothing else", field=key)
        if Path(system.files).suffix not in _coefficient_endings():
            raise InputError(
                f"{where}: files must end in {', '.join(_coefficient_endings())}", field="files"
            )
    if isinstance(system, ProgramSystem):
        if not system.command:
            raise InputError(f"{where}: command is empty", field="command")
        used = set().union(*(placeholders(part, where, "command") for part in system.command))
        if "out" not in used:
            raise InputError(f"{where}: command must hold {{out}}", field="command")
        if not used & {"audio", "text"}:
            raise InputError(f"{where}: command must hold {{audio}} or {{text}}", field="command")
        outputs = (*_coefficient_endings(), CLIP.ending, ".mp4")
        if system.output not in outputs:
            raise InputError(
                f"{where}: output must be one of {', '.join(outputs)}, not {system.output!r:.20}",
                field="output",
            )


def _coefficient_endings() -> tuple[str, ...]:
    """Of files that hold a face without sound."""
    return tuple(ending for ending in endings(readable()) if ending != CLIP.ending)


def placeholders(pattern: str, where: str, key: str) -> set[str]:
    """The names in braces in `pattern`; InputError for one that nobody fills."""
    try:
        found = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
    except ValueError as error:
        raise InputError(
            f"{where}: {key} has a stray brace in {pattern!r:.60}; write {{{{ for a brace",
            field=key,
        ) from error
    if unknown := sorted(found - set(PLACEHOLDERS)):
        known = ", ".join("{" + name + "}" for name in PLACEHOLDERS)
        raise InputError(f"{where}: {key} holds {{{unknown[0]}}}; known are {known}", field=key)
    return found
