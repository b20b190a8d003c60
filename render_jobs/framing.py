# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be seen and how wide the picture is in, a placed camera out."""

from __future__ import annotations

from typing import Any, Final

import mathutils
import numpy as np
import numpy.typing as npt

from templates.descriptor import Camera
from templates.looks import Look

FloatArray = npt.NDArray[np.float32]

PICTURE_MM: Final = 36.0  # height of the picture plane that a camera's lens_mm refers to
_CENTRED: Final = 0.2  # how far from the origin, in mesh sizes, a mesh still counts as centred


def place_camera(camera: Any, points: FloatArray, wish: Camera, look: Look, aspect: float) -> None:
    """Place Blender's `camera` where `wish` says, or so that all `points` fill the picture.

    points: (N, 3) in Blender's world. aspect: width over height of the picture.
    """
    target = _middle(points) if wish.target is None else np.array(wish.target)
    if look.camera == "ORTHO":
        target = _flat_camera(camera, points, target, wish, look, aspect)
    if wish.location is not None:
        location = np.array(wish.location)
    elif look.camera == "ORTHO":
        size = float(np.ptp(points, axis=0).max())
        location = target - np.array([0.0, float(target[1] - points[:, 1].min()) + size, 0.0])
    else:
        lens = wish.lens_mm / PICTURE_MM / (1.0 - 2.0 * wish.margin)
        distance = camera_distance(points, target.astype(np.float32), lens, aspect)
        location = target - np.array([0.0, distance, 0.0])
    camera.location = location.tolist()
    looking = mathutils.Vector((target - location).tolist())
    camera.rotation_euler = looking.to_track_quat("-Z", "Y").to_euler()


def camera_distance(points: FloatArray, target: FloatArray, lens: float, aspect: float) -> float:
    """How far in front of `target` (towards -y) a camera must stand so that all `points` show.

    lens: focal length over picture height. aspect: width over height. Exact for each point.
    """
    away = np.abs(points - target)
    across = np.maximum(away[:, 0] / (0.5 * aspect), away[:, 2] / 0.5)
    # A point nearer to the camera than the target needs as much more distance.
    return float((across * lens - (points[:, 1] - target[1])).max())


def _flat_camera(
    camera: Any,
    points: FloatArray,
    target: npt.NDArray[Any],
    wish: Camera,
    look: Look,
    aspect: float,
) -> npt.NDArray[Any]:
    """Set an orthographic camera's width; returns the point that it looks at."""
    camera.data.type = "ORTHO"
    camera.data.sensor_fit = "VERTICAL"  # so that the scale is the picture's height
    if look.framing == "bounds":
        # The published demo looks at the origin; a mesh that stands elsewhere is brought there.
        size = float(np.ptp(points, axis=0).max())
        centred = np.abs(_middle(points)[[0, 2]]).max() <= _CENTRED * size
        target = np.array([0.0, _middle(points)[1], 0.0]) if centred else _middle(points)
        half = look.bounds_factor * float(np.abs((points - target)[:, [0, 2]]).max())
        camera.data.ortho_scale = 2.0 * half / min(aspect, 1.0)
        return target
    away = np.abs(points - target)
    half = max(float(away[:, 2].max()), float(away[:, 0].max()) / aspect)
    camera.data.ortho_scale = 2.0 * half / (1.0 - 2.0 * wish.margin)
    return target


def _middle(points: FloatArray) -> npt.NDArray[Any]:
    middle: npt.NDArray[Any] = (points.min(axis=0) + points.max(axis=0)) / 2
    return middle
