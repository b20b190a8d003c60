# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: renders clips one after another, checks that nothing piles up.

Arguments: a template, a folder for the videos, and clip files.
"""

import json
import sys
from pathlib import Path

import bpy

from render_jobs.settings import RenderSettings
from render_jobs.stage.animation import is_whole_mp4
from render_jobs.video.worker import RenderWorker


def datablocks():
    """How many datablocks of each kind this Blender holds."""
    kinds = [p.identifier for p in bpy.data.bl_rna.properties if p.type == "COLLECTION"]
    return {kind: len(getattr(bpy.data, kind)) for kind in kinds}


def main():
    template, folder, *clips = sys.argv[1:]
    worker = RenderWorker()
    worker.start()
    settings = RenderSettings(template, "workbench", width=32, height=48, samples=1)
    counts = []
    for number, clip in enumerate(clips):
        video = Path(folder) / f"{number}.mp4"
        request = {"clip": clip, "video": str(video), "settings": settings.to_json()}
        worker.handle(request, lambda _: None)
        counts.append(datablocks())
        assert is_whole_mp4(video)
        keys = worker.stage.faces[0][0]
        assert keys.animation_data is None or keys.animation_data.action is None
        assert all(key.value == 0.0 for key in keys.key_blocks[1:]), "the face is not at rest"
    # What a full disk leaves behind (Blender itself reports success then).
    data = video.read_bytes()
    for length in (len(data) - 1, len(data) // 2, 100, 7, 0):
        video.write_bytes(data[:length])
        assert not is_whole_mp4(video), length
    assert counts[0] == counts[-1], (counts[0], counts[-1])
    assert counts[0]["actions"] == 0
    assert not bpy.app.handlers.render_write
    print(json.dumps({"ok": True}))


main()
