# SPDX-License-Identifier: GPL-3.0-or-later
"""16 kHz mono samples in -> the log-mel features that Whisper encoders hear, as torch tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor

from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError

RATE_HZ: Final = 16_000
WHISPER_LARGE_V3: Final[Mapping[str, Any]] = {
    "feature_size": 128,  # mel bins
    "sampling_rate": RATE_HZ,
    "hop_length": 160,
    "chunk_length": 30,  # seconds
    "n_fft": 400,
}
_MOST: Final = {"feature_size": 1024, "hop_length": 16_000, "chunk_length": 600, "n_fft": 16_000}


class MelExtractor:
    """Log-mel features as Whisper's own extractor makes them.

    preprocessor: a `preprocessor_config.json`; keys that it lacks are those of Whisper large v3,
    keys that don't matter here are ignored. Raises InputError(field="preprocessor") for one that
    can't be used.
    """

    def __init__(self, preprocessor: Mapping[str, Any] | None = None) -> None:
        given = preprocessor or {}
        if not isinstance(given, Mapping):
            raise _bad_preprocessor("holds no JSON object")
        settings = {key: given.get(key, value) for key, value in WHISPER_LARGE_V3.items()}
        for key, most in _MOST.items():
            value = settings[key]
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise _bad_preprocessor(f"has {key} {value!r}, not a whole number up to {most}")
        if settings["sampling_rate"] != RATE_HZ:
            raise _bad_preprocessor(
                f"asks for {settings['sampling_rate']!r} Hz, but Whisper hears {RATE_HZ} Hz"
            )
        # No dither, whatever the file says: the same recording must give the same clip.
        self._extract: Any = WhisperFeatureExtractor(**settings, padding_value=0.0, dither=0.0)
        self.n_mels: int = settings["feature_size"]
        self.hop: int = settings["hop_length"]
        self.chunk: int = settings["chunk_length"] * RATE_HZ  # samples

    def chunk_features(self, samples: FloatArray, device: torch.device | str = "cpu") -> Tensor:
        """(S,) samples, padded with zeros or cut to one chunk -> (1, n_mels, chunk / hop) float32.

        Raises InputError(field="audio") for samples that are not finite or not one row.
        """
        return self._features([checked(samples)[: self.chunk]], self.chunk, device)

    def padded_features(
        self, rows: Sequence[FloatArray], length: int, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Rows of (S_i,) samples, each padded with zeros to `length` -> (B, n_mels, length / hop).

        Raises InputError(field="audio") for samples that are not finite or not one row.
        """
        assert all(len(row) <= length for row in rows)
        return self._features([checked(row) for row in rows], length, device)

    def _features(self, rows: list[FloatArray], length: int, device: torch.device | str) -> Tensor:
        padded = np.zeros((len(rows), length), np.float32)
        for target, row in zip(padded, rows, strict=True):
            target[: len(row)] = row
        found = self._extract(
            padded,
            sampling_rate=RATE_HZ,
            max_length=length,
            return_tensors="pt",
            device=str(device),
        )
        features: Tensor = found["input_features"]  # (B, n_mels, length / hop)
        return features.to(device)


def checked(samples: npt.ArrayLike) -> FloatArray:
    """`samples` as (S,) float32; InputError(field="audio") if they are no row of finite numbers."""
    values = np.asarray(samples, np.float32)
    if values.ndim != 1:
        raise InputError(
            f"sound must be one row of samples, not an array of shape {values.shape}; "
            "mix its channels down first",
            field="audio",
        )
    if not np.isfinite(values).all():
        raise InputError(
            "the sound holds values that are not numbers (NaN or infinity); export it again",
            field="audio",
        )
    return values


def _bad_preprocessor(complaint: str) -> InputError:
    return InputError(
        f"preprocessor_config.json {complaint}; get the file of the speech encoder again",
        field="preprocessor",
    )
