# SPDX-License-Identifier: GPL-3.0-or-later
"""Points and colours of a frame in, its pixels out, by OpenGL; needs the context of `fast_engine`.

A frame is drawn once at `across` times its width and height and then averaged down on the same
device, so that only finished pixels are read back.
"""

from __future__ import annotations

from typing import Any, Final

import gpu
import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray, Pixels
from render_jobs.fast.mesh import FastMesh

# Pixel rows are wanted from the top down, so the projection is upside down, and with it every
# triangle's winding: what OpenGL calls a front is a back.
_PLACE: Final = "gl_Position = projection * vec4(point, 1.0); }"
_CORNERS_FRONT: Final = "void main() { shown_front = front; " + _PLACE
_CORNERS_BOTH: Final = "void main() { shown_front = front; shown_back = back; " + _PLACE
_SHOW_FRONT: Final = "void main() { pixel = shown_front; }"
_SHOW_BOTH: Final = "void main() { pixel = gl_FrontFacing ? shown_back : shown_front; }"
_WHOLE_PICTURE: Final = "void main() { gl_Position = vec4(corner, 0.0, 1.0); }"
# Where a background of alpha 0 shows through, the colour of the rest keeps its brightness.
_AVERAGE: Final = """
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy) * ACROSS;
  vec4 sum = vec4(0.0);
  for (int y = 0; y < ACROSS; y++) {
    for (int x = 0; x < ACROSS; x++) {
      sum += texelFetch(drawn, at + ivec2(x, y), 0);
    }
  }
  pixel = vec4(sum.rgb / max(sum.a, 1e-3), sum.a / float(ACROSS * ACROSS));
}
"""


class Canvas:
    """Draws frames of one head in one size; `free` it within the same context."""

    def __init__(
        self,
        mesh: FastMesh,
        projection: npt.NDArray[np.float64],
        size: tuple[int, int],
        across: int,
        background: tuple[float, float, float, float],
        backs: bool,
    ) -> None:
        """`projection` (4, 4): camera's axes -> clip space. background: sRGB and alpha, 0 to 1.

        across: samples per pixel are its square. backs: back faces have colours of their own.
        """
        self.size, self.across, self._background = size, across, background
        upside_down = np.diag([1.0, -1.0, 1.0, 1.0]) @ projection
        self._projection = [float(value) for value in upside_down.T.ravel()]
        self._drawn = mesh.drawn
        self._format = _vertex_format(backs)
        self._shader = _surface_shader(backs)
        self._parts = [
            (gpu.types.GPUIndexBuf(type="TRIS", seq=triangles), cull)
            for triangles, cull in ((mesh.one_sided, "FRONT"), (mesh.two_sided, "NONE"))
            if len(triangles)
        ]
        width, height = size
        self._big = gpu.types.GPUOffScreen(width * across, height * across)
        self._small = None
        if across > 1:
            self._small = gpu.types.GPUOffScreen(width, height)
            self._average = _average_shader(across)
            self._picture = _whole_picture()

    def submit(self, points: FloatArray, front: Pixels, back: Pixels | None) -> None:
        """Start drawing a frame: (3, P) points in the camera's axes, (G, 4) sRGB of both sides.

        back: None if the canvas was made without.
        """
        vertices = gpu.types.GPUVertBuf(len=len(self._drawn), format=self._format)
        vertices.attr_fill("point", np.ascontiguousarray(points[:, self._drawn].T))
        vertices.attr_fill("front", front)
        if back is not None:
            vertices.attr_fill("back", back)
        with self._big.bind():
            gpu.state.active_framebuffer_get().clear(color=self._background, depth=1.0)
            gpu.state.depth_test_set("LESS")
            gpu.state.depth_mask_set(True)
            self._shader.bind()
            self._shader.uniform_float("projection", self._projection)
            for elements, cull in self._parts:
                gpu.state.face_culling_set(cull)
                batch = gpu.types.GPUBatch(type="TRIS", buf=vertices, elem=elements)
                batch.draw(self._shader)
        gpu.state.face_culling_set("NONE")
        gpu.state.depth_test_set("NONE")
        if self._small is not None:
            with self._small.bind():
                self._average.bind()
                self._average.uniform_sampler("drawn", self._big.texture_color)
                self._picture.draw(self._average)

    def new_buffer(self) -> Any:
        """Room for one frame's pixels: RGBA bytes, rows from the top down."""
        return gpu.types.Buffer("UBYTE", self.size[0] * self.size[1] * 4)

    def read(self, buffer: Any) -> None:
        """Wait until the submitted frame is drawn and fetch its pixels."""
        target = self._big if self._small is None else self._small
        with target.bind():
            gpu.state.active_framebuffer_get().read_color(
                0, 0, *self.size, 4, 0, "UBYTE", data=buffer
            )

    def free(self) -> None:
        """Give the device's memory back."""
        self._parts.clear()
        self._big.free()
        if self._small is not None:
            self._small.free()


def largest_side() -> int:
    """The most pixels that a picture, before it is averaged down, may be wide or high."""
    return int(gpu.capabilities.max_texture_size_get())


def _vertex_format(backs: bool) -> Any:
    layout = gpu.types.GPUVertFormat()
    layout.attr_add(id="point", comp_type="F32", len=3, fetch_mode="FLOAT")
    layout.attr_add(id="front", comp_type="U8", len=4, fetch_mode="INT_TO_FLOAT_UNIT")
    if backs:
        layout.attr_add(id="back", comp_type="U8", len=4, fetch_mode="INT_TO_FLOAT_UNIT")
    return layout


def _surface_shader(backs: bool) -> Any:
    between = gpu.types.GPUStageInterfaceInfo("exomni_surface")
    between.smooth("VEC4", "shown_front")
    info = gpu.types.GPUShaderCreateInfo()
    info.push_constant("MAT4", "projection")
    info.vertex_in(0, "VEC3", "point")
    info.vertex_in(1, "VEC4", "front")
    if backs:
        between.smooth("VEC4", "shown_back")
        info.vertex_in(2, "VEC4", "back")
    info.vertex_out(between)
    info.fragment_out(0, "VEC4", "pixel")
    info.vertex_source(_CORNERS_BOTH if backs else _CORNERS_FRONT)
    info.fragment_source(_SHOW_BOTH if backs else _SHOW_FRONT)
    return gpu.shader.create_from_info(info)


def _average_shader(across: int) -> Any:
    info = gpu.types.GPUShaderCreateInfo()
    info.define("ACROSS", str(across))
    info.vertex_in(0, "VEC2", "corner")
    info.sampler(0, "FLOAT_2D", "drawn")
    info.fragment_out(0, "VEC4", "pixel")
    info.vertex_source(_WHOLE_PICTURE)
    info.fragment_source(_AVERAGE)
    return gpu.shader.create_from_info(info)


def _whole_picture() -> Any:
    layout = gpu.types.GPUVertFormat()
    layout.attr_add(id="corner", comp_type="F32", len=2, fetch_mode="FLOAT")
    corners = gpu.types.GPUVertBuf(len=3, format=layout)
    corners.attr_fill("corner", np.array([[-1, -1], [3, -1], [-1, 3]], np.float32))
    return gpu.types.GPUBatch(type="TRIS", buf=corners)
