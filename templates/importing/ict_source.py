# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of OBJ files in, one head for each shape (ICT-FaceKit's layout); a raw head out.

`generic_neutral_mesh.obj` is the face at rest; every other .obj with as many vertices is a whole
face with one shape at its full strength. Only `identity*` and the like are left alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray, IntArray
from exomni_core.errors import InputError
from exomni_core.storage.foreign import open_regular
from templates.importing.raw import (
    MAX_POLYGONS,
    MAX_VERTICES,
    Origin,
    RawHead,
    RawMesh,
    check_size,
    join,
)

_NEUTRAL: Final = ("generic_neutral_mesh", "neutral", "basis", "base", "rest")
_NO_SHAPES: Final = re.compile(r"identity\d*|.*vertices.*")
_MAX_OBJ_BYTES: Final = 200 << 20
_MAX_FILES: Final = 400
_LICENCE: Final = "MIT, Copyright (c) 2020 USC Institute for Creative Technologies"
_ICT: Final = "ICT-FaceKit (ICT-VGL)"
# ICT-FaceKit's own table of vertex ranges. What lies behind the eyeballs (tear fluid, lashes and
# shells that blend) is made for transparency, so it is left out.
_ICT_VERTICES: Final = 26_719
_ICT_PARTS: Final = (
    ("face", 9409), ("head_neck", 11248), ("mouth_socket", 13294), ("eye_socket_L", 13678),
    ("eye_socket_R", 14062), ("gums_tongue", 17039), ("teeth", 21451), ("sclera_L", 22221),
    ("eyeball_inner_L", 23021), ("sclera_R", 23791), ("eyeball_inner_R", 24591),
)  # fmt: skip
_IRIS_CM: Final = 0.58  # radii around the foremost point of an eye
_PUPIL_CM: Final = 0.2


def is_obj_folder(folder: Path) -> bool:
    """Whether the folder has a neutral face and at least one other .obj."""
    return _neutral_of(_objs(folder)) is not None


def read_folder(folder: Path) -> RawHead:
    """Read the head; InputError in one sentence for anything that makes it unusable."""
    files = _objs(folder)
    neutral = _neutral_of(files)
    if neutral is None:
        raise InputError(
            f"{folder} is not a head: it needs a {_NEUTRAL[0]}.obj and one .obj for each shape"
        )
    vertices, polygons, part, part_names = _read_obj(neutral)
    shapes = {p.stem: p for p in files if p != neutral and not _NO_SHAPES.fullmatch(p.stem.lower())}

    def offsets(name: str) -> FloatArray:
        points = _read_points(shapes[name])
        if points.shape != vertices.shape:
            raise InputError(
                f"{shapes[name]} has {len(points)} vertices, but {neutral.name} has "
                f"{len(vertices)}; the files don't belong together"
            )
        gap: FloatArray = points - vertices
        return gap

    is_ict = neutral.stem == _NEUTRAL[0]
    if is_ict and len(vertices) == _ICT_VERTICES:
        polygons, part, part_names = _ict_parts(vertices, polygons)
    raw = RawMesh("", vertices, polygons, part, part_names, tuple(shapes), offsets)
    joined, told = join([raw], str(folder))
    origin = Origin(
        "ict",
        unit_hint=0.01 if is_ict else None,
        licence=_LICENCE if is_ict else "",
        source=_ICT if is_ict else "",
        **told,
    )
    return RawHead(joined, origin)


def _ict_parts(
    vertices: FloatArray, polygons: IntArray
) -> tuple[IntArray, npt.NDArray[np.int32], tuple[str, ...]]:
    """The faces that can be shown, the part of each, and the names; irises are painted on."""
    ends = [end for _, end in _ICT_PARTS]
    names = [*(name for name, _ in _ICT_PARTS), "iris_L", "pupil_L", "iris_R", "pupil_R"]
    kept = polygons[polygons.max(axis=1) < ends[-1]]
    part = np.searchsorted(ends, kept.max(axis=1), side="right").astype(np.int32)
    middle = vertices[kept[:, :3]].mean(axis=1)
    for side in ("L", "R"):
        eye = part == names.index(f"sclera_{side}")
        front = middle[eye][middle[eye][:, 2].argmax(), :2]
        off = np.linalg.norm(middle[:, :2] - front, axis=1)
        seen = eye & (middle[:, 2] > middle[eye][:, 2].mean())
        part[seen & (off < _IRIS_CM)] = names.index(f"iris_{side}")
        part[seen & (off < _PUPIL_CM)] = names.index(f"pupil_{side}")
    return kept, part, tuple(names)


def _objs(folder: Path) -> list[Path]:
    """The .obj files of the folder, or of its one folder that has any (`FaceXModel`)."""
    for pattern in ("*.obj", "*/*.obj"):
        files = sorted(p for p in folder.glob(pattern) if p.is_file())
        if files:
            if len(files) > _MAX_FILES:
                raise InputError(f"{folder} holds {len(files)} .obj files, too many for a head")
            return files
    return []


def _neutral_of(files: list[Path]) -> Path | None:
    stems = {path.stem.lower(): path for path in reversed(files)}
    found = next((stems[name] for name in _NEUTRAL if name in stems), None)
    return found if found is not None and len(files) > 1 else None


def _read_points(path: Path) -> FloatArray:
    rows = [line[2:].split()[:3] for line in _lines(path) if line.startswith("v ")]
    if len(rows) > MAX_VERTICES:
        check_size(len(rows), 0, str(path))
    return _points(rows, path)


def _read_obj(
    path: Path,
) -> tuple[FloatArray, IntArray, npt.NDArray[np.int32], tuple[str, ...]]:
    """(vertices, polygons, part of each, names of the parts by `usemtl`, else by `g`)."""
    rows: list[list[str]] = []
    faces: list[list[int]] = []
    part: list[int] = []
    names: dict[str, int] = {}
    current, by_material = "face", False
    for line in _lines(path):
        kind, _, rest = line.partition(" ")
        if kind == "v":
            rows.append(rest.split()[:3])
        elif kind == "usemtl" or (kind == "g" and not by_material):
            by_material = by_material or kind == "usemtl"
            current = (rest.strip() or "face")[:60]
        elif kind == "f":
            corners = _corners(rest, len(rows), path)
            for ids in _fans(corners):
                faces.append(ids)
                part.append(names.setdefault(current, len(names)))
            if len(faces) > MAX_POLYGONS:
                check_size(0, len(faces), str(path))
    if not faces:
        raise InputError(f"{path} has no faces")
    check_size(len(rows), len(faces), str(path))
    return (
        _points(rows, path),
        np.array(faces, np.int32),
        np.array(part, np.int32),
        tuple(names),
    )


def _corners(text: str, count: int, path: Path) -> list[int]:
    try:
        ids = [int(corner.split("/")[0]) for corner in text.split()]
    except ValueError as error:
        raise InputError(f"{path}: a face reads {text[:60]!r}, which is not a face") from error
    ids = [i - 1 if i > 0 else count + i for i in ids]
    if len(ids) < 3 or min(ids) < 0 or max(ids) >= count:
        raise InputError(f"{path}: a face names a vertex that is not there ({text[:60]!r})")
    return ids


def _fans(ids: list[int]) -> Iterator[list[int]]:
    """A face as quads and at most one triangle, -1 in its last place."""
    for start in range(1, len(ids) - 1, 2):
        piece = [ids[0], *ids[start : start + 3]]
        yield [*piece, -1] if len(piece) == 3 else piece


def _lines(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > _MAX_OBJ_BYTES:
            raise InputError(f"{path} is larger than {_MAX_OBJ_BYTES >> 20} MB; a head is smaller")
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", errors="replace") as handle:
            yield from handle
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error


def _points(rows: list[list[str]], path: Path) -> FloatArray:
    try:
        points = np.array(rows, np.float64).reshape(-1, 3)
    except ValueError as error:
        raise InputError(f"{path}: a vertex is not three numbers") from error
    return points.astype(np.float32)
