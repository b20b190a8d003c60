# SPDX-License-Identifier: GPL-3.0-or-later
"""A .blend file in, its character's shape keys frame by frame as an npz out; runs inside Blender.

Started as `python -m render_jobs.evaluation.take_sampler FILE OUT` (bpy as a module), or inside a
user's own Blender as `blender --background --factory-startup --python THIS_FILE -- FILE OUT`.
The npz: `coef` (T, 52), `names`, `fps`, `missing`, and for each clip that the take was made from,
if the file holds it, its bytes in `clip_0` ... and its start in seconds in `start_0` ...
A sentence that says why not stands in `error` instead.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":  # a user's Blender knows nothing of us
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.errors import ExOmniError, InputError
from exomni_core.keyframes import BESIDE, PACKED
from exomni_core.matching.match import Matching, match

MAX_FRAMES: Final = 200_000


def sample(blend: Path) -> dict[str, Any]:
    """Open `blend` and read its take; returns the arrays of the npz. Raises InputError."""
    import bpy

    try:
        bpy.ops.wm.open_mainfile(filepath=str(blend), load_ui=False, use_scripts=False)
    except RuntimeError as error:
        raise InputError(f"{blend} can't be opened: {str(error).strip()}") from error
    scene = bpy.context.scene
    meshes = {
        item.name: item
        for item in scene.objects
        if item.type == "MESH" and item.data.shape_keys and len(item.data.shape_keys.key_blocks) > 1
    }
    if not meshes:
        raise InputError(f"{blend} has no mesh with shape keys")
    names = {name: [b.name for b in m.data.shape_keys.key_blocks] for name, m in meshes.items()}
    try:
        matching = match(names, stand_ins=False)
    except InputError as error:
        raise InputError(f"{blend}: {error}") from error
    keys = [meshes[name].data.shape_keys for name in matching.keys]
    first, last = _range(keys, blend)
    weights = _read(scene, meshes, matching, range(first, last + 1))
    fps = scene.render.fps / scene.render.fps_base
    found: dict[str, Any] = {
        "coef": weights,
        "names": np.array(ARKIT_52),
        "fps": np.float64(fps),
        "missing": np.array(matching.missing, dtype=np.str_),
    }
    for number, (frame, data) in enumerate(_clips(keys, first, blend)):
        found[f"clip_{number}"] = np.frombuffer(data, np.uint8)
        found[f"start_{number}"] = np.float64((frame - first) / fps)
    return found


def _range(keys: list[Any], blend: Path) -> tuple[int, int]:
    """First and last frame of what is keyed on the shape keys; InputError where nothing is."""
    spans = [span for key in keys for span in _spans(key)]
    if not spans:
        raise InputError(f"{blend}: nothing is keyed on its shape keys, so there is no take")
    first, last = int(min(a for a, _ in spans)), int(np.ceil(max(b for _, b in spans)))
    if last - first >= MAX_FRAMES:
        raise InputError(f"{blend}: {last - first} frames are keyed; {MAX_FRAMES} can be read")
    return first, last


def _spans(shape_keys: Any) -> Iterator[tuple[float, float]]:
    animation = shape_keys.animation_data
    if animation is None:
        return
    if animation.action is not None:
        yield tuple(animation.action.frame_range)
    for strip in _strips(animation):
        yield strip.frame_start, strip.frame_end


def _strips(animation: Any) -> list[Any]:
    """The strips that play, of all tracks."""
    return [s for track in animation.nla_tracks if not track.mute for s in track.strips]


def _read(
    scene: Any, meshes: dict[str, Any], matching: Matching, frames: range
) -> npt.NDArray[np.float32]:
    """(T, 52) weights: each channel from the first key that stands for it, as Blender shows it."""
    sources = []
    for channel, targets in matching.targets.items():
        target = targets[0]
        block = meshes[target.mesh].data.shape_keys.key_blocks[target.key]
        sources.append((CHANNEL_INDEX[channel], block, 1.0 / target.weight))
    weights = np.zeros((len(frames), len(ARKIT_52)), np.float32)
    for row, frame in enumerate(frames):
        scene.frame_set(frame)
        for column, block, factor in sources:
            weights[row, column] = block.value * factor
    # One key may serve two channels, one for each sign.
    used = Counter((t[0].mesh, t[0].key) for t in matching.targets.values())
    for channel, targets in matching.targets.items():
        if used[targets[0].mesh, targets[0].key] > 1:
            column = CHANNEL_INDEX[channel]
            weights[:, column] = np.maximum(weights[:, column], np.float32(0.0))
    return weights


def _clips(keys: list[Any], first: int, blend: Path) -> list[tuple[float, bytes]]:
    """(first frame, bytes) of the clips that the take was made from, in time.

    Packed into the Action or into those of the strips, or one alone beside the file.
    """
    found: dict[float, bytes] = {}
    for animation in (key.animation_data for key in keys if key.animation_data):
        if animation.action is not None and PACKED in animation.action:
            found[animation.action.frame_range[0]] = bytes(animation.action[PACKED])
        for strip in _strips(animation):
            if strip.action is not None and PACKED in strip.action:
                found[strip.frame_start] = bytes(strip.action[PACKED])
    beside = sorted((blend.parent / BESIDE).glob("*.clip"))
    if not found and len(beside) == 1:
        found[first] = beside[0].read_bytes()
    return sorted(found.items())


def main() -> None:
    """Read what the command line names; whatever happens, the npz says it."""
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    blend, out = Path(arguments[0]), Path(arguments[1])
    try:
        found = sample(blend)
    except ExOmniError as error:
        found = {"error": np.array(str(error))}
    except (ImportError, OSError) as error:
        found = {"error": np.array(f"Blender can't be used: {error}"), "environment": np.array(1)}
    np.savez(out, **found)
    # Some Blenders hang when they end after having opened files; there is nothing left to put away.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
