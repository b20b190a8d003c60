# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in -> the built-in talking head as a TemplateMesh in metres, made by code alone.

Half a head is laid out, formed, mirrored, and given its 52 shapes; the result is the same on
every run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from templates.head import features, parts, rig, shapes, topology
from templates.head.layout import texture_coordinates, vertex_groups
from templates.head.tint import face_tint
from templates.mesh import TemplateMesh

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

METRES = 0.01  # everything before this point is in centimetres


@dataclass
class _Assembly:
    """Face and parts of half a head together."""

    points: Array
    polygons: Ints
    names: list[str]  # of each polygon's part
    seam: npt.NDArray[np.bool_]
    movers: npt.NDArray[np.str_]
    tint: Array


def _assemble(half: topology.Half) -> _Assembly:
    face = features.form(half)
    points, polygons, names = [face], [half.polygons], list(half.region)
    tints = [face_tint(half, face)]
    seam, movers = [half.seam], [np.full(len(face), "skin", "<U8")]
    count = len(face)
    for part in parts.all_parts(half, face):
        polygons.append(np.where(part.polygons >= 0, part.polygons + count, -1))
        points.append(part.points)
        tints.append(np.ones_like(part.points) if part.tint is None else part.tint)
        seam.append((np.abs(part.points[:, 0]) < 1e-9) & part.central)
        mover = "follow" if part.rig == "skin" else part.rig
        movers.append(np.full(len(part.points), mover, "<U8"))
        names += [part.name if part.central else f"{part.name}_L"] * len(part.polygons)
        count += len(part.points)
    return _Assembly(
        np.concatenate(points),
        np.concatenate(polygons),
        names,
        np.concatenate(seam),
        np.concatenate(movers),
        np.concatenate(tints),
    )


def _landmarks(half: topology.Half, points: Array, twin: Ints, skin: npt.NDArray[np.bool_]) -> Ints:
    """The 68 landmarks in the usual order: right to left of the subject, then nose, eyes, mouth."""
    cloud = np.flatnonzero(skin)

    def at(x: float, y: float, z: float) -> int:
        return int(cloud[np.argmin(((points[cloud] - [x, y, z]) ** 2).sum(1))])

    jaw = [
        at(0, -10.6, 9.6), at(1.5, -10.4, 9.3), at(2.8, -9.9, 8.4), at(4.0, -9.1, 7.0),
        at(4.9, -8.2, 5.2), at(5.5, -6.8, 3.6), at(6.1, -4.8, 2.6), at(6.5, -2.4, 1.8),
        at(6.8, 0.2, 1.2),
    ]  # fmt: skip
    brow = [at(1.45, 1.85, 10.2), at(2.4, 2.3, 9.9), at(3.3, 2.5, 9.5), at(4.3, 2.3, 8.8),
            at(5.2, 1.8, 7.9)]  # fmt: skip
    nose = [at(0, 0.2, 10), at(0, -1.1, 10.7), at(0, -2.3, 11.3), at(0, -3.4, 12.2)]
    base = [at(0, -4.6, 10.6), at(0.7, -4.5, 10.6), at(1.45, -4.2, 10.2)]
    inner, outer = half.eye_corners
    count = half.eye.shape[1]
    edge = half.eye[topology.EYE_SKIN]
    run = (outer - inner) % count
    upper = [edge[(inner + round(run * s)) % count] for s in (0, 0.34, 0.66, 1)]
    lower = [edge[(outer + round((count - run) * s)) % count] for s in (0.34, 0.66)]
    out = half.mouth[topology.MOUTH_SKIN]
    line = half.mouth[topology.MOUTH_SKIN + topology.MOUTH_LIP - 1]
    m = half.mouth_corner
    q = [round(m * s) for s in (0, 0.19, 0.47)]
    lip_up, lip_low = [out[i] for i in q], [out[2 * m - i] for i in q]
    third = round(m * 0.27)
    r = twin
    left_eye = [*upper, *lower]
    order: list[int] = [
        *(r[i] for i in jaw[:0:-1]), *jaw,
        *(r[i] for i in brow[::-1]), *brow,
        *nose, r[base[2]], r[base[1]], *base,
        *(r[left_eye[i]] for i in (3, 2, 1, 0, 5, 4)), *left_eye,
        r[out[m]], r[lip_up[2]], r[lip_up[1]], *lip_up, out[m],
        lip_low[2], lip_low[1], lip_low[0], r[lip_low[1]], r[lip_low[2]],
        r[line[m]], r[line[third]], line[0], line[third], line[m],
        line[2 * m - third], line[2 * m], r[line[2 * m - third]],
    ]  # fmt: skip
    return np.array(order)


def _aperture_pairs(line: Ints, twin: Ints, corner: int) -> npt.NDArray[np.int32]:
    """Inner-lip vertices that face each other, from the right corner to the left one."""
    left = np.stack([line[:corner], line[:corner:-1]], -1)
    result: npt.NDArray[np.int32] = np.concatenate([twin[left[:0:-1]], left]).astype(np.int32)
    return result


def build_head() -> TemplateMesh:
    """The head: axes as TemplateMesh says, unit metre, origin between the eyes' height and ears."""
    half = topology.build_half()
    made = _assemble(half)
    names, seam = made.names, made.seam
    whole, quads, twin = topology.mirror_half(made.points, made.polygons, seam)
    other = [f"{n[:-2]}_R" if n.endswith("_L") else n for n in names]
    part_names = tuple(dict.fromkeys(names + other))
    part = np.array([part_names.index(n) for n in names + other], np.uint8)
    moved_by = np.concatenate([made.movers, made.movers[~seam]])
    # The pupil's mirror image must not count as another vertex's twin: twin comes from the seam.
    rigged = rig.make_rig(half, whole, twin, moved_by)
    offsets = shapes.all_shapes(rigged)
    corner = half.mouth_corner
    lip_loops = half.mouth[topology.MOUTH_SKIN : topology.MOUTH_SKIN + topology.MOUTH_LIP + 1]

    def both_sides(ids: Ints) -> npt.NDArray[np.int32]:
        result: npt.NDArray[np.int32] = np.unique(
            np.concatenate([ids.ravel(), twin[ids.ravel()]])
        ).astype(np.int32)
        return result

    line = half.mouth[topology.MOUTH_SKIN + topology.MOUTH_LIP - 1]
    return TemplateMesh(
        vertices=(whole * METRES).astype(np.float32),
        polygons=quads.astype(np.int32),
        polygon_part=part,
        part_names=part_names,
        shapes=(offsets * METRES).astype(np.float32),
        lips=both_sides(lip_loops),
        upper_lip=both_sides(lip_loops[:, : corner + 1]),
        lower_lip=both_sides(lip_loops[:, corner + 1 :]),
        landmarks68=_landmarks(half, whole, twin, rigged.skin).astype(np.int32),
        lip_aperture_pair=np.array([line[0], line[-1]], np.int32),
        uv=texture_coordinates(whole, quads, part, part_names),
        tint=np.concatenate([made.tint, made.tint[~seam]]).astype(np.float32),
        vertex_groups=vertex_groups(half, whole, quads, part, part_names, twin),
        aperture_pairs=_aperture_pairs(line, twin, corner),
    )
