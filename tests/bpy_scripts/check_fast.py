# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: the fast engine where OpenGL or its shaders fail.

Arguments: a template and a folder for the videos.
"""

import sys
from pathlib import Path

import bpy
import numpy as np

from exomni_core.errors import EnvironmentProblem
from render_jobs.fast import draw as fast_draw
from render_jobs.fast import engine as fast_engine
from render_jobs.settings import RenderSettings
from render_jobs.stage.stage import load_stage
from render_jobs.video import scene
from templates.library import find_template


def broken_shader():
    """A driver that refuses the shader: the real compiler's complaint."""
    fast_draw._CORNERS_FRONT = fast_draw._CORNERS_BOTH = "void main() { nonsense }"


def no_context():
    """A Blender that never calls the engine."""
    fast_engine._FastEngine.render = lambda self, depsgraph: None


def main():
    template, folder = sys.argv[1], Path(sys.argv[2])
    weights = np.zeros((3, 52), np.float32)
    normal = fast_draw._CORNERS_FRONT, fast_draw._CORNERS_BOTH, fast_engine._FastEngine.render
    for break_it, words in ((broken_shader, "OpenGL refused"), (no_context, "no OpenGL")):
        stage = load_stage(find_template(template))
        break_it()
        auto = RenderSettings(template, "auto", 32, 48)
        for _ in range(2):  # the second time it is known
            drawn = scene.render_face(stage, weights, auto, folder / "a.mp4", lambda _: None)
            assert drawn.engine == "workbench", drawn
            assert "fast engine doesn't run here" in drawn.notes[0], drawn
            assert words in drawn.notes[0], drawn
            assert (folder / "a.mp4").stat().st_size > 500
        assert scene.render_pose(stage, weights[0], auto).shape == (48, 32, 3)
        stage.prepared.clear()
        by_name = RenderSettings(template, "fast", 32, 48)
        said = ""
        try:
            scene.render_face(stage, weights, by_name, folder / "b.mp4", lambda _: None)
        except EnvironmentProblem as error:
            said = str(error)
        assert words in said
        fast_draw._CORNERS_FRONT, fast_draw._CORNERS_BOTH, fast_engine._FastEngine.render = normal
    stage = load_stage(find_template(template))
    drawn = scene.render_face(stage, weights, auto, folder / "a.mp4", lambda _: None)
    assert drawn == scene.Rendering("fast"), drawn
    assert [s.name for s in bpy.data.scenes] == ["Scene"]
    assert not hasattr(bpy.types, "_FastEngine")
    print("all is well")


main()
