# SPDX-License-Identifier: GPL-3.0-or-later
"""A head's shapes in, which way it looks and how large its unit is out, never silently.

What a shape moves tells where brows and lips are, whatever axes and unit the file has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from templates.mesh import TemplateMesh, axes_matrix

UNITS: Final = {"m": 1.0, "cm": 0.01, "mm": 0.001}
# How far apart eyes are, in metres: people 0.055 to 0.072, drawn heads up to twice that.
EYES_APART_M: Final = (0.045, 0.16)
_EYES_APART_M: Final = 0.063  # of most people
# Without eyes the height decides.
HEAD_HEIGHT_M: Final = (0.15, 0.45)
_BROW: Final = tuple(n for n in ARKIT_52 if n.startswith(("brow", "eyeBlink", "eyeWide")))
_MOUTH: Final = tuple(n for n in ARKIT_52 if n.startswith("mouth"))
_FORWARD: Final = ("mouthPucker", "mouthFunnel", "jawForward", "tongueOut")
_SKIN: Final = tuple(n for n in ARKIT_52 if n.startswith(("brow", "noseSneer", "cheekSquint")))
_AXES: Final = ("+X", "-X", "+Y", "-Y", "+Z", "-Z")


@dataclass(frozen=True)
class Unit:
    """metres: per mesh unit. how: a sentence that says who said so."""

    metres: float
    how: str


def centre_of(mesh: TemplateMesh, channels: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """(3,) where the shapes of `channels` move most, or None if none of them moves anything."""
    centres = []
    for channel in channels:
        travel = np.linalg.norm(mesh.shapes[CHANNEL_INDEX[channel]], axis=1).astype(np.float64)
        if travel.any():
            centres.append((travel**2) @ mesh.vertices / (travel**2).sum())
    return np.mean(centres, axis=0) if centres else None


def axes_of(mesh: TemplateMesh, stand_ins: Sequence[str] = ()) -> tuple[str, str] | None:
    """(up, forward) of a head, such as ("+Z", "-Y"), by what its shapes do; None if unsure.

    stand_ins: channels that other shapes stand in for; a vowel need not push the lips forward.
    """
    brows, mouth = centre_of(mesh, _BROW), centre_of(mesh, _MOUTH)
    if brows is None or mouth is None or not np.isfinite(brows - mouth).all():
        return None
    # Brows lie above the mouth and behind it at most a little.
    up = _nearest(brows - mouth, _AXES)
    others = [label for label in _AXES if label[1] != up[1]]
    pushing = [name for name in _FORWARD if name not in stand_ins]
    votes = [_direction(mesh.shapes[CHANNEL_INDEX[name]]) for name in pushing]
    push = np.sum(votes, axis=0) if votes else np.zeros(3)
    votes = [push, _skin_normal(mesh), _unit_vector(np.asarray(brows - _middle(mesh)))]
    total = np.sum([_unit_vector(vote) for vote in votes], axis=0)
    if not total.any():
        return None
    return up, _nearest(total, others)


def turn(mesh: TemplateMesh, up: str, forward: str) -> TemplateMesh:
    """The head with `up` along +y and `forward` along +z, then x to the subject's left."""
    matrix = axes_matrix(up, forward)
    return replace(
        mesh,
        vertices=np.ascontiguousarray(mesh.vertices @ matrix.T, np.float32),
        shapes=np.ascontiguousarray(mesh.shapes @ matrix.T, np.float32),
    )


def sideways(mesh: TemplateMesh) -> float:
    """How far the face's middle is from x = 0, in mesh units, by shapes of both sides."""
    middles = []
    for left in (n for n in ARKIT_52 if n.endswith("Left") and mirror_of(n) != n):
        spots = [centre_of(mesh, [name]) for name in (left, mirror_of(left))]
        if left not in ("jawLeft", "mouthLeft") and spots[0] is not None and spots[1] is not None:
            middles.append(float(spots[0][0] + spots[1][0]) / 2)
    return float(np.median(middles)) if middles else 0.0


def scale(mesh: TemplateMesh, factor: float) -> TemplateMesh:
    """The head with all lengths times `factor`."""
    return replace(
        mesh,
        vertices=(mesh.vertices * np.float64(factor)).astype(np.float32),
        shapes=(mesh.shapes * np.float64(factor)).astype(np.float32),
    )


def eye_distance(mesh: TemplateMesh) -> float | None:
    """How far the eyes are apart, in mesh units, by the middles of both blinks."""
    left, right = (centre_of(mesh, [f"eyeBlink{side}"]) for side in ("Left", "Right"))
    if left is None or right is None:
        return None
    apart = float(np.linalg.norm(left - right))
    return apart if apart > 0.01 * float(np.ptp(mesh.vertices[:, 1])) else None


def find_unit(
    mesh: TemplateMesh, stated: float | None, hint: float | None, where: str, *, force: bool = False
) -> Unit:
    """The unit: as the user stated, else as the file says if that fits, else what fits a head.

    Raises InputError if the stated unit makes no head (unless forced), or if none does.
    """
    sized = _sized(mesh)
    if stated is not None:
        if not force and not _fits(mesh, stated):
            raise InputError(
                f"{where}: with a unit of {stated:g} m, {sized(stated)}; that is not a head; "
                "choose another --unit, or add --force",
                field="unit",
            )
        return Unit(stated, f"{_called(stated)}, as you said: {sized(stated)}")
    fitting = [metres for metres in UNITS.values() if _fits(mesh, metres)]
    if hint is not None and _fits(mesh, hint):
        return Unit(hint, f"{_called(hint)}, as the file says: {sized(hint)}")
    if not fitting:
        apart = eye_distance(mesh)
        about = f", here about {_EYES_APART_M / apart:.2g}" if apart else ""
        raise InputError(
            f"{where}: in metres {sized(1.0)}, which is not a head in metres, centimetres or "
            f"millimetres; pass --unit m, cm, mm or the length of one unit in metres{about}",
            field="unit",
        )
    against = f", though the file says {_called(hint)}" if hint is not None else ""
    return Unit(fitting[0], f"{_called(fitting[0])}, guessed{against}: {sized(fitting[0])}")


def _sized(mesh: TemplateMesh) -> Callable[[float], str]:
    """A function that says how large the head would be with a unit of so many metres."""
    height, eyes = float(np.ptp(mesh.vertices[:, 1])), eye_distance(mesh)

    def said(metres: float) -> str:
        apart = f" and its eyes are {_length(eyes * metres)} apart" if eyes else ""
        return f"it is {_length(height * metres)} tall{apart}"

    return said


def _length(metres: float) -> str:
    return f"{metres * 1000:.3g} mm" if metres < 0.1 else f"{metres:.3g} m"


def _called(metres: float) -> str:
    return next((name for name, value in UNITS.items() if value == metres), f"{metres:g} m")


def _fits(mesh: TemplateMesh, metres: float) -> bool:
    apart = eye_distance(mesh)
    if apart is not None:  # sure even where a body hangs on the head
        return EYES_APART_M[0] <= apart * metres <= EYES_APART_M[1]
    return HEAD_HEIGHT_M[0] <= float(np.ptp(mesh.vertices[:, 1])) * metres <= HEAD_HEIGHT_M[1]


def _nearest(vector: npt.NDArray[np.float64], labels: Sequence[str]) -> str:
    signed = {
        f"{'+' if s > 0 else '-'}{'XYZ'[a]}": s * vector[a] for a in range(3) for s in (1, -1)
    }
    return max(labels, key=lambda label: signed[label])


def _unit_vector(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else np.zeros(3)


def _direction(shape: FloatArray) -> npt.NDArray[np.float64]:
    """(3,) which way a shape pushes, its strongest vertices counting most."""
    travel = np.linalg.norm(shape, axis=1).astype(np.float64)
    return _unit_vector(travel @ shape.astype(np.float64))


def _skin_normal(mesh: TemplateMesh) -> npt.NDArray[np.float64]:
    """(3,) which way the skin around brows and nose looks, by the faces' winding."""
    rows = [CHANNEL_INDEX[name] for name in _SKIN]
    travel = np.linalg.norm(mesh.shapes[rows], axis=2).sum(axis=0).astype(np.float64)
    a, b, c = (mesh.vertices[mesh.polygons[:, i]].astype(np.float64) for i in range(3))
    normals = np.cross(b - a, c - a)  # their lengths are areas, as they should count
    return _unit_vector(travel[mesh.polygons[:, 0]] @ normals)


def _middle(mesh: TemplateMesh) -> npt.NDArray[np.float64]:
    """(3,) the middle of what is near the face: a body below must not count."""
    moving = np.linalg.norm(mesh.shapes, axis=2).max(axis=0) > 0
    face = mesh.vertices[moving]
    low, high = face.min(axis=0), face.max(axis=0)
    margin = (high - low).max() * 0.5
    near = ((mesh.vertices > low - margin) & (mesh.vertices < high + margin)).all(axis=1)
    spot: npt.NDArray[np.float64] = mesh.vertices[near].astype(np.float64).mean(axis=0)
    return spot
