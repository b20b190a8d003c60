# SPDX-License-Identifier: GPL-3.0-or-later
"""Log-mel features in, speech features out: Whisper's encoder, from transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder


class SpeechEncoder(nn.Module):
    """encoder holds the checkpoint's `speech_encoder.model.encoder.*`; the decoder is never loaded.

    sizes: Whisper's config.json, or the built-in sizes of Whisper large v3.
    """

    def __init__(self, sizes: Mapping[str, Any]) -> None:
        super().__init__()
        known = WhisperConfig().to_dict()
        self.config = WhisperConfig(**{k: v for k, v in sizes.items() if k in known})
        self.config._attn_implementation = "sdpa"
        self.encoder = WhisperEncoder(self.config)

    @property
    def frames(self) -> int:
        """Mel frames that `forward` takes, always this many: 3000 for 30 s."""
        return 2 * int(self.config.max_source_positions)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, n_mels, frames) -> (B, frames / 2, d)."""
        encoded: Tensor = self.encoder(mel.to(self.encoder.conv1.weight.dtype)).last_hidden_state
        return encoded
