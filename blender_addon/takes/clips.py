# SPDX-License-Identifier: GPL-3.0-or-later
"""A take's stored clip in, its face and facts out; packed into the .blend or a file beside it.

Needs numpy alone: the sound stays FLAC, which Blender's sequencer reads itself.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from exomni_core.clip import ClipFace, face_from_bytes
from exomni_core.errors import ClipError, InputError
from exomni_core.keyframes import PACKED
from exomni_core.storage.codecs import members_from_zip
from exomni_core.storage.files import write_bytes

from .. import stored

_CACHE_SIZE: Final = 8
_faces: OrderedDict[str, ClipFace] = OrderedDict()  # take id -> its face, for instant adjusting


@dataclass(frozen=True, eq=False)
class StoredClip:
    """A clip as it arrived: its file's bytes, what the face needs, and its facts.

    face: weights (T, 52) float32 at fps, the sound as FLAC. facts: clip.json (text, engine ...).
    """

    data: bytes
    face: ClipFace
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """(T, 52) float32 at face.fps."""
        return self.face.weights


def open_clip(data: bytes) -> StoredClip:
    """Read the bytes of a .clip file; ClipError if they are damaged."""
    face = face_from_bytes(data)
    try:
        header = json.loads(members_from_zip(data, {"clip.json": 64 << 20})["clip.json"])
    except ValueError as error:
        raise ClipError(f"the clip can't be read: {error}") from error
    return StoredClip(data, face, header)


def read_clip_file(path: Path) -> StoredClip:
    """Read a .clip file that the user chose."""
    try:
        return open_clip(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error


def store_folder(storage: str) -> Path | None:
    """The folder for clips beside the .blend, or None if they are to be packed into it.

    A .blend that was never saved has no folder, so its takes are packed.
    """
    if storage != "beside" or not bpy.data.filepath:
        return None
    return stored.store_folder()


def keep(take: Any, clip: StoredClip, folder: Path | None) -> Path:
    """Store the clip for `take`, packed if `folder` is None; returns a FLAC file of its sound."""
    remember(take.id, clip.face)
    if folder is None:
        take.clip_file = ""
        take.actions[0].action[PACKED] = clip.data
        sound = Path(bpy.app.tempdir) / f"exomni-{take.id}.flac"
    else:
        write_bytes(folder / f"{take.id}.clip", clip.data)
        take.clip_file = stored.own_clip_name(take)
        sound = folder / f"{take.id}.flac"
    write_bytes(sound, clip.face.flac)
    return sound


def clip_bytes(take: Any) -> bytes:
    """The bytes of a take's .clip file; InputError if they are gone."""
    if stored.is_beside(take):
        return stored.own_clip_file(take)
    packed = _packed(take)
    if packed is not None:
        return packed
    if take.clip_file:
        raise InputError(f"{take.name} names a file that isn't its own clip; make the take again")
    raise InputError(f"the clip of {take.name} is gone from the .blend; make the take again")


def _packed(take: Any) -> bytes | None:
    found = (stored.packed_clip(e.action) for e in take.actions if e.action is not None)
    return next((data for data in found if data is not None), None)


def is_at_hand(take: Any) -> bool:
    """Whether the take's face can be had without opening a file."""
    return take.id in _faces or (not stored.is_beside(take) and _packed(take) is not None)


def face_of(take: Any) -> ClipFace:
    """The face of a take's clip; read once, then kept in memory."""
    if take.id in _faces:
        _faces.move_to_end(take.id)
        return _faces[take.id]
    face = open_clip(clip_bytes(take)).face
    remember(take.id, face)
    return face


def remember(take_id: str, face: ClipFace) -> None:
    """Keep a face in memory; the oldest goes when there are too many."""
    _faces[take_id] = face
    while len(_faces) > _CACHE_SIZE:
        _faces.popitem(last=False)


def forget_all() -> None:
    """Drop what is in memory, for example because another .blend was opened."""
    _faces.clear()
