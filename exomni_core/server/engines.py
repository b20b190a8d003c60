# SPDX-License-Identifier: GPL-3.0-or-later
"""A name and options in -> the one engine that is loaded; the state of each engine in words."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from exomni_core.engine import Engine, engine_names, load_engine
from exomni_core.errors import EnvironmentProblem, ExOmniError, InputError
from exomni_core.storage.schema import Place, read_values

# What a job may choose -> the type it must have; a path only from this machine.
_OPTIONS: Final[dict[str, dict[str, type]]] = {
    "embedded": {"default_seed": int},
    "omni": {
        "model": str, "device": str, "dtype": str, "quantize": str, "compat": str, "align": bool,
        "max_memory_bytes": int, "default_seed": int,
    },
}  # fmt: skip
_PATHS: Final = ("model",)
_NEURAL_PACKAGES: Final = ("torch", "transformers", "safetensors")
_STATE_KEPT_S: Final = 5.0  # how long an answer about readiness is reused

Options = Mapping[str, Any]


def check_options(engine: str, options: object, *, local: bool) -> dict[str, Any]:
    """The options of a job if they can be had; InputError(field="options" or "engine").

    local: the client is on this machine, so that it may name a folder.
    """
    if engine not in engine_names():
        raise InputError(
            f"there is no engine {str(engine)[:40]!r}; the choice is {', '.join(engine_names())}",
            field="engine",
        )
    place = Place(f"engine {engine}: options", field="options")
    chosen = read_values(_OPTIONS[engine], options, place)
    for name in _PATHS:
        if name in chosen and not (local and Path(chosen[name]).is_absolute()):
            raise InputError(
                f"the option {name} takes a whole path, from a client on the same machine",
                field="options",
            )
    return chosen


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
                    "embedded": _embedded_state(),
                    "omni": _omni_state(self._options.get("omni", {})),
                }
                self._states = (time.monotonic(), states)
        engine = self._engine  # the worker's thread may drop it now
        loaded = engine.name if engine is not None else ""
        return {name: {**state, "loaded": name == loaded} for name, state in states.items()}


def check_tools(engine: str, mode: str) -> None:
    """Raise EnvironmentProblem if this machine lacks what the embedded engine's mode stands on.

    The engine itself would still move the mouth by loudness alone, which looks like a fault.
    """
    from exomni_core.listening import sphinx

    if engine == "embedded" and mode == "lipsync" and not sphinx.is_installed():
        raise EnvironmentProblem(_NO_SPHINX)


_NO_SPHINX: Final = (
    "to lip-sync recordings, pocketsphinx is needed in the engine's Python; run: "
    "pip install pocketsphinx"
)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # found, but not as a package should be
        return False


def _embedded_state() -> dict[str, Any]:
    from exomni_core.listening import sphinx
    from exomni_core.phonetics.language import OFFERED_LANGUAGES
    from exomni_core.voices import espeak

    languages = list(OFFERED_LANGUAGES)
    lipsync = sphinx.is_installed()
    modes, reason = ["lipsync"] * lipsync, "" if lipsync else _NO_SPHINX
    try:
        espeak.library_path()
        modes.insert(0, "say")
    except ExOmniError as error:
        reason = str(error)
    return {
        "ready": "say" in modes,
        "reason": reason,
        "modes": modes,
        "languages": languages,
        "voices": list(espeak.voice_variants()) if "say" in modes else [],
    }


def _omni_state(options: Options) -> dict[str, Any]:
    modes = ["say", "lipsync", "reply"]
    reason = _omni_reason(options)
    return {"ready": not reason, "reason": reason, "modes": modes, "languages": [], "voices": []}


def _omni_reason(options: Options) -> str:
    """Why the neural engine can't run here; empty if it can, as far as can be told quickly."""
    if not _is_installed("exomni_core.omni"):
        return (
            "this engine process has the embedded engine only; install the neural engine, or "
            "point to a Python that has it"
        )
    missing = [package for package in _NEURAL_PACKAGES if not _is_installed(package)]
    if missing:
        return (
            f"the neural engine needs {' and '.join(missing)} in the engine's Python; in this "
            "project's folder run: pip install '.[omni]'"
        )
    from exomni_core.omni.weights.store import locate, models_folder  # these need no torch

    try:
        folder = Path(options.get("model") or models_folder())
        if not (folder / "config.json").is_file():
            locate("ex-omni", folder)
    except ExOmniError as error:
        return str(error)
    return ""
