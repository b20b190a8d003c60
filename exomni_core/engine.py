# SPDX-License-Identifier: GPL-3.0-or-later
"""The one interface of all engines: a prompt in, a clip (or chunks of it) out; engines by name.

The engines' names stand here and nowhere else. Another package adds an engine through the entry
point group `exomni.engines`, which names an EngineKind.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from exomni_core.engine_kind import Capabilities as Capabilities
from exomni_core.engine_kind import EngineKind, Option
from exomni_core.errors import Cancelled, EnvironmentProblem, InputError
from exomni_core.prompt import MODES, Prompt
from exomni_core.registry import ENGINES, Registry

if TYPE_CHECKING:  # listing engines must be quick, and numpy is not
    import numpy as np
    import numpy.typing as npt

    from exomni_core.clip import Clip

PIECE_S: Final = 0.5  # what an engine that makes whole clips streams at a time


@dataclass(frozen=True)
class Progress:
    """Where the work is: a stage's name and the share of it that is done, 0 to 1."""

    stage: str
    done: float


@dataclass(frozen=True, eq=False)
class Chunk:
    """A piece of a clip while it is being made; chunks joined end to end are the clip.

    audio: (S,) float32 at sample_rate_hz. weights: (T, 52) float32 at fps. start_s: its place.
    text: what is said in it (see `Capabilities.writes_text`). clip: the whole clip, on the last
    chunk only.
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

    Methods that make something raise InputError for a prompt that this engine can't serve,
    EnvironmentProblem if the machine lacks something, and Cancelled soon after `cancel()` turns
    true. `EngineDefaults` has the usual form of all that an engine may leave out.
    """

    name: str

    def capabilities(self) -> Capabilities:
        """What this engine can do; quick, loads nothing."""
        ...

    def version(self) -> str:
        """Changes whenever the same prompt would give another clip; part of every content hash."""
        ...

    def depends_on(self, prompt: Prompt) -> Mapping[str, str]:
        """What else the clip of this prompt depends on, such as the version of its voice."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What a measurement of time has to name, such as device and precision."""
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

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> list[Clip]:
        """Make the clips of `prompts`, in that order; the first bad one raises."""
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

    def answer(self, prompt: Prompt, *, cancel: CancelCheck | None = None) -> str:
        """Write the answer to `prompt`, whose mode is `reply`, and leave it unspoken."""
        ...

    def close(self) -> None:
        """Free what the engine holds; it can't be used afterwards."""
        ...


class EngineDefaults:
    """For engines to inherit: everything but `name`, `capabilities`, `version` and `generate`."""

    name: str

    def depends_on(self, prompt: Prompt) -> Mapping[str, str]:  # noqa: ARG002
        """Nothing beyond the prompt and the engine's version."""
        return {}

    def facts(self) -> Mapping[str, Any]:
        """Nothing that a measurement would have to name."""
        return {}

    def generate_many(
        self: Engine,
        prompts: Sequence[Prompt],
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> list[Clip]:
        """Make one clip after the other."""
        return [self.generate(prompt, progress=progress, cancel=cancel) for prompt in prompts]

    def stream(
        self: Engine,
        prompt: Prompt,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Iterator[Chunk]:
        """Make the whole clip, then yield it in pieces of half a second."""
        clip = self.generate(prompt, progress=progress, cancel=cancel)
        yield from clip_in_pieces(clip, cancel)

    def answer(self, prompt: Prompt, *, cancel: CancelCheck | None = None) -> str:  # noqa: ARG002
        """Raise InputError: this engine writes no answers."""
        raise InputError(
            f"the {self.name} engine can't answer; use --engine {ANSWERING_ENGINE}", field="engine"
        )

    def close(self) -> None:
        """Nothing to free."""


def clip_in_pieces(clip: Clip, cancel: CancelCheck | None = None) -> Iterator[Chunk]:
    """Cut a clip into chunks of PIECE_S, the last of which carries the clip."""
    rows = max(1, round(PIECE_S * clip.fps))
    piece_s = rows / clip.fps
    count = -(-len(clip.weights) // rows)
    for k in range(count):
        stop_if(cancel)
        last = k == count - 1
        first_sample = round(k * piece_s * clip.sample_rate_hz)
        end_sample = None if last else round((k + 1) * piece_s * clip.sample_rate_hz)
        words = [
            w.text
            for w in clip.words
            if k * piece_s <= w.start_s and (last or w.start_s < (k + 1) * piece_s)
        ]
        yield Chunk(
            start_s=k * piece_s,
            audio=clip.audio[first_sample:end_sample],
            sample_rate_hz=clip.sample_rate_hz,
            weights=clip.weights[k * rows : (k + 1) * rows],
            fps=clip.fps,
            text=" ".join(words),
            clip=clip if last else None,
        )


DEFAULT_ENGINE: Final = "embedded"
ANSWERING_ENGINE: Final = "omni"  # the one that answers if no engine is named

_SEED: Final = Option("default_seed", "whole", "Seed of prompts that name none.", 0, least=0,
                      verbs=())  # fmt: skip
_EMBEDDED: Final = EngineKind(
    name="embedded",
    title="Embedded",
    about="Works on any machine, without weights or a graphics card",
    maker="exomni_core.embedded.engine:EmbeddedEngine",
    capabilities=Capabilities(
        modes=("say", "lipsync"),
        languages=(),  # it knows them when it is made
        needs="nothing beyond the installed Python packages",
        fps=30.0,
        tells_stages=True,
    ),
    options=(
        _SEED,
        Option("listener", "text", "What finds the sounds in recordings.", "sphinx",
               metavar="NAME"),
    ),
    state="exomni_core.embedded.state:embedded_state",
)  # fmt: skip
_OMNI: Final = EngineKind(
    name="omni",
    title="Omni",
    called="neural engine",
    about="The neural engine; it needs its weights and a graphics card",
    maker="exomni_core.omni.engine:OmniEngine",
    capabilities=Capabilities(
        modes=MODES,
        languages=(),
        needs="the omni extra (pip install '.[omni]') and the weights (exorender models pull)",
        fps=30.0,
        rows=8,
        is_slow=True,
        has_weights=True,
        licence="The published weights are for academic use only; see: exorender models licence.",
        tells_stages=True,
        writes_text=True,
    ),
    options=(
        Option("model", "path", "Folder of the models",
               "the folder of 'exorender models pull'", metavar="PATH"),
        Option("device", "text", "auto, cpu, cuda or cuda:1",
               "auto, the GPU if there is one", metavar="NAME"),
        Option("dtype", "text", "Number format of the weights",
               "auto, bfloat16 on a GPU, else float32", choices=("auto", "float32", "bfloat16")),
        Option("quantize", "text",
               "Store the language models' weights in fewer bits to save memory", "none",
               choices=("none", "int8", "int4")),
        Option("max_memory_bytes", "size",
               "Stop if the weights need more memory than this, such as 16GB.", flag="max-memory",
               metavar="SIZE"),
        Option("compat", "text",
               "reference: keep the published model's faults, for comparisons", "fixed",
               choices=("fixed", "reference")),
        Option("align", "flag", "Add the times of words and sounds to the clip."),
        Option("rows", "whole", "Number of prompts decoded together", "8", least=1, metavar="N",
               for_clients=False, verbs=("batch",)),
        _SEED,
    ),
    packages=("torch", "transformers", "safetensors"),
    extra="omni",
    state="exomni_core.omni.weights.state:omni_state",
)  # fmt: skip


def _check_kind(name: str, found: Any) -> EngineKind:
    if not isinstance(found, EngineKind):
        raise InputError(f"its entry point names no EngineKind but a {type(found).__name__}")
    if found.name != name:
        raise InputError(f"its EngineKind is called {found.name!r}")
    return found


ENGINE_KINDS: Final = Registry[EngineKind](
    ENGINES, "engine", {kind.name: kind for kind in (_EMBEDDED, _OMNI)}, _check_kind
)


def engine_names() -> tuple[str, ...]:
    """The engines that can be asked for, the default first."""
    return ENGINE_KINDS.names()


def load_engine(name: str, **options: Any) -> Engine:
    """Make the engine called `name`; its EngineKind says what `options` there are.

    Raises InputError for an unknown name, EnvironmentProblem if its packages aren't installed, and
    what the engine itself raises.
    """
    kind = ENGINE_KINDS.find(name)
    missing = [package for package in kind.packages if find_spec(package) is None]
    if missing:
        raise EnvironmentProblem(f"the engine {name} needs {' and '.join(missing)}; {_mend(kind)}")
    module, _, attribute = kind.maker.partition(":")
    try:
        maker = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in kind.packages:
            raise  # a fault of the engine's own
        raise EnvironmentProblem(
            f"the engine {name} can't load {package} ({error}); {_mend(kind, '--upgrade ')}"
        ) from error
    engine = maker(**options)
    if not isinstance(engine, Engine):
        raise EnvironmentProblem(
            f"the engine {name} lacks methods that every engine has; let its class inherit "
            "exomni_core.engine.EngineDefaults"
        )
    return engine


def _mend(kind: EngineKind, how: str = "") -> str:
    """The line that installs what `kind` needs."""
    if kind.extra:
        return f"in this project's folder run: pip install {how}'.[{kind.extra}]'"
    return f"run: pip install {how}{' '.join(kind.packages)}"


def report(progress: ProgressCallback | None, stage: str, done: float) -> None:
    """Tell `progress`, if there is one."""
    if progress is not None:
        progress(Progress(stage, done))


def stop_if(cancel: CancelCheck | None) -> None:
    """Raise Cancelled if the user asked to stop."""
    if cancel is not None and cancel():
        raise Cancelled("stopped at your request; nothing unfinished was kept")
