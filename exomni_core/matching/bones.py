# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bones turn with the face, and face weights, in; curves of angles in radians out.

Signs are given for a head that looks along -Y with Z up, as Blender's do, and a bone whose axes
lie as the world's: turning about +X lowers what lies in front (the jaw opens, the eye looks
down), turning about +Z turns it to the character's left. `bone_frames` finds the axes and signs of
bones that lie in another way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError

Axis = Literal["X", "Y", "Z"]
Vector = tuple[float, float, float]

AXES: Final[tuple[Axis, Axis, Axis]] = ("X", "Y", "Z")
MAX_DEGREES: Final = 180.0
JAW_DEGREES: Final = 20.0  # at jawOpen 1; speech uses about half
EYE_YAW_DEGREES: Final = 35.0
EYE_PITCH_DEGREES: Final = 25.0


@dataclass(frozen=True)
class BoneTarget:
    """One axis of a bone that turns with the face.

    channels: channel -> share, signed; the angle is `degrees` times the sum of share * weight.
    degrees: angle at a sum of 1; a negative one turns the other way. limits: clamp of the sum.
    about: the direction to turn about, a unit vector in the bone's own axes, where none of them
        will do; `axis` is then the nearest.
    """

    bone: str
    axis: Axis
    degrees: float
    channels: Mapping[str, float]
    limits: tuple[float, float] = (-1.0, 1.0)
    about: Vector | None = None

    def __post_init__(self) -> None:
        """Check the promises above; raises InputError."""
        object.__setattr__(self, "channels", MappingProxyType(dict(self.channels)))
        if not self.bone or self.axis not in AXES:
            raise InputError(f"a bone needs a name and an axis X, Y or Z, not {self.axis!r}")
        numbers = (self.degrees, *self.channels.values(), *self.limits, *(self.about or ()))
        if not all(math.isfinite(number) for number in numbers):
            raise InputError(f"the angles of bone {self.bone!r} must be finite numbers")
        if abs(self.degrees) > MAX_DEGREES or self.limits[0] > self.limits[1]:
            raise InputError(f"bone {self.bone!r} turns at most {MAX_DEGREES:g} degrees")
        if self.about is not None and abs(math.hypot(*self.about) - 1.0) > 1e-3:
            raise InputError(f"bone {self.bone!r} must turn about a direction of length 1")

    @property
    def shares(self) -> Mapping[Axis, float]:
        """How much of the angle goes to each of the bone's axes; the parts of a rotation vector."""
        if self.about is None:
            return {self.axis: 1.0}
        return dict(zip(AXES, self.about, strict=True))


def jaw_target(
    bone: str, axis: Axis = "X", degrees: float = JAW_DEGREES, *, closes: bool = False
) -> BoneTarget:
    """A jaw that opens with jawOpen.

    closes: the head has no key for mouthClose, so closing lips must lift the jaw instead.
    """
    channels = {"jawOpen": 1.0, "mouthClose": -1.0} if closes else {"jawOpen": 1.0}
    return BoneTarget(bone, axis, degrees, channels, (0.0, 1.0))


def eye_targets(
    bone: str,
    side: Literal["Left", "Right"],
    *,
    yaw_axis: Axis = "Z",
    yaw_degrees: float = EYE_YAW_DEGREES,
    pitch_axis: Axis = "X",
    pitch_degrees: float = EYE_PITCH_DEGREES,
) -> tuple[BoneTarget, BoneTarget]:
    """An eye that follows its eyeLook pairs; positive is the character's left, and down."""
    if side not in ("Left", "Right"):
        raise InputError(f"an eye is Left or Right, not {side!r}")
    left, right = ("Out", "In") if side == "Left" else ("In", "Out")
    yaw = {f"eyeLook{left}{side}": 1.0, f"eyeLook{right}{side}": -1.0}
    pitch = {f"eyeLookDown{side}": 1.0, f"eyeLookUp{side}": -1.0}
    return (
        BoneTarget(bone, yaw_axis, yaw_degrees, yaw),
        BoneTarget(bone, pitch_axis, pitch_degrees, pitch),
    )


def bone_curves(
    targets: Sequence[BoneTarget], weights: npt.ArrayLike, channels: Sequence[str] = ARKIT_52
) -> dict[str, dict[Axis, FloatArray]]:
    """Weights (T, len(channels)) -> bone -> axis -> (T,) float32 radians, 0 at rest.

    The three axes of a bone are the parts of one rotation vector. Targets of one bone and axis add
    up. A channel that is absent counts as 0. Raises InputError.
    """
    table = np.asarray(weights, np.float32)
    if table.ndim != 2 or table.shape[1] != len(channels) or not np.isfinite(table).all():
        raise InputError(f"weights of shape {table.shape} do not fit {len(channels)} channels")
    column = {name: table[:, i] for i, name in enumerate(channels)}
    curves: dict[str, dict[Axis, FloatArray]] = {}
    for target in targets:
        if unknown := [name for name in target.channels if name not in CHANNEL_INDEX]:
            raise InputError(f"bone {target.bone!r} follows {unknown[0]!r}, which is no channel")
        total = np.zeros(len(table), np.float32)
        for name, share in target.channels.items():
            if name in column:
                total = total + np.float32(share) * column[name]
        angle = np.float32(math.radians(target.degrees)) * np.clip(total, *target.limits)
        axes = curves.setdefault(target.bone, {})
        for axis, share in target.shares.items():
            part = (np.float32(share) * angle).astype(np.float32)
            axes[axis] = axes[axis] + part if axis in axes else part
    return curves


# Jaw and eye bones of common rigs, squeezed to letters and digits; see docs/matching.md.
_JAWS: Final = ("jaw", "ccbasejawroot", "jawmaster", "lowerjaw", "facialcjaw", "mixamorigjaw",
                "jbipcjaw", "あご", "顎", "下顎")  # fmt: skip
_EYES: Final = {
    "Left": ("eyel", "lefteye", "ccbaseleye", "leye", "jadjlfaceeye", "faciallleye", "facialleye",
             "mixamoriglefteye", "左目", "目l"),
    "Right": ("eyer", "righteye", "ccbasereye", "reye", "jadjrfaceeye", "facialreye",
              "mixamorigrighteye", "右目", "目r"),
}  # fmt: skip


def guess_bones(bones: Sequence[str], missing: Sequence[str] = ARKIT_52) -> tuple[BoneTarget, ...]:
    """Targets for the jaw and the eyes of a rig with these bone names.

    missing: channels that no shape key shows (`Matching.missing`): only these need bones.
    """
    squeezed = {re.sub(r"[\W_]", "", name).casefold(): name for name in reversed(bones)}
    found: list[BoneTarget] = []
    jaw = next((squeezed[name] for name in _JAWS if name in squeezed), None)
    if jaw and "jawOpen" in missing:
        found.append(jaw_target(jaw, closes="mouthClose" in missing))
    for side, names in _EYES.items():
        eye = next((squeezed[name] for name in names if name in squeezed), None)
        if eye and f"eyeLookIn{side}" in missing:
            found += eye_targets(eye, cast(Literal["Left", "Right"], side))
    return tuple(found)


def bone_to_data(target: BoneTarget) -> dict[str, Any]:
    """A target as plain JSON data."""
    about = {} if target.about is None else {"about": list(target.about)}
    return about | {
        "bone": target.bone,
        "axis": target.axis,
        "degrees": target.degrees,
        "channels": dict(target.channels),
        "limits": list(target.limits),
    }


def bone_from_data(data: Mapping[str, Any]) -> BoneTarget:
    """Plain JSON data -> a target; InputError if it is none."""
    try:
        low, high = data.get("limits", (-1.0, 1.0))
        channels = {str(name): float(share) for name, share in data["channels"].items()}
        limits = (float(low), float(high))
        x, y, z = data.get("about") or (0.0, 0.0, 0.0)
        about = (float(x), float(y), float(z)) if "about" in data else None
        return BoneTarget(
            data["bone"], data["axis"], float(data["degrees"]), channels, limits, about
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"a bone's settings can't be read: {error}") from error
