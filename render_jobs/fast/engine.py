# SPDX-License-Identifier: GPL-3.0-or-later
"""A job that needs OpenGL in, the job done out, also where Blender has no window.

In background mode Blender gives Python no OpenGL, except inside a render engine that asks for it.
So here is a render engine that draws nothing of its own and runs a job instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import bpy

Job = Callable[[Any], None]

ENGINE: Final = "EXOMNI_FAST"


class FastUnavailableError(Exception):
    """This machine or this Blender can't run the fast engine; the text says why."""


class _FastEngine(bpy.types.RenderEngine):  # type: ignore[misc]
    """Runs `job` with a live OpenGL context instead of rendering a frame."""

    bl_idname = ENGINE
    bl_label = "Ex-Omni fast"
    bl_use_gpu_context = True
    job: Job | None = None
    error: BaseException | None = None

    def render(self, depsgraph: Any) -> None:
        """Called by Blender; what it raises would only be printed."""
        kind = type(self)
        if kind.job is None:
            return
        try:
            kind.job(depsgraph)
        except BaseException as error:  # noqa: BLE001 (raised again by run_with_gl)
            kind.error = error


def run_with_gl(camera: Any, job: Job) -> None:
    """Call `job(depsgraph)` where OpenGL calls work; raises what the job raises.

    camera: any camera object; Blender renders nothing without one.
    FastUnavailableError if Blender doesn't call the job.
    """
    bpy.utils.register_class(_FastEngine)
    scene = bpy.data.scenes.new("exomni-fast")  # empty: nothing to evaluate
    scene.camera = camera
    scene.render.engine = ENGINE
    scene.render.resolution_x = scene.render.resolution_y = 16
    called = False

    def noted(depsgraph: Any) -> None:
        nonlocal called
        called = True
        job(depsgraph)

    _FastEngine.job, _FastEngine.error = noted, None
    try:
        bpy.ops.render.render(scene=scene.name)
    except RuntimeError as error:
        raise FastUnavailableError(f"Blender said: {' '.join(str(error).split())}") from error
    finally:
        raised = _FastEngine.error
        _FastEngine.job = _FastEngine.error = None
        bpy.data.scenes.remove(scene)
        bpy.utils.unregister_class(_FastEngine)  # Blender 4.5 hangs at its end if it finds one
    if raised is not None:
        raise raised
    if not called:
        raise FastUnavailableError("this Blender gave it no OpenGL")
