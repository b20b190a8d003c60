# SPDX-License-Identifier: GPL-3.0-or-later
"""A head in many poses in, the triangles whose backs are ever seen out; needs `fast_engine`'s GL.

Half of a head's triangles turn away from the camera and lie hidden behind the others. To leave them
out saves a third of the drawing, but an open mesh also shows some backs: thin plates, the inside of
a mouth, lips that roll. So each triangle is drawn as its own number, and what shows is read back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import gpu
import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import Bools, FloatArray
from render_jobs.fast.geometry import BLOCK, Poser
from render_jobs.fast.mesh import FastMesh

_MIXES: Final = 27  # poses of many channels at once, besides rest and the 52
_SHARE: Final = 0.3  # of the channels that move in a mix
_SEED: Final = 0
_RINGS: Final = 2  # neighbours of what shows count too
_SHRINK: Final = 3  # the pictures for this are smaller
_PLACE: Final = "void main() { number = code; gl_Position = projection * vec4(point, 1.0); }"
# The picture is drawn upside down, so OpenGL's fronts are our backs.
_SHOW: Final = "void main() { pixel = vec4(gl_FrontFacing ? number : vec3(0.0), 1.0); }"


def seen_backs(poser: Poser, projection: npt.NDArray[np.float64], size: tuple[int, int]) -> Bools:
    """(T,) whether a triangle's back shows in some pose; `one_sided`'s first, then `two_sided`'s.

    projection: (4, 4) camera's axes -> clip space. size: of the picture, in pixels.
    """
    mesh = poser.mesh
    triangles = np.concatenate([mesh.one_sided, mesh.two_sided])
    at = mesh.drawn[triangles.ravel()]
    width, height = (max(side // _SHRINK, 64) for side in size)
    screen = gpu.types.GPUOffScreen(width, height)
    buffer = gpu.types.Buffer("UBYTE", width * height * 4)
    seen = np.zeros(len(triangles) + 1, bool)
    try:
        shader, codes = _shader(), _codes(len(triangles))
        upside_down = (np.diag([1.0, -1.0, 1.0, 1.0]) @ projection).T.ravel()
        for points in _poses(poser):
            batch = _batch(np.ascontiguousarray(points[:, at].T), codes)
            with screen.bind():
                frame = gpu.state.active_framebuffer_get()
                frame.clear(color=(0.0, 0.0, 0.0, 1.0), depth=1.0)
                gpu.state.depth_test_set("LESS")
                gpu.state.depth_mask_set(True)
                gpu.state.face_culling_set("NONE")
                shader.bind()
                shader.uniform_float("projection", [float(value) for value in upside_down])
                batch.draw(shader)
                frame.read_color(0, 0, width, height, 4, 0, "UBYTE", data=buffer)
            gpu.state.depth_test_set("NONE")
            pixels = np.frombuffer(buffer, np.uint8).reshape(-1, 4).astype(np.int64)
            numbers = pixels[:, 0] + 256 * pixels[:, 1] + 65536 * pixels[:, 2]
            seen[np.minimum(numbers, len(triangles))] = True
    finally:
        screen.free()
    return _grown(seen[1:], mesh, triangles)


def _poses(poser: Poser) -> Iterator[FloatArray]:
    """Points of the head at rest, in each shape, and in mixes that nobody would speak with."""
    rng = np.random.default_rng(_SEED)
    count = len(ARKIT_52)
    mixes = rng.random((_MIXES, count)) * (rng.random((_MIXES, count)) < _SHARE)
    rows = np.concatenate([np.zeros((1, count)), np.eye(count), mixes]).astype(np.float32)
    for start in range(0, len(rows), BLOCK):
        yield from poser.block(rows[start : start + BLOCK])


def _codes(count: int) -> FloatArray:
    """(3 * count, 3) each triangle's number from 1 as a colour, once for each corner."""
    numbers = np.repeat(np.arange(1, count + 1), 3)
    parts = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=1)
    return np.ascontiguousarray(parts / 255.0, np.float32)


def _grown(seen: Bools, mesh: FastMesh, triangles: npt.NDArray[np.int32]) -> Bools:
    at = mesh.drawn[triangles]
    for _ in range(_RINGS):
        near = np.zeros(mesh.rest.shape[1], bool)
        near[at[seen].ravel()] = True
        seen = near[at].any(axis=1)
    return seen


def _batch(points: FloatArray, codes: FloatArray) -> Any:
    layout = gpu.types.GPUVertFormat()
    layout.attr_add(id="point", comp_type="F32", len=3, fetch_mode="FLOAT")
    layout.attr_add(id="code", comp_type="F32", len=3, fetch_mode="FLOAT")
    vertices = gpu.types.GPUVertBuf(len=len(points), format=layout)
    vertices.attr_fill("point", points)
    vertices.attr_fill("code", codes)
    return gpu.types.GPUBatch(type="TRIS", buf=vertices)


def _shader() -> Any:
    between = gpu.types.GPUStageInterfaceInfo("exomni_backs")
    between.flat("VEC3", "number")
    info = gpu.types.GPUShaderCreateInfo()
    info.push_constant("MAT4", "projection")
    info.vertex_in(0, "VEC3", "point")
    info.vertex_in(1, "VEC3", "code")
    info.vertex_out(between)
    info.fragment_out(0, "VEC4", "pixel")
    info.vertex_source(_PLACE)
    info.fragment_source(_SHOW)
    return gpu.shader.create_from_info(info)
