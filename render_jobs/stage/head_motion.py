# SPDX-License-Identifier: GPL-3.0-or-later
"""Speech in, how the head nods, turns and tilts to it out; pure numpy.

People who speak move their heads: slowly all the time, and with a small nod on stressed syllables
(Munhall et al., "Visual prosody and speech intelligibility", Psychological Science 2004). Here both
are made up from the clip's seed and the speech's energy; nothing is learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import FloatArray

_DRIFT_DEG: Final = (2.0, 3.5, 1.5)  # nod, turn, tilt at full strength, one standard deviation
_SLOW_HZ: Final = (0.08, 0.45)
_NOD_DEG: Final = 3.0
_NOD_S: Final = 0.38
_NODS_APART_S: Final = 0.7
_STILL_S: Final = 0.5  # a clip begins and ends at rest
_QUIET_SHARE: Final = 0.4  # of the drift that stays while nobody speaks
_SALT: Final = 0x6E6F64  # keeps these draws apart from others of the same seed


def plan_head_motion(
    audio: npt.NDArray[Any],
    sample_rate_hz: float,
    seed: int,
    frames: int,
    fps: float,
    strength: float,
) -> FloatArray:
    """(frames, 3) radians: nod (chin down), turn (to the subject's left), tilt (to its left).

    strength: 0 (still) to 1 (lively). The same arguments give the same motion.
    """
    rng = np.random.default_rng([seed, _SALT])
    times = np.arange(frames) / fps
    loud = speech_energy(audio, sample_rate_hz, frames, fps)
    busy = _smooth(loud, 0.8 * fps)
    drift = np.stack([_wander(times, rng) * degrees for degrees in _DRIFT_DEG], axis=1)
    drift *= (_QUIET_SHARE + (1.0 - _QUIET_SHARE) * busy)[:, None]
    drift[:, 0] += _nods(loud, times, fps, rng)
    ends = np.minimum(times, times[-1] - times) / _STILL_S
    drift *= _ease(np.minimum(ends, 1.0))[:, None]
    return np.asarray(np.deg2rad(strength * drift), np.float32)


def speech_energy(
    audio: npt.NDArray[Any], sample_rate_hz: float, frames: int, fps: float
) -> npt.NDArray[np.float64]:
    """(frames,) loudness around each frame, 0 to 1; 1 is what only a twentieth of them exceeds."""
    power = np.concatenate([[0.0], np.cumsum(np.asarray(audio, np.float64) ** 2)])
    edges = (np.arange(frames + 1) * sample_rate_hz / fps).astype(np.int64)
    edges = np.minimum(edges, len(power) - 1)
    size = np.maximum(np.diff(edges), 1)
    level = np.sqrt(np.maximum(np.diff(power[edges]), 0.0) / size)
    level = _smooth(level, 0.08 * fps)
    top = float(np.quantile(level, 0.95)) if frames else 0.0
    return np.asarray(np.clip(level / top, 0.0, 1.0) if top > 1e-6 else np.zeros(frames))


@dataclass(frozen=True, eq=False)
class Neck:
    """What a head turns about. pivot: (3,) in Blender's world. share: (V,) 0 (still) to 1."""

    pivot: npt.NDArray[np.float64]
    share: FloatArray


def find_neck(points: FloatArray, offsets: FloatArray) -> Neck:
    """Where the head turns: below the chin, fading out towards what the mesh stands on.

    points: (V, 3) in Blender's world, z up, the face along -y. offsets: (52, V, 3).
    """
    height = points[:, 2]
    low, high = float(height.min()), float(height.max())
    travel = np.linalg.norm(offsets[CHANNEL_INDEX["jawOpen"]], axis=1)
    chin = low + 0.25 * (high - low)
    if travel.any():
        chin = float(height[travel > 0.8 * travel.max()].min())
    foot = max(low, chin - 0.45 * (high - chin))
    # A mesh that ends at the chin turns as a whole.
    share = _ease((height - foot) / (chin - foot)) if chin - foot > 1e-6 else np.ones(len(height))
    head = points[height >= chin]
    pivot = np.array([np.median(head[:, 0]), np.median(head[:, 1]), (foot + chin) / 2])
    pivot[1] += 0.1 * float(np.ptp(head[:, 1]))  # the spine is behind the middle
    return Neck(pivot, np.asarray(share, np.float32))


def rotations(motion: FloatArray) -> npt.NDArray[np.float64]:
    """(n, 3) nod, turn and tilt in radians -> (n, 3, 3) rotations in Blender's world."""
    nod, turn, tilt = np.asarray(motion, np.float64).T
    about_x, about_z, about_y = _about(0, nod), _about(2, turn), _about(1, tilt)
    return np.asarray(about_z @ about_x @ about_y)


def _about(axis: int, angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((len(angles), 3, 3))
    matrix[:, axis, axis] = 1.0
    matrix[:, one, one] = matrix[:, two, two] = np.cos(angles)
    matrix[:, two, one] = np.sin(angles)
    matrix[:, one, two] = -np.sin(angles)
    return matrix


def _wander(times: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A slow wave that doesn't repeat, of standard deviation 1."""
    speeds, phases = rng.uniform(*_SLOW_HZ, 4), rng.uniform(0, 2 * np.pi, 4)
    waves = np.sin(2 * np.pi * speeds * times[:, None] + phases)
    return np.asarray(waves.sum(axis=1) / np.sqrt(2.0))


def _nods(
    loud: npt.NDArray[np.float64],
    times: npt.NDArray[np.float64],
    fps: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Degrees of small nods where the speech is loudest, not too near to each other."""
    nods = np.zeros(len(loud))
    taken: list[float] = []
    for frame in np.argsort(-loud, kind="stable"):
        if loud[frame] < 0.5:
            break
        moment = frame / fps
        if all(abs(moment - other) >= _NODS_APART_S for other in taken):
            taken.append(moment)
            size = _NOD_DEG * loud[frame] * rng.uniform(0.3, 1.0)
            nods += size * np.exp(-0.5 * ((times - moment) / (_NOD_S / 2.355)) ** 2)
    return nods


def _smooth(values: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.float64]:
    """Gaussian smoothing; `width` is the deviation in samples."""
    reach = int(3 * width) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(width, 1e-6)) ** 2)
    padded = np.pad(values, reach, mode="edge")
    return np.asarray(np.convolve(padded, kernel / kernel.sum(), mode="valid"))


def _ease(share: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """From 0 to 1 with a soft start and end."""
    clipped = np.clip(np.asarray(share, np.float64), 0.0, 1.0)
    return np.asarray(clipped * clipped * (3.0 - 2.0 * clipped))
