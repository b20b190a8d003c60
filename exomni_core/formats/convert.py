# SPDX-License-Identifier: GPL-3.0-or-later
"""Face files of other tools in, weights by channel name out, and back; clips to them and from them.

By extension: `.json` Omniverse Audio2Face, `.csv` Live Link Face and Audio2Face-3D, `.npy` with
`.names.json` beside it, `.npz` with names inside, `.clip` ours. Columns are found by name, never by
place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core import __version__
from exomni_core.arkit import ARKIT_52
from exomni_core.audio import MAX_DURATION_S, Audio, read_audio, write_wav
from exomni_core.clip import Clip, frame_count, load_clip, load_face, save_clip
from exomni_core.errors import InputError
from exomni_core.formats.a2f import _read_a2f, _write_a2f
from exomni_core.formats.arrays import read_npz
from exomni_core.formats.face_track import (
    FaceTrack,
    FloatArray,
    _checked_fps,
    _read_bytes,
    _read_json,
    _read_text,
    _track,
)
from exomni_core.formats.live_link import csv_text, parse_csv
from exomni_core.storage.codecs import npy_bytes, read_npy
from exomni_core.storage.files import replacing, write_text

SILENCE_RATE_HZ: Final = 16_000


def read_face(
    path: Path | str, *, fps: float | None = None, names: tuple[str, ...] | None = None
) -> FaceTrack:
    """Read a face file by its extension; InputError in one sentence if it can't be used.

    fps: overrides what the file says, and is needed where a CSV is too short to tell. names: the
    columns of an array that has none; they never override a file's own.
    """
    path = Path(path)
    if fps is not None:
        fps = _checked_fps(fps, "the given frame rate")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} is no known face file; known are {', '.join(_READERS)}")
    if reader is _read_npy:
        return _read_npy(path, fps, names)
    return _read_npz(path, fps, names) if reader is _read_npz else reader(path, fps)


def write_face(path: Path | str, weights: npt.ArrayLike, fps: float) -> None:
    """Write (T, 52) weights in ARKIT_52 order at `fps`, by extension, whole or not at all.

    Values are kept exactly. Raises InputError; `.clip` needs sound, so it is `convert`'s work.
    """
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path} can't be written as a face; choose {', '.join(_WRITERS)}")
    table = np.asarray(weights, np.float32)
    if table.ndim != 2 or table.shape[1] != len(ARKIT_52) or len(table) == 0:
        raise InputError(f"weights must have shape (frames, 52), not {table.shape}")
    if not np.isfinite(table).all():
        raise InputError("weights must be finite numbers")
    writer(path, table, _checked_fps(fps, "the frame rate"))


def convert(
    source: Path | str,
    target: Path | str,
    *,
    audio: Path | None = None,
    fps: float | None = None,
) -> dict[str, Any]:
    """Turn one face file into another, by their extensions; returns what happened, as plain data.

    The facts are `frames`, `fps`, `missing_channels` and `ignored_columns`, and of a clip made from
    a foreign face also `sound`, `clipped_values`, `frames_added` and `frames_cut`.
    A clip needs sound: `audio` (any sound file, about as long as the face), else silence of the
    face's length. In a clip, values outside [0, 1] are clipped; its provenance counts them and
    tells source, sound, missing and ignored channels. To `.wav` goes a clip's sound alone, with
    `seconds` and `sample_rate_hz`. Raises InputError.
    """
    source, target = Path(source), Path(target)
    if target.suffix.lower() != ".clip":
        if audio is not None:
            raise InputError("sound can only be kept in a .clip file", field="audio")
        if target.suffix.lower() == ".wav":
            return _sound_of(source, target)
        track = read_face(source, fps=fps)
        write_face(target, track.weights, track.fps)
        return _facts(track)
    if source.suffix.lower() == ".clip" and audio is None and fps is None:
        clip = load_clip(source)
        save_clip(clip, target)
        return _facts(FaceTrack(clip.weights, clip.fps))
    track = read_face(source, fps=fps)
    clip = clip_from_face(track, source.name, audio)
    save_clip(clip, target)
    made = {name: clip.provenance[name] for name in _CLIP_FACTS}
    return _facts(track) | made | {"frames": len(clip.weights)}


def _sound_of(source: Path, target: Path) -> dict[str, Any]:
    if source.suffix.lower() != ".clip":
        raise InputError(f"{source} holds no sound; only a .clip can become a .wav")
    clip = load_clip(source)
    write_wav(target, clip.audio, clip.sample_rate_hz)
    return {"seconds": round(clip.duration_s, 6), "sample_rate_hz": clip.sample_rate_hz}


_CLIP_FACTS: Final = ("sound", "clipped_values", "frames_added", "frames_cut")


def _facts(track: FaceTrack) -> dict[str, Any]:
    return {
        "frames": len(track.weights),
        "fps": track.fps,
        "missing_channels": list(track.missing),
        "ignored_columns": list(track.ignored),
    }


def clip_from_face(track: FaceTrack, name: str, audio: Path | None) -> Clip:
    """A clip of a foreign face; see `convert`. name: the source's file name, for the provenance."""
    face_s = len(track.weights) / track.fps
    if audio is None:
        # Rounding down, so that the frames that cover it are no more than there are.
        samples = max(1, math.floor(face_s * SILENCE_RATE_HZ))
        sound = Audio(np.zeros(samples, np.float32), SILENCE_RATE_HZ)
    else:
        sound = read_audio(audio, max_duration_s=MAX_DURATION_S)
        _check_lengths(face_s, sound.duration_s, 3.0 / track.fps)
    frames = frame_count(sound.duration_s, track.fps)
    # A few frames may differ (every tool rounds in its own way): hold the last one, or cut.
    weights = track.weights[np.minimum(np.arange(frames), len(track.weights) - 1)]
    outside = int(((weights < 0.0) | (weights > 1.0)).sum())
    return Clip(
        audio=sound.samples,
        sample_rate_hz=sound.sample_rate_hz,
        weights=np.clip(weights, 0.0, 1.0),
        fps=track.fps,
        engine="imported",
        route="imported",
        provenance={
            "exomni": __version__,
            "source": name,
            "sound": "silence" if audio is None else audio.name,
            "clipped_values": outside,
            "frames_added": max(0, frames - len(track.weights)),
            "frames_cut": max(0, len(track.weights) - frames),
            "missing_channels": list(track.missing),
            "ignored_columns": list(track.ignored),
        },
    )


def _check_lengths(face_s: float, sound_s: float, few_frames_s: float) -> None:
    difference = abs(face_s - sound_s)
    if difference > 0.5 or difference > max(few_frames_s, 0.1 * face_s):
        raise InputError(
            f"the face lasts {face_s:.2f} s but the sound {sound_s:.2f} s; they don't belong "
            "together",
            field="audio",
        )


def _read_csv(path: Path, fps: float | None) -> FaceTrack:
    table = parse_csv(_read_text(path), fps, str(path))
    return _track(table.names, table.values, table.fps, path)


def _write_csv(path: Path, weights: FloatArray, fps: float) -> None:
    write_text(path, csv_text(weights, fps))


def _read_npy(path: Path, fps: float | None, names: tuple[str, ...] | None = None) -> FaceTrack:
    try:
        table = read_npy(_read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path} can't be used: {error}") from error
    sidecar = path.with_suffix(".names.json")
    if not sidecar.exists():
        if names is not None:
            return _track(names, table, fps, path)  # type: ignore[arg-type]
        width = table.shape[1] if table.ndim == 2 else 0
        raise InputError(
            f"{path} holds {width} columns without names; put {sidecar.name} beside it with "
            '{"names": [...], "fps": 30}'
        )
    data = _read_json(sidecar)
    listed = data.get("names")
    if not isinstance(listed, list):
        raise InputError(f'{sidecar} has no list "names"; add it')
    return _track(listed, table, data.get("fps") if fps is None else fps, path)  # type: ignore[arg-type]


def _write_npy(path: Path, weights: FloatArray, fps: float) -> None:
    with replacing(path.with_suffix(".names.json")) as sidecar, replacing(path) as array:
        text = json.dumps({"names": list(ARKIT_52), "fps": fps}, indent=1)
        sidecar.write_text(text + "\n", encoding="utf-8")
        array.write_bytes(npy_bytes(np.ascontiguousarray(weights)))


def _read_npz(path: Path, fps: float | None, names: tuple[str, ...] | None = None) -> FaceTrack:
    table = read_npz(path, fps, names)
    return _track(table.names, table.values, table.fps, path)


def _read_clip(path: Path, fps: float | None) -> FaceTrack:
    face = load_face(path)
    return FaceTrack(face.weights, face.fps if fps is None else fps)


_READERS: Final[dict[str, Callable[[Path, float | None], FaceTrack]]] = {
    ".json": _read_a2f,
    ".csv": _read_csv,
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".clip": _read_clip,
}
_WRITERS: Final[dict[str, Callable[[Path, FloatArray, float], None]]] = {
    ".json": _write_a2f,
    ".csv": _write_csv,
    ".npy": _write_npy,
}
