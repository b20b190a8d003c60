# SPDX-License-Identifier: GPL-3.0-or-later
"""Random parts in, an OmniModel without files out, for measuring whole replies and streams."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import torch
from omni_parts import Parts, Sizes, random_ids

from exomni_core.omni.model import LoadOptions, OmniModel
from exomni_core.omni.speech.speech_decoder import SpeechDecoder


class Words:
    """Stands for the tokenizer: every token is a word that ends a clause."""

    def __init__(self, prompt: int, most: int) -> None:
        self._prompt = random_ids(prompt, most, torch.device("cpu"))[0].tolist()

    def prompt_ids(self, _turns: object, _compat: object) -> list[int]:
        """A prompt of the wanted length, whatever was said."""
        return list(self._prompt)

    def pieces_of(self, ids: Sequence[int]) -> str:
        """Each twelfth token ends a sentence."""
        words = "word, " * len(ids)
        return words[:-2] + ". " if ids and len(ids) % 12 == 0 else words

    def text_of(self, ids: Sequence[int]) -> str:
        """The same, stripped."""
        return self.pieces_of(ids).strip()


class RandomModel(OmniModel):
    """The model without a checkpoint: the parts are given, and no token ends a reply."""

    end_ids = ()

    def __init__(
        self,
        parts: Parts,
        decoder: SpeechDecoder,
        sizes: Sizes,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.options = LoadOptions(device=device.type)
        self.compat = "fixed"
        self.device, self.dtype = device, dtype
        self.config = SimpleNamespace(max_prompt=None)  # type: ignore[assignment]
        self._loops = {}
        self.on_stage = None
        self._parts = {
            "language_model": parts.llm,
            "speech_generator": parts.generator,
            "blendshape_generator": parts.face,
            "decoder": decoder,
        }
        self.text = Words(sizes.prompt, sizes.llm["vocab_size"])  # type: ignore[assignment]

    @property
    def decoder(self) -> SpeechDecoder:
        """As given."""
        return cast(SpeechDecoder, self._parts["decoder"])
