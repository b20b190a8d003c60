# SPDX-License-Identifier: GPL-3.0-or-later
"""One of our clips in, its face out; and a clip out with all that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from exomni_core.clip import Clip, load_face, save_clip
from exomni_core.formats.face_track import FaceTrack
from exomni_core.formats.format import Format, Wishes


def read_clip_face(path: Path, wishes: Wishes) -> FaceTrack:
    """The face of a clip; ClipError if the file is none."""
    face = load_face(path)
    return FaceTrack(face.weights, face.fps if wishes.fps is None else wishes.fps)


def write_clip(path: Path, clip: Clip) -> dict[str, Any]:
    """Write the clip; there is nothing to tell of it."""
    save_clip(clip, path)
    return {}


FORMAT: Final = Format(
    "clip", "clip", ".clip", "everything: face, sound, words, sounds and how they were made",
    read_clip_face, write_clip=write_clip,
)  # fmt: skip
