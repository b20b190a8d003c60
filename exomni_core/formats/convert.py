# SPDX-License-Identifier: GPL-3.0-or-later
"""A face file in, a face file of another format out; clips to them and from them.

Only finds the formats; each of them is a file of this folder (see `format.py`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core import __version__
from exomni_core.arkit import ARKIT_52
from exomni_core.audio import Audio, read_audio
from exomni_core.clip import Clip, frame_count, load_clip
from exomni_core.errors import InputError
from exomni_core.formats.clip import FORMAT as CLIP
from exomni_core.formats.clip import write_clip
from exomni_core.formats.face_track import FaceTrack, checked_fps
from exomni_core.formats.format import (
    Wishes,
    endings,
    format_of,
    known_formats,
    readable,
    writable,
)
from exomni_core.sound.decoded import MAX_DURATION_S

SILENCE_RATE_HZ: Final = 16_000
_CLIP_FACTS: Final = ("sound", "clipped_values", "frames_added", "frames_cut")


def read_face(
    path: Path | str, *, fps: float | None = None, names: tuple[str, ...] | None = None
) -> FaceTrack:
    """Read a face file by its extension; InputError in one sentence if it can't be used.

    fps: overrides what the file says, and is needed where a CSV is too short to tell. names: the
    columns of an array that has none; they never override a file's own.
    """
    path = Path(path)
    if fps is not None:
        fps = checked_fps(fps, "the given frame rate")
    found = format_of(path, readable())
    if found is None or found.read is None:
        known = ", ".join(endings(readable()))
        raise InputError(f"{path} is no known face file; known are {known}")
    return found.read(path, Wishes(fps, names))


def write_face(path: Path | str, weights: npt.ArrayLike, fps: float) -> None:
    """Write (T, 52) weights in ARKIT_52 order at `fps`, by extension, whole or not at all.

    Values are kept exactly. Raises InputError; `.clip` needs sound, so it is `convert`'s work.
    """
    path = Path(path)
    found = format_of(path, writable())
    if found is None or found.write is None:
        choice = ", ".join(endings(writable()))
        raise InputError(f"{path} can't be written as a face; choose {choice}")
    table = np.asarray(weights, np.float32)
    if table.ndim != 2 or table.shape[1] != len(ARKIT_52) or len(table) == 0:
        raise InputError(f"weights must have shape (frames, 52), not {table.shape}")
    if not np.isfinite(table).all():
        raise InputError("weights must be finite numbers")
    found.write(path, table, checked_fps(fps, "the frame rate"))


def convert(
    source: Path | str,
    target: Path | str,
    *,
    audio: Path | None = None,
    fps: float | None = None,
) -> dict[str, Any]:
    """Turn one face file into another, by their extensions; returns what happened, as plain data.

    The facts are `frames`, `fps`, `missing_channels`, `ignored_columns` and `notes` (sentences on
    what was guessed or filled), and of a clip made from a foreign face also
    `sound`, `clipped_values`, `frames_added` and `frames_cut`.
    A clip needs sound: `audio` (any sound file, about as long as the face), else silence of the
    face's length. In a clip, values outside [0, 1] are clipped; its provenance counts them and
    tells source, sound, missing and ignored channels. A format that keeps more than the face, such
    as `.wav`, takes clips alone, and adds facts of its own. Raises InputError.
    """
    source, target = Path(source), Path(target)
    if target.suffix.lower() == CLIP.ending:
        return _to_clip(source, target, audio, fps)
    if audio is not None:
        raise InputError("sound can only be kept in a .clip file", field="audio")
    whole = [f for f in known_formats() if f.write_clip is not None]
    found = format_of(target, whole)
    is_clip = source.suffix.lower() == CLIP.ending
    if found is not None and found.write_clip is not None and (is_clip or found.write is None):
        if not is_clip:
            raise InputError(f"{source} holds no sound; only a .clip can become a {found.ending}")
        return found.write_clip(target, load_clip(source))
    track = read_face(source, fps=fps)
    write_face(target, track.weights, track.fps)
    return _facts(track)


def _to_clip(source: Path, target: Path, audio: Path | None, fps: float | None) -> dict[str, Any]:
    if source.suffix.lower() == CLIP.ending and audio is None and fps is None:
        clip = load_clip(source)
        write_clip(target, clip)
        return _facts(FaceTrack(clip.weights, clip.fps))
    track = read_face(source, fps=fps)
    clip = clip_from_face(track, source.name, audio)
    write_clip(target, clip)
    made = {name: clip.provenance[name] for name in _CLIP_FACTS}
    notes = [*clip.provenance.get("notes", ()), *track.remarks]
    return _facts(track) | made | {"frames": len(clip.weights), "notes": notes}


def _facts(track: FaceTrack) -> dict[str, Any]:
    return {
        "frames": len(track.weights),
        "fps": track.fps,
        "missing_channels": list(track.missing),
        "ignored_columns": list(track.ignored),
        "notes": [*track.notes, *track.remarks],
    }


def clip_from_face(track: FaceTrack, name: str, audio: Path | None) -> Clip:
    """A clip of a foreign face; see `convert`. name: the source's file name, for the provenance."""
    face_s = len(track.weights) / track.fps
    notes = list(track.notes)
    if audio is None:
        # Rounding down, so that the frames that cover it are no more than there are.
        samples = max(1, math.floor(face_s * SILENCE_RATE_HZ))
        sound = Audio(np.zeros(samples, np.float32), SILENCE_RATE_HZ)
    else:
        sound = read_audio(audio, max_duration_s=MAX_DURATION_S)
        notes += sound.notes
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
            "source": shown_name(name),
            "sound": "silence" if audio is None else shown_name(audio.name),
            "clipped_values": outside,
            "frames_added": max(0, frames - len(track.weights)),
            "frames_cut": max(0, len(track.weights) - frames),
            "missing_channels": list(track.missing),
            "ignored_columns": list(track.ignored),
            **({"notes": notes} if notes else {}),
        },
    )


def shown_name(name: str) -> str:
    """A file's name as text that any file can hold; letters that are not UTF-8 become marks."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _check_lengths(face_s: float, sound_s: float, few_frames_s: float) -> None:
    difference = abs(face_s - sound_s)
    if difference > 0.5 or difference > max(few_frames_s, 0.1 * face_s):
        raise InputError(
            f"the face lasts {face_s:.2f} s but the sound {sound_s:.2f} s; they don't belong "
            "together",
            field="audio",
        )
