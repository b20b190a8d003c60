# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests with clip files in, videos out: one Blender that serves many clips.

Started as `python -m render_jobs.video.worker` (bpy as a module), or inside a user's own Blender
with `blender --background --factory-startup --python render_jobs/video/worker.py`. Only the
standard library, numpy and bpy may be needed here.

Request: {"job", "clip": path, "video": path, "settings": RenderSettings.to_json()}, and perhaps
"speech": where the clip's sound is written as FLAC; "encoder": Encoder.to_json(), with which the
fast engine puts that in; and "head_motion", an .npy of (n, 3) radians.
Events: {"event": "progress", "done", "of"} now and then, at last {"event": "done", "frames",
"duration_s", "engine", "notes", "finished", "seconds": {"load", "render"}}; `finished` says that
the speech is in the video, which else is a silent mp4.
Or {"job", "stills": .npy of (n, 52) poses, "pictures": .npy to write, "settings"}; answered with
{"event": "done", "frames"}.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if __name__ == "__main__":  # a user's Blender knows nothing of us
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from exomni_core.clip import frame_count, load_face
from exomni_core.errors import EnvironmentProblem
from exomni_core.retime import resample_weights
from render_jobs.settings import SYSTEM_LIBRARIES, settings_from_json
from render_jobs.video.encode import encoder_from_json
from render_jobs.workers.wire import Send, WireMessage, serve
from templates.library import find_template, template_hash

if TYPE_CHECKING:
    from render_jobs.stage.stage import Stage

_PROGRESS_S: Final = 0.25


@dataclass
class RenderWorker:
    """Serves requests one after another and keeps the last template loaded."""

    stage: Stage | None = None
    stage_key: str = ""

    def start(self) -> WireMessage:
        """Load Blender and prove that it can draw; EnvironmentProblem if a library is missing.

        Where there is no OpenGL at all Blender ends this process with a signal instead.
        """
        try:
            import bpy
        except (ImportError, OSError) as error:
            raise EnvironmentProblem(import_help(error)) from error
        began = time.perf_counter()
        renderer = _prove_drawing(bpy)
        seconds = round(time.perf_counter() - began, 3)
        return {"blender": bpy.app.version_string, "renderer": renderer, "seconds": seconds}

    def handle(self, request: WireMessage, send: Send) -> WireMessage:
        """Render one clip; raises ClipError, InputError, EnvironmentProblem or WorkerError."""
        import numpy as np

        from render_jobs.video.scene import render_face

        if "stills" in request:
            return self._draw_stills(request, send)
        settings = settings_from_json(request["settings"])
        began = time.perf_counter()
        face = load_face(request["clip"])
        if "speech" in request:
            Path(request["speech"]).write_bytes(face.flac)
        stage = self._stage_for(settings.template, settings.look)
        fps = settings.frame_rate.fps
        count = frame_count(face.duration_s, fps)
        weights = resample_weights(face.weights, face.fps, fps, count)
        loaded = time.perf_counter()
        last_word = loaded

        def on_frame(done: int) -> None:
            nonlocal last_word
            now = time.perf_counter()
            if done == count or now - last_word >= _PROGRESS_S:
                last_word = now
                send({"event": "progress", "done": done, "of": count})

        told = request.get("encoder")
        encoder = encoder_from_json(told) if told else None
        motion = request.get("head_motion")
        drawn = render_face(
            stage,
            weights,
            settings,
            Path(request["video"]),
            on_frame,
            encoder,
            None if motion is None else np.load(motion, allow_pickle=False),
        )
        return {
            "frames": count,
            "duration_s": round(face.duration_s, 6),
            "engine": drawn.engine,
            "notes": list(drawn.notes),
            "finished": drawn.finished,
            "seconds": {
                "load": round(loaded - began, 3),
                "render": round(time.perf_counter() - loaded, 3),
            },
        }

    def _draw_stills(self, request: WireMessage, send: Send) -> WireMessage:
        import numpy as np

        from render_jobs.video.scene import render_pose

        settings = settings_from_json(request["settings"])
        stage = self._stage_for(settings.template, settings.look)
        poses = np.load(request["stills"], allow_pickle=False)
        pictures = []
        for pose in poses:
            pictures.append(render_pose(stage, pose, settings))
            send({"event": "progress", "done": len(pictures), "of": len(poses)})
        np.save(request["pictures"], np.stack(pictures))
        return {"frames": len(pictures)}

    def _stage_for(self, name: str, look: str) -> Stage:
        from render_jobs.stage.stage import load_stage

        template = find_template(name)
        key = template_hash(template, look)
        if self.stage is None or self.stage_key != key:
            self.stage = None  # its datablocks are about to go
            self.stage = load_stage(template, look)
            self.stage_key = key
        return self.stage


def _prove_drawing(bpy: Any) -> str:
    """Draw a tiny picture with Workbench, which needs OpenGL; returns what draws, where known."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.display.render_aa = "OFF"
    scene.render.resolution_x = scene.render.resolution_y = 16
    bpy.ops.render.render()
    try:
        import gpu

        return str(gpu.platform.renderer_get())
    except (ImportError, SystemError):  # not told in background mode
        return "unknown"


def import_help(error: BaseException) -> str:
    """What to do about a Blender that can't be imported."""
    missing = str(error)
    if "No module named" in missing:
        return (
            "Blender's Python module is not installed; run: pip install '.[render]' in "
            "this project's folder, or point to your own Blender with --blender"
        )
    if "failed to map segment" in missing or "cannot allocate memory" in missing.lower():
        return f"Blender can't start ({missing}): memory ran out; close other programs"
    return (
        f"Blender can't start ({missing}); on Debian and Ubuntu run: "
        f"apt-get install --no-install-recommends {SYSTEM_LIBRARIES}"
    )


def main() -> None:
    """Serve until the parent closes our stdin."""
    worker = RenderWorker()
    serve(worker.start, worker.handle)


if __name__ == "__main__":
    main()
