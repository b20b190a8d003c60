# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip -> a JSON line and raw arrays, for clients that can't decode FLAC; and back.

A bundle is one line of JSON, then the audio, then the weights, both little-endian float32.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.clip import Clip
from exomni_core.clip_notes import clip_notes
from exomni_core.server.protocol import unreadable
from exomni_core.storage.documents import json_bytes

_MAX_HEADER_BYTES: Final = 64 << 20

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ClipData:
    """What a client without FLAC gets of a clip.

    audio: (S,) float32 in [-1, 1], mono, at rate_hz. weights: (T, 52) float32 in [0, 1] at fps,
    columns as ARKIT_52. words, phones: (text or IPA, start_s, end_s). The rest as in Clip.
    """

    audio: FloatArray
    rate_hz: int
    weights: FloatArray
    fps: float
    words: tuple[tuple[str, float, float], ...] = ()
    phones: tuple[tuple[str, float, float], ...] = ()
    text: str = ""
    seed: int = 0
    language: str = ""
    engine: str = ""
    route: str = ""
    confidence: float = 1.0
    prompt: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length of the audio in seconds."""
        return len(self.audio) / self.rate_hz


def bundle_parts(clip: Clip) -> Iterator[bytes | memoryview]:
    """The pieces of the bundle of `clip`, in order; the arrays are not copied."""
    header = {
        "audio": len(clip.audio),
        "rate_hz": clip.sample_rate_hz,
        "weights": list(clip.weights.shape),
        "fps": clip.fps,
        "words": [[w.text, w.start_s, w.end_s] for w in clip.words],
        "phones": [[p.symbol, p.start_s, p.end_s] for p in clip.phones],
        "text": clip.text,
        "seed": clip.seed,
        "language": clip.language,
        "engine": clip.engine,
        "route": clip.route,
        "confidence": clip.confidence,
        "prompt": dict(clip.prompt),
        "provenance": dict(clip.provenance),
        "notes": clip_notes(clip),
    }
    yield json_bytes(header) + b"\n"
    yield raw_bytes(clip.audio)
    yield raw_bytes(clip.weights)


def read_bundle(data: bytes) -> ClipData:
    """The clip data in a bundle; its arrays are read-only views. WorkerError if it is no bundle."""
    end = data.find(b"\n", 0, _MAX_HEADER_BYTES)
    try:
        header = json.loads(data[: max(end, 0)])
        samples, (rows, columns) = int(header["audio"]), header["weights"]
        if len(data) != end + 1 + 4 * (samples + rows * columns) or min(samples, rows, columns) < 0:
            raise unreadable()
        audio = np.frombuffer(data, "<f4", samples, end + 1)
        weights = np.frombuffer(data, "<f4", rows * columns, end + 1 + 4 * samples)
        return ClipData(
            audio=audio,
            rate_hz=int(header["rate_hz"]),
            weights=weights.reshape(rows, columns),
            fps=float(header["fps"]),
            words=tuple((str(t), float(a), float(b)) for t, a, b in header["words"]),
            phones=tuple((str(t), float(a), float(b)) for t, a, b in header["phones"]),
            notes=tuple(str(note) for note in header.get("notes", ())),
            **{n: header[n] for n in _PLAIN if n in header},
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise unreadable() from error


_PLAIN: Final = (
    "text", "seed", "language", "engine", "route", "confidence", "prompt", "provenance",
)  # fmt: skip


def raw_bytes(array: npt.NDArray[np.float32]) -> memoryview:
    """Little-endian float32 in C order."""
    flat = np.ascontiguousarray(array, "<f4").reshape(-1)
    return flat.view(np.uint8).data if flat.size else memoryview(b"")


def array_of(data: bytes, columns: int | None = None) -> FloatArray:
    """`raw_bytes` back: (S,), or (T, columns); WorkerError if the numbers don't fit."""
    try:
        flat = np.frombuffer(data, "<f4")
        return flat if columns is None else flat.reshape(-1, columns)
    except ValueError as error:
        raise unreadable() from error
