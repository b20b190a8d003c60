# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage and rows of weights in, their frames as pixels out: the fast engine's loop.

The same picture as Workbench's from far less work: the head is posed and lit in numpy, drawn in
one pass, and nothing is written but the video.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray, Pixels
from render_jobs.fast.engine import FastUnavailableError, run_with_gl
from render_jobs.fast.geometry import BLOCK, Light, Poser, srgb
from render_jobs.fast.light_bake import bake_light
from render_jobs.fast.mesh import FastMesh, plan_mesh
from render_jobs.settings import RenderSettings
from render_jobs.stage.head_motion import Neck, find_neck
from render_jobs.stage.stage import Stage, to_blender

# Takes a frame's buffer (RGBA, rows from the top) and gives back one that is free again, or None.
Sink = Callable[[Any], Any | None]
Frame = tuple[FloatArray, Pixels, Pixels | None]  # points, colours of the fronts and of the backs

_SAMPLES: Final = 4  # per pixel, where the settings name none
_MOST_ACROSS: Final = 4
_COARSE: Final = 3.0  # sRGB levels; heads have 1 to 2, and at 4 SSIM falls below 0.98
_EFFECTS: Final = (
    "show_cavity",
    "show_shadows",
    "show_object_outline",
    "show_xray",
    "use_dof",
    "show_backface_culling",
)
_NEUTRAL_VIEW: Final = {"look": "None", "exposure": 0.0, "gamma": 1.0, "use_curve_mapping": False}


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a stage keeps between clips: its mesh as planned, its light, and how that was seen.

    lean: the mesh without the backs that never show, and what camera and picture that holds for.
    """

    mesh: FastMesh
    light: Light
    seen_from: tuple[float, ...]
    lean: tuple[bytes, FastMesh] | None = None


def fast_reason_against(stage: Stage) -> str | None:
    """Why the fast engine can't draw this stage as Workbench does, or None if it can.

    The words fit behind "because".
    """
    scene = stage.scene
    shading, view = scene.display.shading, scene.view_settings
    if stage.mesh is None:
        return "the template is a .blend file, which only Blender itself can read"
    if scene.camera is None or scene.camera.data.type == "PANO":
        return "the camera is a panorama"
    if scene.display_settings.display_device != "sRGB" or view.view_transform != "Standard":
        return f"its view transform is {view.view_transform}, not Standard"
    for name, value in _NEUTRAL_VIEW.items():
        if getattr(view, name, value) not in (value, f"Standard - {value}", f"{value}"):
            return f"its colour management changes the picture ({name})"
    for name in _EFFECTS:
        if getattr(shading, name):
            return f"its shading uses {name.partition('_')[2].replace('_', ' ')}"
    if shading.color_type not in ("MATERIAL", "VERTEX"):
        return f"its colours come from {shading.color_type.lower()}"
    return None


def too_coarse(stage: Stage) -> str | None:
    """Why the picture would differ from Workbench's more than one may see, or None.

    Workbench lights each pixel, the fast engine each vertex: a mirror-like matcap on a mesh of few
    vertices needs the former. To be asked when `fast_reason_against` has no reason.
    """
    coarseness = stage.prepared.get("coarseness")
    if coarseness is None:
        coarseness = stage.prepared["coarseness"] = _poser(stage).coarseness()
    if coarseness <= _COARSE:
        return None
    return "its light changes faster than its mesh has vertices"


def samples_across(settings: RenderSettings) -> int:
    """How many times wider and higher than the picture it is drawn: 2 for 4 samples per pixel."""
    return min(_MOST_ACROSS, math.ceil(math.sqrt(settings.samples or _SAMPLES)))


def draw_frames(
    stage: Stage,
    weights: FloatArray,
    settings: RenderSettings,
    buffers: int,
    sink: Sink,
    motion: FloatArray | None = None,
) -> None:
    """Draw `weights` (n, 52), one frame each, and hand every frame to `sink`, in order.

    motion: (n, 3) how the head turns, see `head_motion`. buffers: how many frames there are, in
    the engine's hand and the sink's. The stage's camera is in place. Raises FastUnavailableError
    before the first frame, or what the sink raises.
    """
    width, height = settings.width, settings.height
    camera = stage.scene.camera
    poser = _poser(stage)
    if motion is not None:
        poser.set_neck(_neck(stage))
    background = (0.0, 0.0, 0.0, 0.0) if settings.alpha else background_of(stage)

    def draw(depsgraph: Any) -> None:
        projection = np.array(camera.calc_matrix_camera(depsgraph, x=width, y=height))
        try:
            from render_jobs.fast.draw import Canvas, largest_side

            if motion is None:  # a head that turns may show backs that it hides when it is still
                _tell_sides(stage, poser, projection, (width, height))
            across = samples_across(settings)
            while across > 1 and max(width, height) * across > largest_side():
                across -= 1
            canvas = Canvas(
                poser.mesh, projection, (width, height), across, background, poser.has_backs
            )
        except Exception as error:  # whatever a driver may say
            raise FastUnavailableError(f"OpenGL refused ({_in_a_line(error)})") from error
        try:
            _loop(canvas, _posed(poser, weights, motion), buffers, sink)
        finally:
            canvas.free()

    run_with_gl(camera, draw)


def _tell_sides(
    stage: Stage, poser: Poser, projection: npt.NDArray[np.float64], size: tuple[int, int]
) -> None:
    """Let backs that never show be left out; once for a stage, a camera and a size."""
    from render_jobs.fast.backs import seen_backs

    prepared = stage.prepared["fast"]
    place = np.array(stage.scene.camera.matrix_world)
    view = projection.tobytes() + place.tobytes() + str(size).encode()
    if prepared.lean is None or prepared.lean[0] != view:
        planned = prepared.mesh
        triangles = np.concatenate([planned.one_sided, planned.two_sided])
        seen = seen_backs(poser, projection, size)
        lean = replace(planned, one_sided=triangles[~seen], two_sided=triangles[seen])
        prepared = replace(prepared, lean=(view, lean))
        stage.prepared["fast"] = prepared
    poser.mesh = prepared.lean[1]


def background_of(stage: Stage) -> tuple[float, float, float, float]:
    """The picture's background: sRGB of the world's colour, alpha 1."""
    world = stage.scene.world
    colour = srgb(np.array(world.color if world is not None else (0.0, 0.0, 0.0)))
    red, green, blue = (float(value) for value in colour)
    return red, green, blue, 1.0


def _loop(canvas: Any, frames: Iterator[Frame], buffers: int, sink: Sink) -> None:
    """Pose frame n + 1 while the device draws frame n, then fetch that."""
    free = [canvas.new_buffer() for _ in range(buffers)]
    frame = next(frames, None)
    while frame is not None:
        points, front, back = frame
        canvas.submit(points, front, back)
        frame = next(frames, None)
        buffer = free.pop()
        canvas.read(buffer)
        if (done := sink(buffer)) is not None:
            free.append(done)


def _posed(poser: Poser, weights: FloatArray, motion: FloatArray | None) -> Iterator[Frame]:
    """Yield each frame's points and the colours of both sides, which the next frame overwrites."""
    front = np.full((len(poser.mesh.drawn), 4), 255, np.uint8)
    back = front.copy() if poser.has_backs else None
    for start in range(0, len(weights), BLOCK):
        block = poser.block(weights[start : start + BLOCK])
        if motion is not None:
            block = poser.turned(block, motion[start : start + BLOCK])
        for points in block:
            poser.colours(points, poser.normals(points), front, back)
            yield points, front, back


def _neck(stage: Stage) -> Neck:
    assert stage.mesh is not None
    points = to_blender(stage.mesh.vertices, stage.unit_m)
    return find_neck(points, to_blender(stage.mesh.shapes, stage.unit_m))


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _poser(stage: Stage) -> Poser:
    bpy.context.view_layer.update()  # the camera's matrix, after it was moved
    camera, prepared = stage.scene.camera, _prepare(stage)
    turn = np.array(camera.matrix_world.inverted(), np.float64)[:3]
    return Poser(prepared.mesh, prepared.light, turn, camera.data.type == "ORTHO")


def _prepare(stage: Stage) -> Prepared:
    """Plan the mesh and bake the light, or take what an earlier clip left."""
    turn = stage.scene.camera.matrix_world.to_quaternion()
    seen_from = tuple(round(value, 6) for value in turn)
    found = stage.prepared.get("fast")
    if isinstance(found, Prepared) and found.seen_from == seen_from:
        return found
    assert stage.mesh is not None
    mesh = found.mesh if isinstance(found, Prepared) else _plan(stage)
    prepared = Prepared(mesh, bake_light(stage.scene), seen_from)
    stage.prepared["fast"] = prepared
    return prepared


def _plan(stage: Stage) -> FastMesh:
    mesh = stage.mesh
    assert mesh is not None
    assert stage.colours is not None
    return plan_mesh(
        to_blender(mesh.vertices, stage.unit_m),
        to_blender(mesh.shapes, stage.unit_m),
        mesh.polygons,
        stage.colours,
    )
