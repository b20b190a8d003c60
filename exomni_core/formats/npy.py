# SPDX-License-Identifier: GPL-3.0-or-later
"""A NumPy array (T, K) and the JSON file with its names and rate in, a face out; and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from exomni_core.formats.face_track import FaceTrack, read_bytes, read_json, stated, track_of
from exomni_core.formats.format import Format, Wishes
from exomni_core.storage.codecs import npy_bytes, read_npy
from exomni_core.storage.files import replacing


def read_npy_face(path: Path, wishes: Wishes) -> FaceTrack:
    """Read the array and the file of names; InputError if one is missing or unusable."""
    try:
        table = read_npy(read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path} can't be used: {error}") from error
    sidecar = path.with_suffix(".names.json")
    if not sidecar.exists():
        if wishes.names is not None:
            return track_of(wishes.names, table, wishes.fps, path)
        width = table.shape[1] if table.ndim == 2 else 0
        raise InputError(
            f"{path} holds {width} columns without names; put {sidecar.name} beside it with "
            '{"names": [...], "fps": 30}'
        )
    data = read_json(sidecar)
    listed = data.get("names")
    if not isinstance(listed, list):
        raise InputError(f'{sidecar} has no list "names"; add it')
    fps = stated(data.get("fps")) if wishes.fps is None else wishes.fps
    return track_of(listed, table, fps, path)


def write_npy_face(path: Path, weights: FloatArray, fps: float) -> None:
    """Write (T, 52) weights and, beside them, their names and rate."""
    with replacing(path.with_suffix(".names.json")) as sidecar, replacing(path) as array:
        text = json.dumps({"names": list(ARKIT_52), "fps": fps}, indent=1)
        sidecar.write_text(text + "\n", encoding="utf-8")
        array.write_bytes(npy_bytes(np.ascontiguousarray(weights)))


FORMAT: Final = Format(
    "npy", "NumPy array with .names.json beside it", ".npy", "the face and its rate, exactly",
    read_npy_face, write_npy_face,
)  # fmt: skip
