# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage and face weights in, a silent mp4 or a still out, drawn by one of Blender's engines.

The weights are keyed, the animation is rendered and the keys are taken away again, so that clip
after clip finds the same scene.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.arrays import FloatArray, Pixels
from exomni_core.errors import EnvironmentProblem, WorkerError
from exomni_core.keyframes import plan_keys, write_action
from render_jobs.settings import RenderSettings
from render_jobs.stage import compat as blender_compat
from render_jobs.stage.framing import look_camera, place_camera
from render_jobs.stage.stage import Stage

OnFrame = Callable[[int], None]

_WORKBENCH_SAMPLES: Final = ((1, "OFF"), (5, "5"), (8, "8"), (11, "11"), (16, "16"), (32, "32"))
_PATH_SIGNS: Final = frozenset("#{}")  # Blender reads these in an output path as its own


def render_animation(stage: Stage, weights: FloatArray, video: Path, on_frame: OnFrame) -> None:
    """Render `weights` (n, 52) to the silent mp4 `video`, as `apply_settings` left the scene.

    Raises WorkerError if Blender stops early, EnvironmentProblem if the disk fills up.
    """
    scene = stage.scene
    scene.frame_start, scene.frame_end = 1, len(weights)
    done = 0

    def written(*_: Any) -> None:
        nonlocal done
        done += 1
        on_frame(done)

    with _keyed(stage, weights), _output(scene, video), _told(written):
        try:
            bpy.ops.render.render(animation=True)
        except RuntimeError as error:
            raise WorkerError(
                f"Blender stopped after {done} frames: {_in_a_line(error)}"
            ) from error
    if done != len(weights) or not is_whole_mp4(video):
        raise EnvironmentProblem(
            f"only a part of {video} could be written; the disk may be full: free some space"
        )


def render_still(stage: Stage, weights: FloatArray) -> Pixels:
    """One still with `weights` (52,): (H, W, 3) uint8, as `apply_settings` left the scene."""
    render = stage.scene.render
    blender_compat.choose_still_output(render)
    with _posed(stage, weights), tempfile.TemporaryDirectory(prefix="exomni-") as folder:
        render.use_file_extension = False
        render.filepath = f"{folder}/pose.png"
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(render.filepath)
        try:
            width, height = image.size
            values = np.empty(width * height * image.channels, np.float32)
            image.pixels.foreach_get(values)
            picture = values.reshape(height, width, -1)[::-1, :, :3]
        finally:
            bpy.data.images.remove(image)
    return np.ascontiguousarray(np.rint(picture * 255.0), np.uint8)


def is_whole_mp4(video: Path) -> bool:
    """Whether the index (`moov`), which is written last, is there; Blender hides a full disk."""
    size, place = video.stat().st_size, 0
    with open(video, "rb") as handle:
        while place + 8 <= size:
            handle.seek(place)
            head = handle.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # a box beyond 4 GB keeps its length behind its name
                length = int.from_bytes(head[8:16], "big")
            if head[4:8] == b"moov":
                return place + length <= size
            place += max(length, 8)
    return False


def apply_settings(stage: Stage, settings: RenderSettings) -> None:
    """Set engine, size, rate and quality; everything else is the template's."""
    scene, render = stage.scene, stage.scene.render
    render.engine = blender_compat.engine_id(settings.engine)
    render.resolution_x, render.resolution_y = settings.width, settings.height
    render.fps, render.fps_base = settings.frame_rate.frames, settings.frame_rate.base
    render.use_persistent_data = settings.engine == "cycles"  # keeps its tree between frames
    _neutralize(scene)
    workbench = settings.engine in ("auto", "fast", "workbench")
    samples = settings.samples
    if not samples and not stage.template.is_blend:  # a .blend has settings of its own
        samples = stage.template.samples.get(settings.engine, 0)
    if workbench and samples:
        enough = (name for count, name in _WORKBENCH_SAMPLES if count >= samples)
        scene.display.render_aa = next(enough, "32")
    elif workbench and not stage.template.is_blend:
        scene.display.render_aa = stage.look.antialias
    elif settings.engine == "eevee":
        scene.eevee.taa_render_samples = samples or scene.eevee.taa_render_samples
    elif settings.engine == "cycles":
        scene.cycles.device = "CPU"
        scene.cycles.samples = samples or scene.cycles.samples
        # The denoiser flickers from frame to frame at few samples.
        scene.cycles.use_denoising = False
    _apply_encoder(render, settings.frame_rate.fps)
    _frame_head(stage, settings.width / settings.height)


def _neutralize(scene: Any) -> None:
    """Undo what a .blend may bring that would bend time or cut the picture."""
    render = scene.render
    scene.frame_step = 1
    render.frame_map_old = render.frame_map_new = 100
    render.resolution_percentage = 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0
    render.use_border = False
    render.use_multiview = False
    render.use_sequencer = False


def _apply_encoder(render: Any, fps: float) -> None:
    blender_compat.choose_video_output(render)
    movie = render.ffmpeg
    movie.format = "MPEG4"
    movie.codec = "H264"
    movie.constant_rate_factor = "HIGH"
    movie.gopsize = max(1, round(fps))  # a key frame each second, so that players can seek
    # Without B-frames the first picture's time is 0 in every player.
    movie.use_max_b_frames = True
    movie.max_b_frames = 0
    movie.audio_codec = "NONE"


def _frame_head(stage: Stage, aspect: float) -> None:
    """Place the camera, unless a .blend brought its own and the template doesn't say otherwise."""
    wish = look_camera(stage.template, stage.look)
    if not stage.own_camera or wish.location is not None:
        place_camera(stage.scene.camera, stage.points, wish, stage.look, aspect)


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split()).removeprefix("Error: ")


@contextlib.contextmanager
def _keyed(stage: Stage, weights: FloatArray) -> Iterator[None]:
    """Hold the weights as Actions on the stage's meshes; afterwards the face is at rest again."""
    actions = []
    try:
        for shape_keys, matching in stage.faces:
            plan = plan_keys(weights, ARKIT_52, matching, first_frame=1.0)
            actions.append(write_action(shape_keys, plan, "Speech"))
        yield
    finally:
        for shape_keys, matching in stage.faces:
            shape_keys.animation_data_clear()
            for name in matching.key_of.values():
                shape_keys.key_blocks[name].value = 0.0
        for action in actions:
            bpy.data.actions.remove(action)


@contextlib.contextmanager
def _posed(stage: Stage, weights: FloatArray) -> Iterator[None]:
    """Hold one row of weights (52,) on the stage's meshes; afterwards the face is at rest again."""
    try:
        for shape_keys, matching in stage.faces:
            for channel, name in matching.key_of.items():
                shape_keys.key_blocks[name].value = float(weights[CHANNEL_INDEX[channel]])
        yield
    finally:
        for shape_keys, matching in stage.faces:
            for name in matching.key_of.values():
                shape_keys.key_blocks[name].value = 0.0


@contextlib.contextmanager
def _output(scene: Any, video: Path) -> Iterator[None]:
    """Let the scene write to exactly `video`, whatever signs its name holds."""
    scene.render.use_file_extension = False
    scene.render.use_overwrite = True
    if not _PATH_SIGNS & set(str(video)):
        scene.render.filepath = str(video)
        yield
        return
    with tempfile.TemporaryDirectory(prefix="exomni-") as folder:
        plain = Path(folder) / "silent.mp4"
        scene.render.filepath = str(plain)
        yield
        if plain.is_file():
            shutil.move(plain, video)


@contextlib.contextmanager
def _told(written: Callable[..., None]) -> Iterator[None]:
    """Have `written` called after each frame that is in the video."""
    bpy.app.handlers.render_write.append(written)
    try:
        yield
    finally:
        bpy.app.handlers.render_write.remove(written)
