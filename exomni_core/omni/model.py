# SPDX-License-Identifier: GPL-3.0-or-later
"""A models folder in, the complete model out; each part is loaded when first needed.

A text request never loads the speech encoder; a run without sound never loads the vocoder.
`generation.py` and `streaming.py` use the model.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

import torch
from torch import nn

from exomni_core.engine import OnStage
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.omni.config import Compat, OmniConfig
from exomni_core.omni.decoding.decode_loop import DecodeLoop, Rule
from exomni_core.omni.nets.audio_features import MelExtractor
from exomni_core.omni.nets.face_decoder import FaceDecoder
from exomni_core.omni.nets.language_model import LanguageModel
from exomni_core.omni.nets.packing import pack
from exomni_core.omni.nets.projector import SpeechProjector
from exomni_core.omni.nets.speech_encoder import SpeechEncoder
from exomni_core.omni.nets.speech_generator import SpeechGenerator
from exomni_core.omni.prompting import TextTokenizer
from exomni_core.omni.speech.speech_decoder import SpeechDecoder
from exomni_core.omni.speech.speech_tokenizer import SpeechTokenizer
from exomni_core.omni.tensor_files import read_json
from exomni_core.omni.weights.parts import (
    CHECKPOINT,
    DECODER,
    TOKENIZER,
    PartLoader,
    read_config,
    side_folder,
)
from exomni_core.omni.weights.store import models_folder

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Quantize = Literal["none", "int8", "int4"]
PartType = TypeVar("PartType", bound=nn.Module)


@dataclass(frozen=True)
class LoadOptions:
    """How to load. device: `auto`, `cpu`, `cuda`, `cuda:1`. dtype: `auto`, `float32`, `bfloat16`.

    auto is the GPU in bfloat16 where there is one, else the CPU in float32. quantize: the weights
    of both language models. max_memory_bytes: refuse to load more than this. graphs: record
    decode steps as CUDA graphs.
    """

    device: str = "auto"
    dtype: str = "auto"
    compat: Compat = "fixed"
    quantize: Quantize = "none"
    max_memory_bytes: int | None = None
    graphs: bool = True


@dataclass(frozen=True)
class ModelFolders:
    """Folders of the three downloads; only recordings need the tokenizer."""

    checkpoint: Path
    decoder: Path
    tokenizer: Path


def find_folders(path: Path) -> ModelFolders:
    """`path` is the models folder, or the checkpoint's with the other two inside or beside it.

    Raises EnvironmentProblem with the command to run if there is no checkpoint.
    """
    checkpoint = path if (path / "config.json").is_file() else path / CHECKPOINT
    if not (checkpoint / "config.json").is_file():
        raise EnvironmentProblem(
            f"there is no Ex-Omni checkpoint in {path}; to get it: exorender models pull"
            f"{_into(path)} (to test the engine without it: exorender models make-tiny tiny, then "
            "--model tiny)"
        )

    def beside(name: str) -> Path:
        inside = checkpoint / name
        return inside if inside.is_dir() else checkpoint.parent / name

    return ModelFolders(checkpoint, beside(DECODER), beside(TOKENIZER))


class OmniModel:
    """All parts of Ex-Omni. Make it with `from_pretrained`; `release` frees everything."""

    def __init__(self, folders: ModelFolders, options: LoadOptions) -> None:
        self.folders, self.options = folders, options
        self.compat: Compat = options.compat
        self.device = choose_device(options.device)
        self.dtype = choose_dtype(options.dtype, self.device)
        self.config: OmniConfig = read_config(folders.checkpoint)
        self._loader = PartLoader(
            folders.checkpoint, self.config, device=self.device, dtype=self.dtype
        )
        self.on_stage: OnStage | None = None  # told what is reached, for measuring
        self._parts: dict[str, Any] = {}
        self._loops: dict[tuple[str, int], DecodeLoop] = {}
        self._check_memory()

    @classmethod
    def from_pretrained(cls, path: Path | str, **options: Any) -> OmniModel:
        """Check the checkpoint at `path` and make it ready; weights are read when first needed.

        options: fields of LoadOptions. Raises InputError that names what doesn't fit, and
        EnvironmentProblem if the device is missing.
        """
        return cls(find_folders(Path(path)), LoadOptions(**options))

    @property
    def language_model(self) -> LanguageModel:
        """The model that writes the reply."""
        return cast(LanguageModel, self._part("language_model"))

    @property
    def speech_encoder(self) -> SpeechEncoder:
        """The encoder of the user's speech."""
        return cast(SpeechEncoder, self._part("speech_encoder"))

    @property
    def projector(self) -> SpeechProjector:
        """The projector from speech features to the language model."""
        return cast(SpeechProjector, self._part("speech_projector"))

    @property
    def generator(self) -> SpeechGenerator:
        """The model that writes speech units."""
        return cast(SpeechGenerator, self._part("speech_generator"))

    @property
    def face(self) -> FaceDecoder:
        """The model that computes face weights."""
        return cast(FaceDecoder, self._part("blendshape_generator"))

    @property
    def decoder(self) -> SpeechDecoder:
        """The model that turns units into sound."""
        folder = self.folders.decoder
        self.check_decoder()

        def load() -> SpeechDecoder:
            return SpeechDecoder.load(
                folder / "flow.pt",
                folder / "hift.pt",
                device=self.device,
                dtype=self.dtype,
                compat=self.compat,
            )

        return self._made("decoder", load)

    def check_decoder(self) -> None:
        """Raise EnvironmentProblem, with the command to run, if the decoder's files are missing."""
        for name in ("flow.pt", "hift.pt"):
            _require(self.folders.decoder / name)

    @property
    def speech_tokenizer(self) -> SpeechTokenizer:
        """The model that turns recordings into units."""
        folder = self.folders.tokenizer

        def load() -> SpeechTokenizer:
            _require(folder / "config.json")
            return SpeechTokenizer.load(folder, device=self.device, dtype=self.dtype)

        return self._made("speech_tokenizer", load)

    @cached_property
    def text(self) -> TextTokenizer:
        """The tokenizer of text."""
        return TextTokenizer(self.folders.checkpoint)

    @cached_property
    def mel(self) -> MelExtractor:
        """The extractor of the speech encoder's input."""
        data = read_json(self.folders.checkpoint / "config.json")
        folder = side_folder(self.folders.checkpoint, data, "pretrain_speech_encoder_weights")
        settings = folder / "preprocessor_config.json" if folder else None
        return MelExtractor(read_json(settings) if settings and settings.is_file() else None)

    @cached_property
    def generation_defaults(self) -> dict[str, Any]:
        """The checkpoint's generation_config.json, or nothing."""
        path = self.folders.checkpoint / "generation_config.json"
        return read_json(path) if path.is_file() else {}

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end a reply."""
        found = self.generation_defaults.get("eos_token_id", self.config.llm.get("eos_token_id"))
        if found is None:
            return (self.text.end_id,)
        return tuple(found) if isinstance(found, list) else (int(found),)

    def loop(self, name: str, rule: Rule, *, rows: int, room: int, positions: int) -> DecodeLoop:
        """A loop of the language model (`text`) or the generator (`units`), kept for reuse."""
        backbone = self.language_model.backbone if name == "text" else self.generator.backbone
        loop = self._loops.get((name, rows))
        if loop is None:
            loop = DecodeLoop(
                backbone, rule, rows=rows, room=room, positions=positions,
                graphs=self.options.graphs,
            )  # fmt: skip
            self._loops[name, rows] = loop
        else:
            loop.stop()
            loop.use(rule)
        return loop

    def facts(self) -> dict[str, Any]:
        """Where and how this model computes, in plain data."""
        cuda = self.device.type == "cuda"
        kernels = {
            "flash": torch.backends.cuda.flash_sdp_enabled(),
            "memory-efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
            "math": torch.backends.cuda.math_sdp_enabled(),
        }
        allowed = ", ".join(name for name, enabled in kernels.items() if enabled)
        return {
            "device": str(self.device),
            "device_name": torch.cuda.get_device_name(self.device) if cuda else "",
            "dtype": str(self.dtype).removeprefix("torch."),
            "quantize": self.options.quantize,
            "compat": self.compat,
            "graphs": self.options.graphs and cuda,
            "attention": f"torch scaled_dot_product_attention ({allowed if cuda else 'cpu'})",
            "torch": str(torch.__version__),
            "cuda": torch.version.cuda,
            "threads": torch.get_num_threads(),
        }

    def mark(self, stage: str) -> None:
        """Tell `on_stage`, if there is one, that `stage` is reached; the device has finished."""
        if self.on_stage is not None:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.on_stage(stage)

    def drop_loops(self) -> None:
        """Free the caches of the decode loops."""
        self._loops.clear()
        self._tidy()

    def drop(self, name: str) -> None:
        """Free one part, such as `speech_encoder`; it is read again when next needed."""
        self._parts.pop(name, None)
        self._tidy()

    def release(self) -> None:
        """Free all weights and caches; the next use reads them again."""
        self._parts.clear()
        self.drop_loops()

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the parts whose weights are in memory."""
        return tuple(self._parts)

    def _part(self, name: str) -> nn.Module:
        def load() -> nn.Module:
            module = self._loader.load(name)
            is_language_model = isinstance(module, (LanguageModel, SpeechGenerator))
            if is_language_model and self.options.quantize != "none":
                from exomni_core.omni.nets.quantize import quantize_backbone

                quantize_backbone(cast(Any, module).backbone, self.options.quantize)
            pack(module)
            return module

        return self._made(name, load)

    def _made(self, name: str, load: Callable[[], PartType]) -> PartType:
        if name not in self._parts:
            # Also when first needed in the middle of inference: weights are ordinary tensors.
            with torch.inference_mode(mode=False):
                self._parts[name] = load()
        return cast(PartType, self._parts[name])

    def _tidy(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _check_memory(self) -> None:
        limit = self.options.max_memory_bytes
        if limit is None:
            return
        share = {"none": 1.0, "int8": 1 / self.dtype.itemsize, "int4": 0.56 / self.dtype.itemsize}
        lasting = ("blendshape_generator", "speech_projector")
        needed = sum(self._loader.bytes_of(name) for name in lasting)
        for name in ("language_model", "speech_generator"):
            needed += round(self._loader.bytes_of(name) * share[self.options.quantize])
        if needed > limit:
            dtype = str(self.dtype).removeprefix("torch.")
            raise EnvironmentProblem(
                f"the weights take {needed / 1e9:.3g} GB in {dtype} with quantize="
                f"{self.options.quantize}, more than the {limit / 1e9:.3g} GB that --max-memory "
                "allows; raise it, or use --quantize int8 or int4"
            )


def choose_device(name: str) -> torch.device:
    """`auto` or torch's name -> a device that is there; EnvironmentProblem if it isn't."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(
            f"{name!r} is not a device; write auto, cpu, cuda or cuda:1", field="device"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EnvironmentProblem("there is no CUDA GPU that PyTorch can use here; use --device cpu")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` or a name of DTYPES -> the dtype; InputError for another."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise InputError(f"{name!r} is not auto, {' or '.join(DTYPES)}", field="dtype")
    return DTYPES[name]


def _require(file: Path) -> None:
    if not file.is_file():
        name, folder = file.parent.name, file.parent.parent
        raise EnvironmentProblem(
            f"{file} is missing; to get it: exorender models pull {name}{_into(folder)}"
        )


def _into(folder: Path) -> str:
    """The option of `models pull` that fills `folder`."""
    return "" if folder == models_folder() else f" --models {folder}"
