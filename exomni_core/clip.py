# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech and named face weights in, a clip on one clock out, which all parts share; clip <-> file.

A `.clip` file is a zip that a human can open: `clip.json`, `audio.flac`, `weights.npy`. The same
clip always gives the same bytes: no dates, fixed order. Nothing in it is pickled.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.arrays import FloatArray
from exomni_core.errors import ClipError
from exomni_core.storage.codecs import (
    flac_bytes,
    flac_length,
    is_flac_rate,
    members_from_zip,
    npy_bytes,
    read_npy,
    samples_from_flac,
    zip_bytes,
)
from exomni_core.storage.files import replacing
from exomni_core.storage.foreign import parse_json, read_at_most

SCHEMA_VERSION: Final = 1
MAX_DURATION_S: Final = 3600.0  # an hour; also bounds what a hostile file can make us read
MAX_SAMPLES: Final = 3600 * 48_000  # the hour at 48 kHz; silence packs too well to go unbounded
MAX_FPS: Final = 1000.0
MAX_FILE_BYTES: Final = 1 << 30
_MAX_MEMBER_BYTES: Final = {
    "clip.json": 64 << 20,
    "audio.flac": 640 << 20,
    "weights.npy": 256 << 20,
}
_MEMBERS: Final = tuple(_MAX_MEMBER_BYTES)


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
    route: how the face was found (`tts_events`, `transcript`, `recognised`, `allphone`, `energy`;
        `units` by the neural engine).
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
        values: dict[str, Any] = {
            "audio": _frozen_array(self.audio),
            "weights": _frozen_array(self.weights),
            "fps": _number("fps", self.fps, 1e-3, MAX_FPS),
            "confidence": _number("confidence", self.confidence, 0.0, 1.0),
            "words": _labels("words", self.words, Word),
            "phones": _labels("phones", self.phones, Phone),
            "prompt": _plain_mapping("prompt", self.prompt),
            "provenance": _plain_mapping("provenance", self.provenance),
            "channels": tuple(self.channels) if isinstance(self.channels, (tuple, list)) else (),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
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
    """Read a `.clip` file; ClipError if it is missing, damaged, too new or too big."""
    return clip_from_bytes(_read_file(Path(path)), where=str(path))


def load_hashed_clip(path: Path | str) -> tuple[Clip, str]:
    """A `.clip` file and the hex SHA-256 of its bytes, read once; ClipError as in `load_clip`."""
    data = _read_file(Path(path))
    return clip_from_bytes(data, where=str(path)), hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, eq=False)
class ClipFace:
    """What a renderer needs of a clip.

    weights: (T, 52) float32 in [0, 1] at `fps`, columns as ARKIT_52.
    duration_s: length of the audio in seconds. flac: the audio as the bytes of a FLAC file.
    """

    weights: FloatArray
    fps: float
    duration_s: float
    flac: bytes


def load_face(path: Path | str) -> ClipFace:
    """Only what a renderer needs of a `.clip` file; ClipError as in `load_clip`.

    Needs numpy alone, so it also runs in a Blender that has no sound library.
    """
    return face_from_bytes(_read_file(Path(path)), where=str(path))


def face_from_bytes(data: bytes, *, where: str = "the clip") -> ClipFace:
    """As `load_face`, from the bytes of a `.clip` file; `where` names the source in a ClipError."""
    members = _read_members(data, where)
    header = _parse_header(members["clip.json"], len(data), where)
    _check_hashes(header, members, where)
    flac = members["audio.flac"]
    try:
        rate, samples = flac_length(flac)
        weights = _frozen_array(read_npy(members["weights.npy"]))
        fps = _number("fps", header["fps"], 1e-3, MAX_FPS)
        _check_face(weights, fps, samples / rate)
    except (ClipError, ValueError, MemoryError) as error:
        raise ClipError(f"{where} is not a whole clip: {error}") from error
    return ClipFace(weights, fps, samples / rate, flac)


def load_facts(path: Path | str) -> dict[str, Any]:
    """What `clip.json` of a `.clip` file says, without its sound; ClipError as in `load_clip`."""
    data = _read_file(Path(path))
    return _parse_header(_read_members(data, str(path))["clip.json"], len(data), str(path))


def clip_to_bytes(clip: Clip) -> bytes:
    """The bytes of a `.clip` file; equal clips give equal bytes."""
    flac, npy = flac_bytes(clip.audio, clip.sample_rate_hz), npy_bytes(clip.weights)
    header = _header(clip)
    header["sha256"] = {
        "audio.flac": hashlib.sha256(flac).hexdigest(),
        "weights.npy": hashlib.sha256(npy).hexdigest(),
    }
    text = _json_bytes(header)
    return zip_bytes(dict(zip(_MEMBERS, (text, flac, npy), strict=True)), stored=".flac")


def clip_from_bytes(data: bytes, *, where: str = "the clip") -> Clip:
    """Read the bytes of a `.clip` file; `where` names the source in a ClipError."""
    members = _read_members(data, where)
    header = _parse_header(members["clip.json"], len(data), where)
    _check_hashes(header, members, where)
    try:
        audio, rate = samples_from_flac(members["audio.flac"], MAX_SAMPLES)
        if header["sample_rate_hz"] != rate:
            raise ClipError(f"its audio is at {rate} Hz, not {header['sample_rate_hz']!r}")
        return Clip(
            audio=audio,
            sample_rate_hz=rate,
            weights=read_npy(members["weights.npy"]),
            words=_rows(header["words"], Word),
            phones=_rows(header["phones"], Phone),
            channels=header["channels"],
            **{name: header[name] for name in _PLAIN_FIELDS},
        )
    except (ClipError, ValueError, TypeError, MemoryError) as error:
        raise ClipError(f"{where} is not a whole clip: {error}") from error


_PLAIN_FIELDS: Final = (
    "fps", "text", "language", "prompt", "engine", "seed", "route", "confidence", "provenance",
)  # fmt: skip


def _read_file(path: Path) -> bytes:
    try:
        return read_at_most(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ClipError(f"{path} can't be read: {reason}") from error


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


def _json_bytes(header: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(header, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
        return text.encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        raise ClipError(
            f"the clip's prompt, provenance or labels are not plain JSON data: {error}"
        ) from error


def _rows(rows: object, kind: type[Word] | type[Phone]) -> tuple[Any, ...]:
    """Label rows of clip.json as Words or Phones; their values are checked by the Clip."""
    names = {f.name for f in fields(kind)}
    if not isinstance(rows, list) or not all(
        isinstance(r, dict) and r.keys() == names for r in rows
    ):
        raise ClipError(f"a row of its words or phones does not hold {', '.join(sorted(names))}")
    return tuple(kind(**row) for row in rows)


def _read_members(data: bytes, where: str) -> dict[str, bytes]:
    try:
        return members_from_zip(data, _MAX_MEMBER_BYTES)
    except ValueError as error:
        raise ClipError(f"{where} is damaged or not a clip ({error}); get a fresh copy") from error


def _parse_header(raw: bytes, file_bytes: int, where: str) -> dict[str, Any]:
    try:
        header = parse_json(raw, input_bytes=file_bytes, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ClipError(f"{where} is damaged: clip.json can't be read ({error})") from error
    version = header.get("schema_version") if isinstance(header, dict) else None
    if type(version) is not int or version < 1:
        raise ClipError(f"{where} is not a clip: clip.json names no schema_version")
    if version > SCHEMA_VERSION:
        raise ClipError(
            f"{where} was written by a newer version (clip schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); update Ex-Omni for Blender to open it"
        )
    assert isinstance(header, dict)
    needed = {f.name for f in fields(Clip)} - {"audio", "weights"} | {"sha256"}
    if missing := sorted(needed - header.keys()):
        raise ClipError(f"{where} is not a whole clip: clip.json lacks {', '.join(missing)}")
    if not isinstance(header["sha256"], dict):
        raise ClipError(f"{where} is not a whole clip: its hashes can't be read")
    return header


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _check_hashes(header: Mapping[str, Any], members: Mapping[str, bytes], where: str) -> None:
    for name in _MEMBERS[1:]:
        if header["sha256"].get(name) != hashlib.sha256(members[name]).hexdigest():
            raise ClipError(f"{where} is damaged: {name} is not what was saved; get a fresh copy")


def _frozen_array(array: npt.ArrayLike) -> FloatArray:
    try:
        values = np.asarray(array)
    except ValueError as error:
        raise ClipError("audio and weights must be arrays of numbers") from error
    if values.dtype.kind not in "fiu":
        raise ClipError("audio and weights must be arrays of numbers")
    with np.errstate(over="ignore"):  # too large becomes infinite, and that is refused below
        # Adding zero copies, and turns -0.0 into 0.0, so that equal clips have equal bytes.
        frozen: FloatArray = np.ascontiguousarray(values, np.float32) + np.float32(0.0)
    frozen.flags.writeable = False
    return frozen


def _number(name: str, value: object, low: float, high: float) -> float:
    # Comparing before converting: a JSON integer may be too large for a float.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    shown = repr(value)[:40] if isinstance(value, (float, str)) else type(value).__name__
    raise ClipError(f"{name} must be a number from {low:g} to {high:g}, not {shown}")


def _plain_mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ClipError(f"{name} must be a mapping, not {type(value).__name__}")
    return MappingProxyType(dict(value))


def _labels(name: str, labels: object, kind: type[Word] | type[Phone]) -> tuple[Any, ...]:
    """Words or phones with their times as floats, checked to ascend."""
    if not isinstance(labels, (tuple, list)) or not all(isinstance(row, kind) for row in labels):
        raise ClipError(f"{name} must be a tuple of {kind.__name__}")
    checked: list[Any] = []
    last_s = 0.0
    for label in labels:
        text, start, end = vars(label).values()
        if not isinstance(text, str):
            raise ClipError(f"one of the {name} has no text but {type(text).__name__}")
        start = _number(f"the start of {text[:20]!r}", start, -MAX_DURATION_S, MAX_DURATION_S)
        end = _number(f"the end of {text[:20]!r}", end, -MAX_DURATION_S, MAX_DURATION_S)
        if end < start or (checked and start < last_s):
            raise ClipError(f"the {name} do not ascend in time at {text[:20]!r} ({start:.3f} s)")
        checked.append(kind(text, start, end))
        last_s = start
    return tuple(checked)


def _check(clip: Clip) -> None:
    audio, rate = clip.audio, clip.sample_rate_hz
    if audio.ndim != 1 or len(audio) == 0:
        raise ClipError(f"audio must be mono and not empty, not of shape {audio.shape}")
    if type(rate) is not int or rate < 1000 or not is_flac_rate(rate):
        raise ClipError(f"a sample rate of {rate!r} Hz is not usable; resample to 48000 Hz")
    if clip.duration_s > MAX_DURATION_S or len(audio) > MAX_SAMPLES:
        raise ClipError(f"audio of {clip.duration_s:.0f} s at {rate} Hz is too long for a clip")
    if not (audio.min() >= -1.0 and audio.max() <= 1.0):  # also for values that are no numbers
        raise ClipError("audio must be finite and lie in [-1, 1]")
    if clip.channels != ARKIT_52:
        raise ClipError("the channels must be ARKit's 52 names in ARKIT_52 order")
    _check_face(clip.weights, clip.fps, clip.duration_s)
    if type(clip.seed) is not int or clip.seed < 0:
        raise ClipError(f"the seed must be a whole number from 0, not {type(clip.seed).__name__}")
    for name in ("text", "language", "engine", "route"):
        if not isinstance(getattr(clip, name), str):
            raise ClipError(f"{name} must be a text, not {type(getattr(clip, name)).__name__}")


def _check_face(weights: FloatArray, fps: float, duration_s: float) -> None:
    if weights.ndim != 2 or weights.shape[1] != len(ARKIT_52) or len(weights) == 0:
        raise ClipError(f"weights must have shape (frames, 52), not {weights.shape}")
    if not np.isfinite(weights).all() or weights.min() < 0.0 or weights.max() > 1.0:
        raise ClipError("weights must be finite and lie in [0, 1]")
    face_s = len(weights) / fps
    if abs(face_s - duration_s) > max(2.0 / fps, 0.1):
        raise ClipError(f"face ({face_s:.2f} s) and audio ({duration_s:.2f} s) differ")
