# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests with a glTF, FBX or .blend file in, an npz of the head in it out: one Blender.

Started as `python -m render_jobs.heads.worker`, or inside a user's own Blender with
`blender --background --factory-startup --python render_jobs/heads/worker.py`. A process of its
own, because a broken file may take Blender down with it.

Request: {"job", "file", "kind": "gltf"|"fbx"|"blend", "out": path of the npz to write}.
Last event: {"event": "done", "origin": Origin's fields, "keep_blend": bool}.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # a user's Blender knows nothing of us
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from exomni_core.arrays import FloatArray
from exomni_core.errors import EnvironmentProblem
from render_jobs.workers.wire import Send, WireMessage, serve
from templates.importing.clean import weld
from templates.importing.raw import Origin, RawMesh, join, refuse_not_finite
from templates.mesh import save_npz
from templates.reading import Colour


def start() -> WireMessage:
    """Load Blender; EnvironmentProblem if it isn't there."""
    try:
        import bpy
    except (ImportError, OSError) as error:
        from render_jobs.video.worker import import_help

        raise EnvironmentProblem(import_help(error)) from error
    return {"blender": bpy.app.version_string}


def handle(request: WireMessage, send: Send) -> WireMessage:  # noqa: ARG001 (the wire's signature)
    """Read one file; raises InputError or EnvironmentProblem."""
    from render_jobs.heads.scene import read_scene

    path, kind = Path(request["file"]), request["kind"]
    scene = read_scene(path, kind)
    mesh, told = join(scene.meshes, str(path))
    colours: dict[str, Colour] = {}
    for paint in scene.paints:
        colours |= paint.colours
    mesh = replace(mesh, tint=_joined_tint(scene.meshes, [p.tint for p in scene.paints]))
    origin = Origin(
        kind, unit_hint=scene.unit_hint, colours=colours, notes=tuple(scene.notes), **told
    )
    refuse_not_finite(mesh, origin, str(path))
    if kind == "gltf":  # which stores a vertex once for each texture seam
        mesh = weld(mesh, np.repeat(*_pieces(scene.meshes)))
    save_npz(mesh, Path(request["out"]))
    return {"origin": asdict(origin), "keep_blend": scene.face_object}


def _pieces(meshes: Sequence[RawMesh]) -> tuple[Any, Any]:
    return np.arange(len(meshes), dtype=np.int32), [len(mesh.vertices) for mesh in meshes]


def _joined_tint(meshes: Sequence[RawMesh], tints: Sequence[FloatArray]) -> FloatArray:
    if not any(len(tint) for tint in tints):
        return np.empty((0, 3), np.float32)
    rows = [
        tint if len(tint) else np.ones((len(mesh.vertices), 3), np.float32)
        for mesh, tint in zip(meshes, tints, strict=True)
    ]
    return np.concatenate(rows)


def main() -> None:
    """Serve until the parent closes our stdin."""
    serve(start, handle)


if __name__ == "__main__":
    main()
