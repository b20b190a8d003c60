# SPDX-License-Identifier: GPL-3.0-or-later
"""A list's name in, its members out: our own by name, those of other packages by entry point.

Engines, voices, listeners and formats are such lists. Names are listed without importing anything;
a member is imported when it is asked for. A package whose member can't be used harms no other:
`problems` tells why in one sentence.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from exomni_core.errors import EnvironmentProblem, ExOmniError, InputError

if TYPE_CHECKING:  # it is slow to import
    from importlib.metadata import Distribution, EntryPoint

ENGINES: Final = "exomni.engines"
VOICES: Final = "exomni.voices"
LISTENERS: Final = "exomni.listeners"
FORMATS: Final = "exomni.formats"
GROUPS: Final = (ENGINES, VOICES, LISTENERS, FORMATS)

Member = TypeVar("Member")


@dataclass(frozen=True)
class Problem:
    """A member that another package registers and that can't be used; reason: one sentence."""

    group: str
    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Registry(Generic[Member]):
    """One list that other packages may add to.

    group: of the entry points, such as `exomni.engines`. noun: what a member is called in errors,
    which is also their `field`. built_in: our own members: the member, or where it stands as
    "module:attribute". check: makes a member of what was found there, or raises an ExOmniError.
    """

    group: str
    noun: str
    built_in: Mapping[str, Member | str]
    check: Callable[[str, Any], Member]

    def names(self) -> tuple[str, ...]:
        """All names, our own first, then others' in alphabetical order; imports none of them."""
        return (*self.built_in, *sorted(set(_points(self.group)) - set(self.built_in)))

    def find(self, name: str) -> Member:
        """The member called `name`.

        Raises InputError for an unknown name, EnvironmentProblem if its package can't be used.
        """
        if name in self.built_in:
            return self._own(name)
        point = _points(self.group).get(name)
        if point is None:
            raise InputError(
                f"there is no {self.noun} {name[:40]!r} in this version; the choice is "
                f"{', '.join(self.names())}",
                field=self.noun,
            )
        return self._others(point)

    def members(self) -> dict[str, Member]:
        """All members that can be used, by name, our own first."""
        found = {name: self._own(name) for name in self.built_in}
        for name in self.names()[len(found) :]:
            try:
                found[name] = self._others(_points(self.group)[name])
            except EnvironmentProblem:  # `problems` tells it
                continue
        return found

    def problems(self) -> tuple[Problem, ...]:
        """What other packages register here and can't be used, each with the reason."""
        found = [problem for problem in _scan().problems if problem.group == self.group]
        for name, point in sorted(_points(self.group).items()):
            if name in self.built_in:
                reason = f"{_owner(point)} registers the {self.noun} {name}, which is built in"
                found.append(Problem(self.group, name, f"{reason}; rename its entry point"))
                continue
            try:
                self._others(point)
            except EnvironmentProblem as error:
                found.append(Problem(self.group, name, str(error)))
        return tuple(found)

    def _own(self, name: str) -> Member:
        member = self.built_in[name]
        return self.check(name, resolve(member)) if isinstance(member, str) else member

    def _others(self, point: EntryPoint) -> Member:
        try:
            return self.check(point.name, point.load())
        except ExOmniError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 (foreign code may raise anything)
            lines = str(error).strip().splitlines()
            why = f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
        raise EnvironmentProblem(
            f"the {self.noun} {point.name} of {_owner(point)} can't be used ({why}); update or "
            "uninstall that package"
        )


def resolve(place: str) -> Any:
    """What stands at "module:attribute"; raises ImportError or AttributeError."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def package_folders() -> tuple[Path, ...]:
    """Where the packages lie that register members here: another process has to look there, too."""
    points = [point for group in GROUPS for point in _points(group).values()]
    return tuple(
        dict.fromkeys(Path(str(p.dist.locate_file(""))) for p in points if p.dist is not None)
    )


@dataclass(frozen=True)
class _Found:
    """points: group -> name -> entry point, of all installed packages."""

    points: Mapping[str, Mapping[str, EntryPoint]]
    problems: tuple[Problem, ...]


@functools.cache
def _scan() -> _Found:
    """Read the entry points of every installed package, once in a process."""
    from importlib.metadata import distributions

    points: dict[str, dict[str, EntryPoint]] = {}
    problems: list[Problem] = []
    for distribution in distributions():
        for point in _points_of(distribution, problems):
            known = points.setdefault(point.group, {}).setdefault(point.name, point)
            if known.value != point.value:
                reason = (
                    f"{_owner(known)} and {_owner(point)} both register {point.name}; the first "
                    "is used, so uninstall one of them"
                )
                problems.append(Problem(point.group, point.name, reason))
    return _Found(points, tuple(problems))


def _points_of(distribution: Distribution, problems: list[Problem]) -> list[EntryPoint]:
    """Those in our groups; a package whose list can't be read has none, and a problem."""
    text = ""
    try:
        text = distribution.read_text("entry_points.txt") or ""
        if not any(group in text for group in GROUPS):
            return []
        return [point for point in distribution.entry_points if point.group in GROUPS]
    except Exception as error:  # noqa: BLE001 (a broken package may raise anything)
        name = str(distribution.metadata["Name"])
        group = next((g for g in GROUPS if g in text), ENGINES)
        reason = f"the package {name} has unreadable entry points ({error}); reinstall it"
        problems.append(Problem(group, name, reason))
        return []


def _points(group: str) -> Mapping[str, EntryPoint]:
    return _scan().points.get(group, {})


def _owner(point: EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist is not None else "a package"
