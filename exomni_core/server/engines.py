# SPDX-License-Identifier: GPL-3.0-or-later
"""A name and options in -> the one engine that is loaded; the state of each engine in words."""

from __future__ import annotations

import gc
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from exomni_core.engine import ENGINE_KINDS, Engine, load_engine
from exomni_core.engine_kind import VALUE_TYPES, EngineKind, EngineState, Option
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.storage.schema import Place, Range, one_of, read_values

LOG: Final = logging.getLogger("exomni.server")

_STATE_KEPT_S: Final = 5.0  # how long an answer about readiness is reused

Options = Mapping[str, Any]


def check_options(engine: str, options: object, *, local: bool) -> dict[str, Any]:
    """The options of a job if they can be had; InputError(field="options" or "engine").

    local: the client is on this machine, so that it may name a folder.
    """
    kind = ENGINE_KINDS.find(engine)
    known = {option.name: option for option in kind.options if option.for_clients}
    place = Place(f"engine {engine}: options", field="options")
    chosen = read_values({name: _hint(option) for name, option in known.items()}, options, place)
    for name, value in chosen.items():
        if known[name].kind == "path" and not (local and Path(value).is_absolute()):
            raise InputError(
                f"the option {name} takes a whole path, from a client on the same machine",
                field="options",
            )
    return chosen


def _hint(option: Option) -> Any:
    """The option as the strict reader knows types."""
    value: Any = VALUE_TYPES[option.kind]
    if option.choices:
        return Annotated[value, one_of(option.choices)]
    if option.least is not None or option.most is not None:
        return Annotated[value, Range(option.least, option.most)]
    return value


class EngineHolder:
    """Keeps at most one engine loaded; for the worker's thread, but `states` for any."""

    def __init__(self, options: Mapping[str, Options]) -> None:
        """options: of each engine, for jobs that choose none."""
        self._options = {name: dict(given) for name, given in options.items()}
        self._engine: Engine | None = None
        self._key = ""
        self._used_at = time.monotonic()
        self._states: tuple[float, dict[str, Any]] = (-1e9, {})
        self._states_lock = threading.Lock()

    def get(self, name: str, options: Options, loading: Callable[[], None]) -> Engine:
        """The engine, made now unless it is there; `loading` is told before. As `load_engine`."""
        chosen = self._options.get(name, {}) | dict(options)
        key = json.dumps([name, chosen], sort_keys=True)
        if self._engine is None or key != self._key:
            self.drop()
            loading()
            self._engine = load_engine(name, **chosen)
            self._key = key
        self._used_at = time.monotonic()
        return self._engine

    def rest(self) -> None:
        """The work is done; from here on the time counts after which it is unloaded."""
        self._used_at = time.monotonic()

    def drop_idle(self, after_s: float | None) -> bool:
        """Free the engine if nobody used it for `after_s`."""
        if self._engine is None or after_s is None or time.monotonic() - self._used_at < after_s:
            return False
        self.drop()
        return True

    def drop(self) -> None:
        """Free the engine and what it holds."""
        if self._engine is None:
            return
        engine, self._engine, self._key = self._engine, None, ""
        engine.close()
        del engine
        gc.collect()

    def states(self) -> dict[str, Any]:
        """Of each engine, whether it is ready, and if not why, in words; loads nothing."""
        with self._states_lock:
            asked_at, states = self._states
            if time.monotonic() - asked_at > _STATE_KEPT_S:
                states = {
                    name: _state(kind, self._options.get(name, {}))
                    for name, kind in ENGINE_KINDS.members().items()
                }
                self._states = (time.monotonic(), states)
        engine = self._engine  # the worker's thread may drop it now
        loaded = engine.name if engine is not None else ""
        return {name: {**state, "loaded": name == loaded} for name, state in states.items()}


def check_tools(engine: str, mode: str, options: Options) -> None:
    """Raise EnvironmentProblem if this machine lacks what the engine's mode stands on.

    The embedded engine would still move the mouth by loudness alone, which looks like a fault.
    """
    reason = ENGINE_KINDS.find(engine).find_state(options).lacks.get(mode)
    if reason:
        raise EnvironmentProblem(reason)


def _state(kind: EngineKind, options: Options) -> dict[str, Any]:
    """What clients are told of an engine; one whose code fails is not ready."""
    try:
        state = kind.find_state(options)
    except Exception as error:
        LOG.exception("the engine %s can't tell its state", kind.name)
        state = EngineState(False, f"the engine {kind.name} is broken ({error}); reinstall it")
    return {
        "ready": state.is_ready,
        "reason": state.reason,
        "modes": list(state.modes),
        "languages": list(state.languages),
        "voices": list(state.voices),
        "title": kind.title,
        "about": kind.about,
        "options": [option.to_json() for option in kind.options if option.for_clients],
    }
