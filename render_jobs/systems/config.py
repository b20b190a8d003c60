# SPDX-License-Identifier: GPL-3.0-or-later
"""A `systems.toml` in, the systems that it names out: what can sit on a side of a comparison.

Each is one of five kinds: an engine of ours, finished clips, finished coefficients, a program run
once per clip, or an adapter that drives the user's own checkout of somebody's model.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar, Union

from exomni_core.arkit import ARKIT_52, LIVE_LINK_52, UNITALKER_51
from exomni_core.errors import InputError
from render_jobs.study.making.runs import check_system_name

SYSTEMS_FILE: Final = "systems.toml"
OUTSIDE: Final = Path(__file__).resolve().parents[1] / "outside"
EXAMPLE: Final = OUTSIDE / "systems.toml"
DRIVERS: Final = ("emotalk", "unitalker")
COEFFICIENT_SUFFIXES: Final = (".npz", ".npy", ".json", ".csv")
OUTPUT_SUFFIXES: Final = (*COEFFICIENT_SUFFIXES, ".clip", ".mp4")
PLACEHOLDERS: Final = ("audio", "text", "out", "out_audio", "id", "language", "python")
MOUTH_CLOSE: Final = ("asis", "claire")
ORDERS: Final[dict[str, tuple[str, ...]]] = {
    "arkit-alphabetical": ARKIT_52,
    "live-link": LIVE_LINK_52,
    "unitalker-51": UNITALKER_51,
}


@dataclass(frozen=True)
class EngineSystem:
    """An engine of ours. options: for the engine; prompt: fields that override every prompt's."""

    name: str
    engine: str = "embedded"
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
    names: tuple[str, ...] = ()
    fps: float | None = None
    audio: str = ""
    mouth_close: str = "asis"
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
    names: tuple[str, ...] = ()
    fps: float | None = None
    timeout_s: float = 300.0
    retries: int = 1
    workers: int = 1
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
    start_s: float = 900.0
    timeout_s: float = 600.0
    retries: int = 1
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
T = TypeVar("T")


def kind_of(system: System) -> str:
    """The word for the system's kind in `systems.toml`."""
    return next(kind for kind, made in KINDS.items() if isinstance(system, made))


def read_systems(path: Path) -> dict[str, System]:
    """Read a systems file; paths in it are relative to its folder. Raises InputError.

    Without such a file there are still the embedded engine's three styles.
    """
    if not path.exists() and path.name == SYSTEMS_FILE:
        return {system.name: system for system in _built_in()}
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(
            f"{path} can't be read ({reason}); make one with: exorender systems example > {path}",
            field="config",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is broken TOML ({error})", field="config") from error
    tables = data.get("systems")
    if not isinstance(tables, dict) or not tables or data.keys() != {"systems"}:
        raise InputError(f"{path} must hold tables [systems.NAME] and nothing else", field="config")
    found: dict[str, System] = {}
    for name, table in tables.items():
        where = f"{path}: [systems.{name}]"
        if not isinstance(table, dict):
            raise InputError(f"{where} must be a table", field="config")
        found[check_system_name(name)] = _system(name, table, path.parent, where)
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


def _system(name: str, table: Mapping[str, Any], folder: Path, where: str) -> System:
    kind = table.get("kind")
    if kind not in KINDS:
        raise InputError(
            f"{where}: kind is {kind!r:.40}; it must be one of {', '.join(KINDS)}", field="kind"
        )
    made = KINDS[kind]
    known = {one.name: one for one in fields(made) if one.name != "name"}
    for key in table:
        if key != "kind" and key not in known:
            raise InputError(
                f"{where} has an unknown field {key!r:.40}; known are {', '.join(known)}", field=key
            )
    for key, one in known.items():
        if key not in table and one.default is MISSING and one.default_factory is MISSING:
            raise InputError(f"{where} lacks {key}", field=key)
    values = {
        key: _value(str(known[key].type), table[key], key, folder, where)
        for key in table
        if key != "kind"
    }
    if made is ProgramSystem and "cwd" not in values:
        values["cwd"] = folder
    system: System = made(name=name, **values)
    _check(system, where)
    if isinstance(system, AdapterSystem) and system.driver not in DRIVERS:
        return _with_driver_path(system, folder, where)
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


def _value(kind: str, value: Any, key: str, folder: Path, where: str) -> Any:
    """One field of a table as the dataclass wants it; InputError names field and type."""
    if key == "names":
        return _names(value, where)
    if kind == "Path":
        return folder / Path(_typed(value, str, "a path", key, where)).expanduser()
    if kind == "str":
        return _typed(value, str, "a text", key, where)
    if kind.startswith("float"):
        number = _typed(value, (int, float), "a number", key, where)
        return _positive(float(number), key, where)
    if kind == "int":
        return _positive(_typed(value, int, "a whole number", key, where), key, where, least=0)
    if kind.startswith("tuple"):
        return tuple(_texts(_typed(value, list, "a list of texts", key, where), key, where))
    table = _typed(value, dict, "a table", key, where)
    if kind == "Mapping[str, str]":
        _texts(list(table.values()), key, where)
    return table


def _typed(value: Any, kind: Any, words: str, key: str, where: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{where}: {key} must be {words}, not {value!r:.40}", field=key)
    return value


def _positive(value: Any, key: str, where: str, least: float = 0.001) -> Any:
    if not least <= value <= 1e6:
        raise InputError(f"{where}: {key} is {value!r:.20}; that can't be", field=key)
    return value


def _texts(values: Sequence[Any], key: str, where: str) -> Sequence[str]:
    if not all(isinstance(one, str) and "\0" not in one for one in values):
        raise InputError(f"{where}: {key} must hold texts only", field=key)
    return values


def _names(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        if value not in ORDERS:
            raise InputError(
                f"{where}: names is {value!r:.40}; known orders are {', '.join(ORDERS)}, or give "
                "the list itself",
                field="names",
            )
        return ORDERS[value]
    listed = _typed(value, list, "an order's name or a list of channels", "names", where)
    return tuple(_texts(listed, "names", where))


def _check(system: System, where: str) -> None:
    """What goes beyond types."""
    if isinstance(system, CoefficientsSystem):
        for key, pattern in (("files", system.files), ("audio", system.audio)):
            if pattern and placeholders(pattern, where, key) != {"id"}:
                raise InputError(f"{where}: {key} must hold {{id}} and nothing else", field=key)
        if Path(system.files).suffix not in COEFFICIENT_SUFFIXES:
            raise InputError(
                f"{where}: files must end in {', '.join(COEFFICIENT_SUFFIXES)}", field="files"
            )
        if system.mouth_close not in MOUTH_CLOSE:
            raise InputError(
                f"{where}: mouth_close must be {' or '.join(MOUTH_CLOSE)}", field="mouth_close"
            )
    if isinstance(system, ProgramSystem):
        if not system.command:
            raise InputError(f"{where}: command is empty", field="command")
        used = set().union(*(placeholders(part, where, "command") for part in system.command))
        if "out" not in used:
            raise InputError(f"{where}: command must hold {{out}}", field="command")
        if not used & {"audio", "text"}:
            raise InputError(f"{where}: command must hold {{audio}} or {{text}}", field="command")
        if system.output not in OUTPUT_SUFFIXES:
            raise InputError(
                f"{where}: output is {system.output!r:.20}, not one of "
                f"{', '.join(OUTPUT_SUFFIXES)}",
                field="output",
            )


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
