# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine's facts in, a plain description out: abilities, options, whether it can run.

All plain data, so that the command line, the engine service and the add-on show every engine in
the same way, wherever it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final, Literal

from exomni_core.errors import InputError
from exomni_core.registry import resolve

OptionKind = Literal["flag", "whole", "number", "text", "path", "size"]
# How an option's value arrives in Python and JSON; a path is a text, a size a count of bytes.
VALUE_TYPES: Final[dict[OptionKind, type]] = {
    "flag": bool, "whole": int, "number": float, "text": str, "path": str, "size": int,
}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """One option of an engine.

    name: the keyword that `load_engine` takes. default: what it is if left out, in words where the
    engine itself chooses. choices, least, most: the values that are allowed. flag: its name on the
    command line, without the dashes (empty: made of `name`). metavar: what stands for the value in
    help. for_clients: whether a client of the engine service may choose it. verbs: those of the
    command line that have it (None: all that take an engine).
    """

    name: str
    kind: OptionKind
    help: str
    default: str | float | bool | None = None
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    flag: str = ""
    metavar: str = ""
    for_clients: bool = True
    verbs: tuple[str, ...] | None = None

    @property
    def flag_name(self) -> str:
        """Its name on the command line, without the dashes."""
        return self.flag or self.name.replace("_", "-")

    def check(self, value: object, culprit: str = "options") -> None:
        """Raise InputError(field=culprit) unless `value` can be had."""
        wanted = VALUE_TYPES[self.kind]
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise InputError(
                f"the option {self.name} must be of type {wanted.__name__}", field=culprit
            )
        if self.choices and value not in self.choices:
            raise InputError(
                f"the option {self.name} must be one of {', '.join(self.choices)}", field=culprit
            )
        if isinstance(value, (int, float)):
            low, high = self.least, self.most
            if (low is not None and value < low) or (high is not None and value > high):
                bounds = " and ".join(
                    [f"at least {low:g}"] * (low is not None)
                    + [f"at most {high:g}"] * (high is not None)
                )
                raise InputError(f"the option {self.name} must be {bounds}", field=culprit)

    def to_json(self) -> dict[str, Any]:
        """As plain data, for clients of the engine service."""
        data = {"name": self.name, "kind": self.kind, "help": self.help, "default": self.default}
        return data | {"choices": list(self.choices), "least": self.least, "most": self.most}


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do, for menus and checks before any work starts.

    modes: of `say`, `lipsync`, `reply`. languages: codes it can speak (empty: any).
    needs: what must be installed or present, in words. fps: rows per second of its weights.
    rows: prompts that it makes at a time, if not told otherwise; 1: one, so that a batch starts
    several processes. is_slow: it wants a graphics card. has_weights: it needs downloaded weights.
    licence: what its licence asks of users, in a sentence; empty: nothing. tells_stages: it takes
    the option `on_stage` (see `exomni_core.engine.STAGES`). writes_text: the texts of its chunks
    are pieces of the text as it is written; otherwise they are words, to be joined by blanks.
    """

    modes: tuple[str, ...]
    languages: tuple[str, ...]
    needs: str
    fps: float
    rows: int = 1
    is_slow: bool = False
    has_weights: bool = False
    licence: str = ""
    tells_stages: bool = False
    writes_text: bool = False

    @property
    def answers(self) -> bool:
        """Whether it writes and speaks answers of its own."""
        return "reply" in self.modes


@dataclass(frozen=True)
class EngineState:
    """Whether an engine can work on this machine.

    reason: why it can't, or can't in all its modes; empty if all is well. modes: what it can do
    here. languages, voices: for menus. lacks: mode -> why it must not be tried here.
    """

    is_ready: bool
    reason: str = ""
    modes: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    voices: tuple[str, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineKind:
    """An engine as it is registered. A light module must hold it: menus import that.

    title, about: for menus, a word and a sentence. called: what sentences call it (empty: made of
    the title). maker: the class, as "module:Class", imported
    when the engine is made. packages: what it needs beyond the basic install, by import name.
    extra: the extra of this project that holds them; another package leaves it empty. state: where
    a function stands, as "module:function", that takes the engine's options and returns its
    EngineState; empty: it is ready where its packages are.
    """

    name: str
    title: str
    about: str
    maker: str
    capabilities: Capabilities
    options: tuple[Option, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str = ""
    state: str = ""
    called: str = ""

    @property
    def spoken_of(self) -> str:
        """What sentences call it, such as `neural engine`."""
        return self.called or f"{self.title} engine"

    def missing_packages(self) -> list[str]:
        """Those of `packages` that are not installed."""
        return [package for package in self.packages if not _is_installed(package)]

    def find_state(self, options: Mapping[str, Any]) -> EngineState:
        """Whether it can work here with these options, as far as can be told quickly."""
        can = self.capabilities
        reason = self._lack()
        if reason:
            return EngineState(False, reason, can.modes, can.languages)
        if not self.state:
            return EngineState(True, "", can.modes, can.languages)
        look: Callable[[Mapping[str, Any]], EngineState] = resolve(self.state)
        return look(options)

    def _lack(self) -> str:
        """What is not installed, as a sentence; empty if nothing lacks."""
        if not _is_installed(self.maker.partition(":")[0].rpartition(".")[0]):
            return (
                f"this engine process doesn't have the {self.spoken_of}; install it, or point "
                "to a Python that has it"
            )
        missing = " and ".join(self.missing_packages())
        if not missing:
            return ""
        mend = (
            f"in this project's folder run: pip install '.[{self.extra}]'"
            if self.extra
            else f"run: pip install {missing.replace(' and ', ' ')}"
        )
        return f"the engine {self.name} needs {missing} in the engine's Python; {mend}"


def _is_installed(package: str) -> bool:
    try:
        return not package or find_spec(package) is not None
    except (ImportError, ValueError):  # found, but not as a package should be
        return False
