# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines that are installed in, their options on the command line out; and back, as data.

Engines describe their options as data (see `exomni_core.engine_kind.Option`), so an engine of
another package has its options in the help of every verb. They are looked up when a verb runs or
shows its help, not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from exomni_core.engine import DEFAULT_ENGINE, ENGINE_KINDS
from exomni_core.engine_kind import EngineKind, Option
from exomni_core.errors import InputError

SPEECH_HEADING: Final = "Speech and face"
_LAST_HEADING: Final = "Picture"
_MARK: Final = "takes_engine_options"
# What the verbs that take an engine call their own options; an engine's option of such a name gets
# the engine's name in front.
VERBS_OWN: Final = frozenset({
    "certificate", "certificate-key", "max-connections", "max-per-address",
    "alpha", "allow-host", "allow-remote", "audio", "blender", "contact-sheet", "engine", "fps",
    "head-motion", "help", "history", "host", "idle-exit", "idle-unload", "json", "language",
    "limit", "look", "max-tokens", "n", "no-video", "out", "output", "overwrite", "port", "quiet",
    "rate", "render-engine", "samples", "seed", "size", "stream", "style", "system", "temperature",
    "template", "text-only", "token-file", "top-p", "transcript", "voice", "warmup", "workers",
})  # fmt: skip
_POWERS: Final = {"k": 1, "m": 2, "g": 3, "t": 4}
_METAVARS: Final = {"whole": "N", "number": "X", "text": "TEXT", "path": "PATH", "size": "SIZE"}


class HeadedOption(click.Option):
    """An option that --help lists under a heading of its own."""

    def __init__(self, *names: Any, heading: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.heading = heading


class EngineChoice(HeadedOption):
    """--engine; its help lists the engines that are installed."""

    def make_metavar(self, *_: Any, **__: Any) -> str:
        """Such as `[embedded|omni]`."""
        return f"[{'|'.join(ENGINE_KINDS.members())}]"


class HeadedCommand(click.Command):
    """A command whose --help shows options by heading; those without one come first."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own, and those of the engines where `engine_options` marks it."""
        params = super().get_params(ctx)
        if not getattr(self.callback, _MARK, False):
            return params
        headings = [getattr(parameter, "heading", "") for parameter in params]
        place = headings.index(_LAST_HEADING) if _LAST_HEADING in headings else len(params)
        return [*params[:place], *_engine_parameters(self.name or ""), *params[place:]]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per heading."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            heading = getattr(parameter, "heading", "Options")
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                sections.setdefault(heading, []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: the verb takes the options of every engine, to give them to `engine_settings`."""
    setattr(command, _MARK, True)
    return command


def engine_settings(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The options for `load_engine`, as plain data; those not given are left to the engine.

    chosen: what the command line says, by parameter. Raises InputError for an unknown engine, an
    option of another engine than the chosen one, and a value that can't be had.
    """
    kind = ENGINE_KINDS.find(chosen["engine"])
    own = {_key(kind, option): option for option in kind.options}
    settings: dict[str, Any] = {}
    for key, owners in _by_key(None).items():
        value = chosen.get(key)
        if value is None or value is False:
            continue
        if key not in own:
            flag, other = key.replace("_", "-"), owners[0][0]
            raise InputError(
                f"--{flag} is an option of the {other.spoken_of}; add --engine {other.name}, or "
                f"leave --{flag} out"
            )
        settings[own[key].name] = _value(own[key], value)
    return settings


def parse_size(text: str) -> int:
    """`16GB`, `16 GiB`, `800mb`, `1.5T` -> bytes; InputError(field="max-memory") for nonsense."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([kmgt])(i?)b?", text.strip().lower())
    size = 0
    if found is not None:
        number, unit, binary = found.groups()
        size = int(float(number) * (1024 if binary else 1000) ** _POWERS[unit])
    if not size:
        raise InputError(
            f"{text!r} is not an amount of memory such as 16GB, 16GiB or 800MB", field="max-memory"
        )
    return size


def _by_key(verb: str | None) -> dict[str, list[tuple[EngineKind, Option]]]:
    """Parameter -> the engines' options of that name; those of `verb` (None: of any)."""
    found: dict[str, list[tuple[EngineKind, Option]]] = {}
    for kind in ENGINE_KINDS.members().values():
        for option in kind.options:
            if option.verbs is None or (verb in option.verbs if verb else option.verbs):
                found.setdefault(_key(kind, option), []).append((kind, option))
    return found


def _key(kind: EngineKind, option: Option) -> str:
    flag = option.flag_name
    return (f"{kind.name}-{flag}" if flag in VERBS_OWN else flag).replace("-", "_")


def _engine_parameters(verb: str) -> Iterator[click.Parameter]:
    """One option of the command line for each of `_by_key`, under the engines that have it."""
    for key, owners in _by_key(verb).items():
        options = [option for _, option in owners]
        first = options[0]
        kinds = [kind for kind, _ in owners]
        spoken = " and ".join(kind.spoken_of for kind in kinds)
        names = " or ".join(f"--engine {kind.name}" for kind in kinds)
        alike = all((o.kind, o.choices) == (first.kind, first.choices) for o in options)
        heading = f"{spoken[:1].upper()}{spoken[1:]} ({names})"
        yield HeadedOption(
            [f"--{key.replace('_', '-')}"],
            # What is used by default needs no heading that names it.
            heading=SPEECH_HEADING if kinds[0].name == DEFAULT_ENGINE else heading,
            help="; ".join(dict.fromkeys(_help(option) for option in options)),
            **(_attributes(first) if alike else {"metavar": "VALUE"}),
        )


def _help(option: Option) -> str:
    default = "" if option.default is None else f"  [default: {option.default}]"
    return f"{option.help}{default}"


def _attributes(option: Option) -> dict[str, Any]:
    """What click has to know of it; the rest `Option.check` sees to."""
    if option.kind == "flag":
        return {"is_flag": True}
    types = {"whole": click.INT, "number": click.FLOAT, "path": click.Path(path_type=Path)}
    attributes: dict[str, Any] = {"type": types.get(option.kind, click.STRING)}
    if option.choices:
        return {"type": click.Choice(option.choices)}
    if option.kind == "whole":
        low, high = (None if b is None else int(b) for b in (option.least, option.most))
        attributes["type"] = click.IntRange(low, high)
    return attributes | {"metavar": option.metavar or _METAVARS[option.kind]}


def _value(option: Option, value: Any) -> Any:
    """A value of the command line as `load_engine` takes it."""
    try:
        if option.kind == "path":
            value = str(Path(value).absolute())
        elif option.kind == "size":
            value = parse_size(value)
        elif option.kind in ("whole", "number") and isinstance(value, str):
            value = int(value) if option.kind == "whole" else float(value)
    except ValueError:  # `check` tells what was expected
        pass
    option.check(value, option.flag_name)
    return value
