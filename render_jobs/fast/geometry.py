# SPDX-License-Identifier: GPL-3.0-or-later
"""Face weights in, points, normals and lit colours of a frame out; pure numpy.

Everything is in the camera's own axes: x to the right, y up, the camera looks along -z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray, Pixels
from render_jobs.fast.mesh import FastMesh
from render_jobs.stage.head_motion import Neck, rotations

BLOCK: Final = 16  # frames whose points are worked out in one product
_STEPS: Final = 4096  # of the table from linear light to sRGB


@dataclass(frozen=True, eq=False)
class Light:
    """How a surface shines, by its normal: colour = diffuse[normal] * base + specular[normal].

    diffuse, specular: (R * R, 3) float32, scene-linear; row v * R + u belongs to the normal whose
    x and y are -1 + 2 * (u, v) / (R - 1). size: R.
    follows: "eye" if the whole table turns with the line of sight (matcaps); "sky" if its diffuse
    part stands still and its highlights turn half as far (lamps far away).
    """

    diffuse: FloatArray
    specular: FloatArray
    size: int
    follows: str = "eye"


class Poser:
    """Poses one head before one camera. `block` -> points of many frames, `light` -> one frame."""

    def __init__(
        self, mesh: FastMesh, light: Light, turn: npt.NDArray[np.float64], ortho: bool
    ) -> None:
        """`turn` (3, 4): from Blender's world to the camera's axes. ortho: no perspective."""
        self.mesh, self.ortho = mesh, ortho
        points = mesh.rest.shape[1]
        self._turn = turn = np.asarray(turn, np.float64)
        self._rest = (turn[:, :3] @ mesh.rest + turn[:, 3:]).astype(np.float32).reshape(1, -1)
        rows = mesh.offsets.reshape(-1, 3, points)
        self._offsets = np.ascontiguousarray(
            np.matmul(turn[:, :3].astype(np.float32), rows).reshape(len(rows), -1)
        )
        self._light = light
        self._points = points
        self._faces = np.empty((3, 3, mesh.quads.shape[1]), np.float32)
        self._corner = np.empty(mesh.quads.shape[1], np.float32)
        self._normals = np.empty((3, points), np.float32)
        self._gathered = np.empty(points, np.float32)
        self._curve = srgb_table()
        count = len(mesh.drawn)
        self._colour = np.empty((count, 3), np.float32)
        self._shine = np.empty((count, 3), np.float32)
        self._step = np.empty((count, 3), np.uint16)

    @property
    def has_backs(self) -> bool:
        """Whether back faces have colours of their own.

        Workbench turns a back face's normal round for lamps, but not for a matcap.
        """
        return self._light.follows == "sky" and len(self.mesh.two_sided) > 0

    def set_neck(self, neck: Neck) -> None:
        """Say what the head turns about, for `turned`."""
        self._share = neck.share[self.mesh.source]
        self._pivot = (self._turn[:, :3] @ neck.pivot + self._turn[:, 3])[:, None]

    def turned(self, points: FloatArray, motion: FloatArray) -> FloatArray:
        """(n, 3, P) points with the head turned by (n, 3) nod, turn and tilt in radians."""
        axes = self._turn[:, :3]
        change = axes @ rotations(motion) @ axes.T - np.eye(3)
        moved = change.astype(np.float32) @ (points - self._pivot.astype(np.float32))
        moved *= self._share
        moved += points
        return np.asarray(moved, np.float32)

    def block(self, weights: FloatArray) -> FloatArray:
        """(n, 52) weights, n up to BLOCK -> (n, 3, P) points in the camera's axes."""
        # Always the same shape, so that a frame's sums don't depend on how many come along.
        rows = np.zeros((BLOCK, len(self._offsets)), np.float32)
        rows[: len(weights)] = weights
        moved: FloatArray = rows @ self._offsets
        moved += self._rest
        return moved.reshape(BLOCK, 3, -1)[: len(weights)]

    def normals(self, points: FloatArray) -> FloatArray:
        """(3, P) points -> (3, P) unit normals, valid until the next call."""
        q0, q1, q2, q3 = self.mesh.quads
        across, beyond, face = self._faces
        for axis in range(3):
            row = points[axis]
            np.take(row, q2, out=across[axis], mode="clip")
            across[axis] -= np.take(row, q0, out=self._corner, mode="clip")
            np.take(row, q3, out=beyond[axis], mode="clip")
            beyond[axis] -= np.take(row, q1, out=self._corner, mode="clip")
        for axis in range(3):
            one, two = (axis + 1) % 3, (axis + 2) % 3
            np.multiply(across[one], beyond[two], out=face[axis])
            face[axis] -= np.multiply(across[two], beyond[one], out=self._corner)
        _normalize(face, self._corner)
        normals = self._normals
        for number, (faces, weights) in enumerate(self.mesh.slots):
            count = len(faces)
            gathered = self._gathered[:count]
            for axis in range(3):
                np.take(face[axis], faces, out=gathered, mode="clip")
                if number == 0:
                    normals[axis, count:] = 0.0
                    np.multiply(gathered, weights, out=normals[axis, :count])
                else:
                    gathered *= weights
                    normals[axis, :count] += gathered
        faces, weights, starts = self.mesh.rest_of_slots
        if len(starts):
            normals[:, : len(starts)] += np.add.reduceat(face[:, faces] * weights, starts, axis=1)
        _normalize(normals, self._gathered)
        return normals

    def colours(
        self, points: FloatArray, normals: FloatArray, front: Pixels, back: Pixels | None
    ) -> None:
        """Fill `front` and `back` (G, 4) with sRGB colours of both sides, alpha left as it is."""
        light, drawn = self._light, self.mesh.drawn
        diffuse, specular = self._looked_up(points, normals)
        diffuse, specular = diffuse[drawn], specular[drawn]
        self._shade(diffuse, specular, front)
        if back is not None:  # the other side's normal is the opposite point of the table
            last = light.size * light.size - 1
            self._shade(last - diffuse, last - specular, back)

    def coarseness(self) -> float:
        """How wrong it is, at rest, to light corners only: mean sRGB levels over the picture.

        The middle of each triangle that faces the camera, lit by its own normal, is compared with
        the mean of its corners' colours.
        """
        points = self.block(np.zeros((1, len(self._offsets)), np.float32))[0]
        normals = self.normals(points)
        corners = np.concatenate([self.mesh.one_sided, self.mesh.two_sided])
        front = np.zeros((len(self.mesh.drawn), 4), np.uint8)
        self.colours(points, normals, front, None)
        at = self.mesh.drawn[corners]
        middle, normal = points[:, at].mean(axis=2), normals[:, at].mean(axis=2)
        _normalize(normal, np.empty(normal.shape[1], np.float32))
        diffuse, specular = self._looked_up(middle, normal)
        colour = self._light.diffuse[diffuse] * self.mesh.base[corners].mean(axis=1)
        own = 255.0 * srgb(colour + self._light.specular[specular])
        error = np.abs(own - front[corners, :3].mean(axis=1)).mean(axis=1)
        flat = points[:2] if self.ortho else points[:2] / -points[2]
        one, two = flat[:, at[:, 1]] - flat[:, at[:, 0]], flat[:, at[:, 2]] - flat[:, at[:, 0]]
        area = np.maximum(one[0] * two[1] - one[1] * two[0], 0.0)
        return float((error * area).sum() / max(float(area.sum()), 1e-12))

    def _looked_up(
        self, points: FloatArray, normals: FloatArray
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Where in the light's tables points with such normals are: (diffuse, specular)."""
        if self._light.follows == "eye":
            place = self._place(*self._seen(points, normals, 1.0))
            return place, place
        return (
            self._place(normals[0], normals[1]),
            self._place(*self._seen(points, normals, 0.5)),
        )

    def _seen(
        self, points: FloatArray, normals: FloatArray, share: float
    ) -> tuple[FloatArray, FloatArray]:
        """The normals' x and y as seen along the line of sight (Workbench's `matcap_uv_compute`).

        share: how far the axes turn with the line of sight; 0.5 is where highlights move.
        """
        if self.ortho:
            return normals[0], normals[1]
        x, y, z = -points
        if share != 1.0:
            far = np.sqrt(x * x + y * y + z * z)
            x, y, z = x / far, y / far, z / far + 1.0
        nx, ny, nz = normals
        flat = x * x + z * z
        along = 1.0 / np.sqrt(flat)
        length = 1.0 / np.sqrt(flat + y * y)
        across = (z * nx - x * nz) * along
        up = (ny * flat - y * (x * nx + z * nz)) * (along * length)
        return across, up

    def _place(self, across: FloatArray, up: FloatArray) -> npt.NDArray[np.int32]:
        """Rows of the light's table for normals with these x and y."""
        size = self._light.size
        half = (size - 1) / 2.0
        column: npt.NDArray[np.int32] = np.rint(across * half + half).astype(np.int32)
        row: npt.NDArray[np.int32] = np.rint(up * half + half).astype(np.int32)
        np.clip(column, 0, size - 1, out=column)
        np.clip(row, 0, size - 1, out=row)
        row *= size
        row += column
        return row

    def _shade(
        self, diffuse: npt.NDArray[np.int32], specular: npt.NDArray[np.int32], out: Pixels
    ) -> None:
        colour, shine, light = self._colour, self._shine, self._light
        np.take(light.diffuse, diffuse, axis=0, out=colour, mode="clip")
        colour *= self.mesh.base
        colour += np.take(light.specular, specular, axis=0, out=shine, mode="clip")
        np.clip(colour, 0.0, 1.0, out=colour)
        colour *= _STEPS - 1
        np.rint(colour, out=colour)
        self._step[...] = colour
        out[:, :3] = self._curve[self._step]


def srgb(linear: npt.NDArray[Any]) -> FloatArray:
    """Scene-linear light, 0 to 1 -> sRGB, 0 to 1 (IEC 61966-2-1): the view transform Standard."""
    linear = np.clip(linear, 0.0, 1.0)
    bright = 1.055 * np.power(np.maximum(linear, 1e-9), 1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, bright), np.float32)


def srgb_table() -> Pixels:
    """(4096,) the 8-bit sRGB values of evenly spaced linear ones."""
    return np.asarray(np.rint(srgb(np.linspace(0.0, 1.0, _STEPS)) * 255.0), np.uint8)


def _normalize(vectors: FloatArray, room: FloatArray) -> None:
    """Make the columns of (3, n) one long, in place; `room` (n,) is used up."""
    x, y, z = vectors
    np.multiply(x, x, out=room)
    square = y * y
    room += square
    np.multiply(z, z, out=square)
    room += square
    room += 1e-30
    np.sqrt(room, out=room)
    vectors /= room
