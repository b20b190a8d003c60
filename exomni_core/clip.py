# SPDX-License-Identifier: GPL-3.0-or-later
"""The clip, the one thing all parts share: speech and named face weights on one clock, and its file.

A `.clip` file is a zip that a human can open: `clip.json`, `audio.flac`, `weights.npy`. The same
clip always gives the same bytes: no dates, fixed order. Nothing in it is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.errors import ClipError
from exomni_core.files import replacing

SCHEMA_VERSION: Final = 1
MAX_DURATION_S: Final = 3600.0  # an hour; also bounds what a hostile file can make us read
MAX_FILE_BYTES: Final = 1 << 30
_MEMBERS: Final = ("clip.json", "audio.flac", "weights.npy")
_MAX_MEMBER_BYTES: Final = {"clip.json": 64 << 20, "audio.flac": 1 << 30, "weights.npy": 256 << 20}
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Word:
    """A spoken word, as written in the text, with its time in seconds from the clip's start."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Phone:
    """A speech sound (IPA; an empty symbol is a pause) with its time in seconds."""

    symbol: str
    start_s: float
    end_s: float


@dataclass(frozen=True, eq=False)
class Clip:
    """Speech with the face that goes with it.

    audio: (S,) float32 in [-1, 1], mono, at `sample_rate_hz`.
    weights: (T, 52) float32 in [0, 1], columns named by `channels` (always ARKIT_52); row k is the
        face at k / fps seconds. T covers the audio: ceil(duration_s * fps).
    fps: rows per second, as the engine made them (30 for embedded).
    words, phones: ascending in time, in seconds.
    text: what is said (the reply, the line, the transcript given or recognised; may be empty).
    prompt: the prompt as plain JSON data. engine: its name. seed: what the randomness grew from.
    route: how the face was found (`tts_events`, `transcript`, `recognised`, `allphone`, `energy`).
    confidence: how sure the engine is of that route, 0 to 1.
    provenance: versions and hashes, plain JSON data, without dates.
    """

    audio: FloatArray
    sample_rate_hz: int
    weights: FloatArray
    fps: float
    words: tuple[Word, ...] = ()
    phones: tuple[Phone, ...] = ()
    text: str = ""
    language: str = ""
    prompt: Mapping[str, Any] = field(default_factory=dict)
    engine: str = ""
    seed: int = 0
    route: str = ""
    confidence: float = 1.0
    provenance: Mapping[str, Any] = field(default_factory=dict)
    channels: tuple[str, ...] = ARKIT_52

    def __post_init__(self) -> None:
        """Check every promise above and make the arrays read-only; raises ClipError."""
        object.__setattr__(self, "audio", _frozen_array(self.audio))
        object.__setattr__(self, "weights", _frozen_array(self.weights))
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "phones", tuple(self.phones))
        object.__setattr__(self, "prompt", MappingProxyType(dict(self.prompt)))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
        _check(self)

    @property
    def duration_s(self) -> float:
        """Length of the audio in seconds."""
        return len(self.audio) / self.sample_rate_hz

    def channel(self, name: str) -> FloatArray:
        """One channel's curve, (T,) float32; raises ClipError for a name outside ARKIT_52."""
        if name not in CHANNEL_INDEX:
            raise ClipError(f"there is no channel {name!r}; the names are those of ARKit's 52")
        return self.weights[:, CHANNEL_INDEX[name]]


def frame_count(duration_s: float, fps: float) -> int:
    """How many frames at `fps` cover `duration_s`: rounded up, so that no sound lacks a picture."""
    return max(1, math.ceil(duration_s * fps - 1e-6))


def save_clip(clip: Clip, path: Path | str) -> str:
    """Write `clip` to `path` (whole or not at all) and return the hex SHA-256 of the file.

    Weights are kept exactly, audio exactly if it came from 16 bits or fewer (24 bits otherwise).
    """
    data = clip_to_bytes(clip)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def load_clip(path: Path | str) -> Clip:
    """Read a `.clip` file; ClipError in one sentence if it is missing, damaged, too new or too big."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ClipError(f"{path} is larger than any clip ({size} bytes); it can't be opened")
        return clip_from_bytes(path.read_bytes(), where=str(path))
    except OSError as error:
        raise ClipError(f"{path} can't be read: {error.strerror or error}") from error


def load_face(path: Path | str) -> tuple[FloatArray, float, bytes]:
    """Only what a renderer needs: weights (T, 52), their fps, and the audio as FLAC bytes.

    Needs numpy alone, so it also runs in a Blender that has no sound library. Raises ClipError.
    """
    path = Path(path)
    try:
        members = _read_members(path.read_bytes(), str(path))
    except OSError as error:
        raise ClipError(f"{path} can't be read: {error.strerror or error}") from error
    header = _parse_header(members["clip.json"], str(path))
    _check_hashes(header, members, str(path))
    try:
        weights = np.lib.format.read_array(io.BytesIO(members["weights.npy"]), allow_pickle=False)
    except ValueError as error:
        raise ClipError(f"{path} is not a whole clip: {error}") from error
    return np.asarray(weights, np.float32), float(header["fps"]), members["audio.flac"]


def clip_to_bytes(clip: Clip) -> bytes:
    """The bytes of a `.clip` file; equal clips give equal bytes."""
    flac = _audio_to_flac(clip.audio, clip.sample_rate_hz)
    npy = io.BytesIO()
    np.lib.format.write_array(npy, clip.weights, version=(1, 0), allow_pickle=False)
    header = _header(clip)
    header["sha256"] = {
        "audio.flac": hashlib.sha256(flac).hexdigest(),
        "weights.npy": hashlib.sha256(npy.getvalue()).hexdigest(),
    }
    text = json.dumps(header, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in zip(_MEMBERS, (text.encode(), flac, npy.getvalue()), strict=True):
            info = zipfile.ZipInfo(name, _ZIP_EPOCH)
            info.external_attr = 0o644 << 16
            packed = zipfile.ZIP_STORED if name.endswith(".flac") else zipfile.ZIP_DEFLATED
            archive.writestr(info, data, compress_type=packed, compresslevel=6)
    return out.getvalue()


def clip_from_bytes(data: bytes, *, where: str = "the clip") -> Clip:
    """Read the bytes of a `.clip` file; `where` names the source in a ClipError."""
    members = _read_members(data, where)
    header = _parse_header(members["clip.json"], where)
    _check_hashes(header, members, where)
    try:
        audio, rate = _audio_from_flac(members["audio.flac"])
        weights = np.lib.format.read_array(io.BytesIO(members["weights.npy"]), allow_pickle=False)
        return Clip(
            audio=audio,
            sample_rate_hz=rate,
            weights=weights,
            words=tuple(Word(**row) for row in header["words"]),
            phones=tuple(Phone(**row) for row in header["phones"]),
            channels=tuple(header["channels"]),
            **{name: header[name] for name in _PLAIN_FIELDS},
        )
    except (ClipError, ValueError, TypeError, KeyError, RuntimeError, MemoryError) as error:
        raise ClipError(f"{where} is not a whole clip: {error}") from error


_PLAIN_FIELDS: Final = (
    "fps", "text", "language", "prompt", "engine", "seed", "route", "confidence", "provenance",
)  # fmt: skip


def _header(clip: Clip) -> dict[str, Any]:
    header: dict[str, Any] = {name: getattr(clip, name) for name in _PLAIN_FIELDS}
    header["prompt"] = dict(clip.prompt)
    header["provenance"] = dict(clip.provenance)
    header |= {
        "schema_version": SCHEMA_VERSION,
        "sample_rate_hz": clip.sample_rate_hz,
        "samples": len(clip.audio),
        "frames": len(clip.weights),
        "channels": list(clip.channels),
        "words": [vars(word) for word in clip.words],
        "phones": [vars(phone) for phone in clip.phones],
    }
    return header


def _read_members(data: bytes, where: str) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {}
            for name in _MEMBERS:
                limit = _MAX_MEMBER_BYTES[name]
                with archive.open(name) as handle:
                    members[name] = handle.read(limit + 1)
                if len(members[name]) > limit:
                    raise ClipError(f"{where} holds an oversized {name}; it can't be opened")
            return members
    except KeyError as error:
        raise ClipError(f"{where} is not a clip: {error.args[0]}") from error
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError,
            zipfile.zlib.error) as error:  # type: ignore[attr-defined]  # fmt: skip
        raise ClipError(f"{where} is damaged or not a clip ({error}); get a fresh copy") from error


def _parse_header(raw: bytes, where: str) -> dict[str, Any]:
    try:
        header = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ClipError(f"{where} is damaged: clip.json can't be read ({error})") from error
    version = header.get("schema_version") if isinstance(header, dict) else None
    if not isinstance(version, int):
        raise ClipError(f"{where} is not a clip: clip.json names no schema_version")
    if version > SCHEMA_VERSION:
        raise ClipError(
            f"{where} was written by a newer version (clip schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); update Ex-Omni for Blender to open it"
        )
    needed = {f.name for f in fields(Clip)} - {"audio", "weights"} | {"sha256"}
    if missing := sorted(needed - header.keys()):
        raise ClipError(f"{where} is not a whole clip: clip.json lacks {', '.join(missing)}")
    if not isinstance(header["sha256"], dict):
        raise ClipError(f"{where} is not a whole clip: its hashes can't be read")
    return header


def _check_hashes(header: Mapping[str, Any], members: Mapping[str, bytes], where: str) -> None:
    for name in _MEMBERS[1:]:
        if header["sha256"].get(name) != hashlib.sha256(members[name]).hexdigest():
            raise ClipError(f"{where} is damaged: {name} is not what was saved; get a fresh copy")


def _audio_to_flac(audio: FloatArray, rate: int) -> bytes:
    import soundfile

    on_16_bit_grid = np.array_equal(np.round(audio * 32768.0) / np.float32(32768.0), audio)
    # soundfile scales floats by 32768 and clips; integers pass unchanged.
    bits = 16 if on_16_bit_grid else 24
    top = float(1 << (bits - 1))
    whole = np.clip(np.round(audio.astype(np.float64) * top), -top, top - 1).astype(np.int32)
    out = io.BytesIO()
    shifted = whole << (32 - bits)
    soundfile.write(out, shifted, rate, format="FLAC", subtype=f"PCM_{bits}")
    return out.getvalue()


def _audio_from_flac(data: bytes) -> tuple[FloatArray, int]:
    import soundfile

    with soundfile.SoundFile(io.BytesIO(data)) as source:
        if source.frames > MAX_DURATION_S * source.samplerate:
            raise ClipError("its audio is longer than an hour")
        if source.channels != 1:
            raise ClipError(f"its audio has {source.channels} channels instead of one")
        return source.read(dtype="float32"), int(source.samplerate)


def _frozen_array(array: npt.ArrayLike) -> FloatArray:
    try:
        frozen = np.array(array, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise ClipError("audio and weights must be arrays of numbers") from error
    frozen.flags.writeable = False
    return frozen


def _check(clip: Clip) -> None:
    audio, weights = clip.audio, clip.weights
    if audio.ndim != 1 or len(audio) == 0:
        raise ClipError(f"audio must be mono and not empty, not of shape {audio.shape}")
    if not isinstance(clip.sample_rate_hz, int) or not 1000 <= clip.sample_rate_hz <= 655350:
        raise ClipError(f"a sample rate of {clip.sample_rate_hz} Hz is not usable")
    if clip.duration_s > MAX_DURATION_S:
        raise ClipError(f"audio of {clip.duration_s:.0f} s is longer than an hour")
    if not np.isfinite(audio).all() or float(np.abs(audio).max()) > 1.0:
        raise ClipError("audio must be finite and lie in [-1, 1]")
    if clip.channels != ARKIT_52:
        raise ClipError("the channels must be ARKit's 52 names in ARKIT_52 order")
    if not isinstance(clip.fps, (int, float)) or not (math.isfinite(clip.fps) and clip.fps > 0):
        raise ClipError(f"fps must be a positive number, not {clip.fps!r}")
    if weights.ndim != 2 or weights.shape[1] != len(ARKIT_52) or len(weights) == 0:
        raise ClipError(f"weights must have shape (frames, 52), not {weights.shape}")
    if not np.isfinite(weights).all() or weights.min() < 0.0 or weights.max() > 1.0:
        raise ClipError("weights must be finite and lie in [0, 1]")
    if abs(len(weights) / clip.fps - clip.duration_s) > max(2.0 / clip.fps, 0.1):
        raise ClipError(
            f"face ({len(weights) / clip.fps:.2f} s) and audio ({clip.duration_s:.2f} s) differ"
        )
    if isinstance(clip.seed, bool) or not isinstance(clip.seed, int) or clip.seed < 0:
        raise ClipError(f"the seed must be a whole number from 0, not {clip.seed!r}")
    for label in (*clip.words, *clip.phones):
        times_ok = math.isfinite(label.start_s) and math.isfinite(label.end_s)
        if not times_ok or label.end_s < label.start_s:
            raise ClipError(f"a word or phone ends before it starts: {label}")
