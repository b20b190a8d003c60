# SPDX-License-Identifier: GPL-3.0-or-later
"""A head, a look and how wide the picture is in, what is seen and a placed camera out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import mathutils
import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import FloatArray
from templates.descriptor import Camera, Template
from templates.insides import WITH_JAW
from templates.looks import Look
from templates.mesh import TemplateMesh

PICTURE_MM: Final = 36.0  # height of the picture plane that a camera's lens_mm refers to
_NECK_SHOWN: Final = 0.2  # below the chin, as a share of the head from chin to top
_SHOULDERS: Final = 1.15  # wider than the head by this much; the published demo's heads have none
_CENTRED: Final = 0.2  # how far from the origin, in mesh sizes, a mesh still counts as centred


def look_camera(template: Template, look: Look) -> Camera:
    """The template's camera with what the look wants otherwise."""
    wishes = {key: getattr(look, key) for key in ("margin", "lens_mm", "crop_below")}
    given = {key: value for key, value in wishes.items() if value is not None}
    return replace(template.camera, **given)


def shown_points(mesh: TemplateMesh, points: FloatArray, wish: Camera, look: Look) -> FloatArray:
    """What the camera has to show: the head, some neck, but not the shoulders' full width.

    points: (V, 3) the mesh at rest in Blender's world; returns the ones that count, (N, 3).
    """
    low, high = float(points[:, 2].min()), float(points[:, 2].max())
    crop = wish.crop_below
    if crop is not None:
        return points[points[:, 2] >= low + crop * (high - low)]
    travel = np.linalg.norm(mesh.shapes[CHANNEL_INDEX["jawOpen"]], axis=1)
    if not travel.any():
        return points
    # The chin is the lowest that goes along with the jaw.
    chin = float(points[travel > WITH_JAW * travel.max(), 2].min())
    head = points[points[:, 2] >= chin]
    shoulders = np.abs(points[:, 0]).max() > _SHOULDERS * np.abs(head[:, 0]).max()
    if look.framing == "bounds" and not shoulders:
        return points
    foot = np.median(head, axis=0)
    foot[2] = max(low, chin - _NECK_SHOWN * (high - chin))
    return np.vstack([head, foot.astype(np.float32)])


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
