# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint and its sizes in, the parts of the model out, each loaded when first needed.

A table names each part's tensors, their names in the checkpoint and here, and unused leftovers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from exomni_core.errors import InputError
from exomni_core.omni.config import OmniConfig, parse_config
from exomni_core.omni.nets.face_decoder import FaceDecoder
from exomni_core.omni.nets.language_model import LanguageModel
from exomni_core.omni.nets.projector import SpeechProjector
from exomni_core.omni.nets.speech_encoder import SpeechEncoder
from exomni_core.omni.nets.speech_generator import SpeechGenerator
from exomni_core.omni.tensor_files import read_json
from exomni_core.omni.weights import checkpoint as files
from exomni_core.omni.weights.checkpoint import Checkpoint, Stored


@dataclass(frozen=True)
class PartSpec:
    """The place of a part in a checkpoint.

    prefix: of its keys. names: pairs of name prefixes, ours and the checkpoint's. leftover: a
    pattern of unused keys.
    """

    prefix: str
    make: Callable[[OmniConfig], nn.Module]
    names: tuple[tuple[str, str], ...] = ()
    leftover: str = r"(?!)"

    def rename(self, ours: str) -> str:
        """Our name of a tensor -> the checkpoint's, after the prefix."""
        for mine, theirs in self.names:
            if ours.startswith(mine):
                return theirs + ours[len(mine) :]
        return ours


PARTS: Final[dict[str, PartSpec]] = {
    "language_model": PartSpec(
        "",
        lambda c: LanguageModel(c.llm),
        names=(("backbone.body.", "model."),),
    ),
    "speech_encoder": PartSpec(
        "speech_encoder.",
        lambda c: SpeechEncoder(c.whisper),
        names=(("encoder.", "model.encoder."),),
        leftover=r"model\.decoder\.|proj_out\.",
    ),
    "speech_projector": PartSpec(
        "speech_projector.",
        lambda c: SpeechProjector(c.whisper["d_model"], stack=c.stack, width=c.width),
    ),
    "speech_generator": PartSpec(
        "speech_generator.",
        lambda c: SpeechGenerator(c.unit_lm, text_width=c.width, units=c.units),
        names=(("backbone.body.", "llm.model.model."),),
        leftover=r"llm\.model\.lm_head\.|llm\.lm_head\.",
    ),
    "blendshape_generator": PartSpec(
        "blendshape_generator.",
        lambda c: FaceDecoder(c.face),
        names=(("layers.", "transformer_encoder.transformer_encoder.layers."),),
        leftover=r"(transformer_encoder\.)?rope\.",
    ),
}


def read_config(folder: Path) -> OmniConfig:
    """The sizes of the checkpoint in `folder`, with its side folders' where they are there."""
    data = read_json(folder / "config.json")
    whisper = side_folder(folder, data, "pretrain_speech_encoder_weights")
    unit_lm = side_folder(folder, data, "pretrain_speech_generator_weights")
    return parse_config(
        data,
        whisper=read_json(whisper / "config.json") if whisper else None,
        unit_lm=read_json(unit_lm / "config.json") if unit_lm else None,
        where=str(folder / "config.json"),
    )


def side_folder(folder: Path, data: Mapping[str, Any], field: str) -> Path | None:
    """The folder that config.json names in `field`, looked for inside and beside the checkpoint.

    Only by its last name: a path in a downloaded file must not lead anywhere else.
    """
    name = Path(str(data.get(field) or "")).name
    if not name or name == "..":
        return None
    for place in (folder / name, folder.parent / name):
        if (place / "config.json").is_file():
            return place
    return None


class PartLoader:
    """Checks the whole checkpoint at once, and loads parts one by one.

    Raises InputError that names any tensor which is missing, unexpected or misshapen.
    """

    def __init__(
        self, folder: Path, config: OmniConfig, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.folder, self.config = folder, config
        self.device, self.dtype = device, dtype
        self._empty = {name: files.build(spec.make, config) for name, spec in PARTS.items()}
        self._found = self._route(files.open_checkpoint(folder))
        wanted: dict[str, tuple[int, ...]] = {}
        for name, spec in PARTS.items():
            shapes = files.expected_shapes(self._empty[name], spec.rename)
            wanted |= {spec.prefix + key: shape for key, shape in shapes.items()}
        flat = {
            PARTS[name].prefix + key: stored
            for name, found in self._found.items()
            for key, stored in found.items()
        }
        files.check(folder, flat, wanted)

    @classmethod
    def open(
        cls, folder: Path | str, *, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> PartLoader:
        """The loader of the checkpoint in `folder`, with the sizes from its config.json."""
        folder = Path(folder)
        return cls(folder, read_config(folder), device=torch.device(device), dtype=dtype)

    def bytes_of(self, name: str) -> int:
        """Memory that part `name` takes."""
        values = sum(p.numel() for p in self._empty[name].parameters())
        return values * self.dtype.itemsize

    def load(self, name: str, *, device: torch.device | None = None) -> nn.Module:
        """Part `name` with its weights, ready to use."""
        spec = PARTS.get(name)
        if spec is None:
            raise InputError(f"there is no part {name!r}; the choice is {', '.join(PARTS)}")
        module = files.build(spec.make, self.config)
        files.load(
            module,
            self._found[name],
            spec.rename,
            device=device or self.device,
            dtype=self.dtype,
        )
        if isinstance(module, LanguageModel):
            module.tie()
        if isinstance(module, (LanguageModel, SpeechGenerator)):
            module.backbone.renew_buffers()
        return module

    def _route(self, checkpoint: Checkpoint) -> dict[str, dict[str, Stored]]:
        """Tensors by part, without the leftovers."""
        routed: dict[str, dict[str, Stored]] = {name: {} for name in PARTS}
        tied = bool(self.config.llm.get("tie_word_embeddings"))
        for key, stored in checkpoint.tensors.items():
            name = next((n for n in PARTS if n != "language_model" and key.startswith(f"{n}.")), "")
            spec = PARTS[name or "language_model"]
            rest = key[len(spec.prefix) :]
            if re.match(spec.leftover, rest) or (tied and key == "lm_head.weight"):
                continue
            routed[name or "language_model"][rest] = stored
        if not routed["speech_encoder"]:
            routed["speech_encoder"] = self._whisper_folder(checkpoint)
        return routed

    def _whisper_folder(self, checkpoint: Checkpoint) -> dict[str, Stored]:
        """The encoder's weights from its own Whisper folder, where the checkpoint has none."""
        data = read_json(checkpoint.folder / "config.json")
        folder = side_folder(checkpoint.folder, data, "pretrain_speech_encoder_weights")
        if folder is None:
            return {}  # reported as missing
        try:
            tensors = files.open_checkpoint(folder).tensors
        except InputError:
            return {}
        return {
            key if key.startswith("model.") else f"model.{key}": stored
            for key, stored in tensors.items()
            if re.match(r"(model\.)?encoder\.", key)
        }


CHECKPOINT: Final = "ex-omni"
DECODER: Final = "glm-4-voice-decoder"
TOKENIZER: Final = "glm-4-voice-tokenizer"
