# SPDX-License-Identifier: GPL-3.0-or-later
"""An Omniverse Audio2Face export (JSON) in, a face track out; and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from exomni_core.formats.face_track import FaceTrack, read_json, stated, track_of
from exomni_core.formats.format import Format, Wishes
from exomni_core.storage.files import write_text


def read_a2f(path: Path, wishes: Wishes) -> FaceTrack:
    """Read an export; InputError if fields are missing or don't fit each other."""
    data = read_json(path)
    names, matrix = data.get("facsNames"), data.get("weightMat")
    if not isinstance(names, list) or not isinstance(matrix, list):
        raise InputError(f"{path} is no Audio2Face file: facsNames or weightMat is missing")
    for field, there in (("numPoses", len(names)), ("numFrames", len(matrix))):
        if stated(data.get(field, there)) != there:
            raise InputError(f"{path} says {field} {data[field]!r:.20} but holds {there}")
    if not matrix:
        raise InputError(f"{path} holds no frames; export it again")
    for number, row in enumerate(matrix):
        if not isinstance(row, list) or len(row) != len(names):
            raise InputError(f"{path} is ragged: frame {number} has not {len(names)} weights")
        for value in row:
            if type(value) not in (int, float):  # float() would also take "0.5" and true
                raise InputError(f"{path} holds a weight in frame {number} that is no number")
    fps = stated(data.get("exportFps")) if wishes.fps is None else wishes.fps
    return track_of(names, matrix, fps, path)


def write_a2f(path: Path, weights: FloatArray, fps: float) -> None:
    """Write (T, 52) weights at `fps`; values are kept exactly."""
    data = {
        "exportFps": int(fps) if fps == int(fps) else fps,
        "trackPath": path.stem,
        "numPoses": len(ARKIT_52),
        "numFrames": len(weights),
        "facsNames": list(ARKIT_52),
        # Nine digits tell every float32 apart.
        "weightMat": [[float(f"{v:.9g}") for v in row] for row in weights.tolist()],
    }
    write_text(path, json.dumps(data, allow_nan=False) + "\n")


FORMAT: Final = Format(
    "a2f", "Omniverse Audio2Face JSON", ".json", "the face and its rate, exactly",
    read_a2f, write_a2f,
)  # fmt: skip
