# SPDX-License-Identifier: GPL-3.0-or-later
"""The one interface of all engines: a prompt in, a clip (or chunks of it) out; engines by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from exomni_core.clip import Clip
from exomni_core.errors import Cancelled, EnvironmentProblem, InputError
from exomni_core.prompt import Prompt


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do, for menus and checks before any work starts.

    modes: of `say`, `lipsync`, `reply`. languages: codes it can speak (empty: any).
    needs: what must be installed or present, in words. fps: rows per second of its weights.
    """

    modes: tuple[str, ...]
    languages: tuple[str, ...]
    needs: str
    fps: float


@dataclass(frozen=True)
class Progress:
    """Where the work is: a stage's name and the share of it that is done, 0 to 1."""

    stage: str
    done: float


@dataclass(frozen=True, eq=False)
class Chunk:
    """A piece of a clip while it is being made; chunks joined end to end are the clip.

    audio: (S,) float32 at sample_rate_hz. weights: (T, 52) float32 at fps. start_s: its place.
    clip: the whole clip, on the last chunk only.
    """

    start_s: float
    audio: npt.NDArray[np.float32]
    sample_rate_hz: int
    weights: npt.NDArray[np.float32]
    fps: float
    text: str = ""
    clip: Clip | None = None


ProgressCallback = Callable[[Progress], None]
CancelCheck = Callable[[], bool]
# For measuring: an engine made with the option `on_stage` calls it at these moments, the device
# idle, with the moment's name. A stream comes to some of them again and again; an engine that has
# no such moment leaves it out.
OnStage = Callable[[str], None]
STAGES: Final = (
    "text_token", "text_done",  # the first token is there; the whole text is
    "units_begin", "unit", "units_done",  # the speech generator starts; first unit; last unit
    "audio", "audio_done",  # first samples; so far the last ones
    "face_begin", "face_done",
)  # fmt: skip


@runtime_checkable
class Engine(Protocol):
    """What every engine offers. `progress` is told each stage; `cancel` is asked between stages.

    Both methods raise InputError for a prompt that this engine can't serve, EnvironmentProblem if
    the machine lacks something, and Cancelled soon after `cancel()` turns true.
    """

    name: str

    def capabilities(self) -> Capabilities:
        """What this engine can do; quick, loads nothing."""
        ...

    def version(self) -> str:
        """Changes whenever the same prompt would give another clip; part of every content hash."""
        ...

    def generate(
        self,
        prompt: Prompt,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Clip:
        """Make the whole clip of `prompt`."""
        ...

    def stream(
        self,
        prompt: Prompt,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Iterator[Chunk]:
        """Yield the clip of `prompt` in pieces, as soon as each is ready."""
        ...

    def close(self) -> None:
        """Free what the engine holds; it can't be used afterwards."""
        ...


# name -> "module:class"; the module is imported only when that engine is asked for.
_ENGINES: Final[dict[str, str]] = {
    "embedded": "exomni_core.embedded.engine:EmbeddedEngine",
    "omni": "exomni_core.omni.engine:OmniEngine",
}
# What an engine needs beyond the basic install: the extra's packages, by import name.
_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "omni": ("torch", "transformers", "safetensors"),
}


def engine_names() -> tuple[str, ...]:
    """The engines that can be asked for, the default first."""
    return tuple(_ENGINES)


def load_engine(name: str, **options: Any) -> Engine:
    """Make the engine called `name`; its class says what `options` there are.

    Raises InputError for an unknown name, EnvironmentProblem if its packages aren't installed, and
    what the engine itself raises.
    """
    if name not in _ENGINES:
        raise InputError(
            f"there is no engine {name!r} in this version; the choice is {', '.join(_ENGINES)}",
            field="engine",
        )
    missing = [package for package in _NEEDS.get(name, ()) if find_spec(package) is None]
    if missing:
        raise EnvironmentProblem(
            f"the engine {name} needs {' and '.join(missing)}; in this project's folder run: "
            f"pip install '.[{name}]'"
        )
    module, _, attribute = _ENGINES[name].partition(":")
    try:
        maker = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _NEEDS.get(name, ()):
            raise  # a fault of ours
        raise EnvironmentProblem(
            f"the engine {name} can't load {package} ({error}); in this project's folder run: "
            f"pip install --upgrade '.[{name}]'"
        ) from error
    engine: Engine = maker(**options)
    return engine


def report(progress: ProgressCallback | None, stage: str, done: float) -> None:
    """Tell `progress`, if there is one."""
    if progress is not None:
        progress(Progress(stage, done))


def stop_if(cancel: CancelCheck | None) -> None:
    """Raise Cancelled if the user asked to stop."""
    if cancel is not None and cancel():
        raise Cancelled("stopped at your request; nothing unfinished was kept")
