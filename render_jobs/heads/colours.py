# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender materials in, one colour for each and what its texture adds at each vertex out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray
from templates.importing.raw import RawMesh
from templates.reading import Colour

_SIDE: Final = 512  # textures are read at this size; vertices are no finer
_STEPS: Final = 6  # nodes between a shader and its texture
_DARKEST: Final = 0.01
_MOST: Final = 4.0  # no vertex is brighter than so many times its part


@dataclass(frozen=True, eq=False)
class Paint:
    """colours: material name -> scene-linear RGB. tint: (V, 3) multiplier, or (0, 3) for none."""

    colours: dict[str, Colour]
    tint: FloatArray


def paint_of(materials: list[Any], mesh: RawMesh) -> Paint:
    """The base colours of a mesh's materials, and its textures' colours at its vertices."""
    colours: dict[str, Colour] = {}
    total = np.zeros((len(mesh.vertices), 3))
    count = np.zeros(len(mesh.vertices))
    textured = False
    for slot, material in enumerate(materials):
        if material is None:
            continue
        plain, image = _base_colour(material)
        rows = np.flatnonzero(mesh.part == slot)
        corners = mesh.polygons[rows][mesh.polygons[rows] >= 0]
        ratio = np.ones((len(corners), 3))
        pixels = _pixels(image) if image is not None and len(mesh.uv) and len(rows) else None
        if pixels is not None:
            samples = _sampled(pixels, mesh.uv[rows][mesh.polygons[rows] >= 0])
            mean = np.maximum(samples.mean(axis=0), _DARKEST)
            plain = (float(mean[0]), float(mean[1]), float(mean[2]))
            ratio = np.clip(samples / mean, 0, _MOST)
            textured = True
        if plain is not None:
            colours[material.name] = plain
        np.add.at(total, corners, ratio)
        np.add.at(count, corners, 1)
    if not textured:
        return Paint(colours, np.empty((0, 3), np.float32))
    tint = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], 1.0)
    return Paint(colours, tint.astype(np.float32))


def _base_colour(material: Any) -> tuple[Colour | None, Any]:
    """(base colour, texture image or None) of a material, by its Principled shader."""
    tree = material.node_tree
    nodes = tree.nodes if tree is not None else ()
    shader = next((n for n in nodes if n.type == "BSDF_PRINCIPLED"), None)
    if shader is None:
        return tuple(material.diffuse_color[:3]), None
    socket = shader.inputs["Base Color"]
    if not socket.is_linked:
        return tuple(socket.default_value[:3]), None
    return None, _image_behind(socket, _STEPS)


def _image_behind(socket: Any, steps: int) -> Any:
    for link in socket.links:
        node = link.from_node
        if node.type == "TEX_IMAGE":
            return node.image
        if steps:
            for inner in node.inputs:
                if inner.type == "RGBA" and inner.is_linked:
                    found = _image_behind(inner, steps - 1)
                    if found is not None:
                        return found
    return None


def _pixels(image: Any) -> npt.NDArray[np.float64] | None:
    """(side, side, 3) scene-linear, the first row lowest; None if the image is not there."""
    try:
        if not all(image.size):
            return None
        if max(image.size) > _SIDE:
            image.scale(min(image.size[0], _SIDE), min(image.size[1], _SIDE))
        width, height = image.size
        flat = np.empty(width * height * image.channels, np.float32)
        image.pixels.foreach_get(flat)
    except RuntimeError:  # a file that has gone
        return None
    grid = flat.reshape(height, width, image.channels).astype(np.float64)
    colours = grid[..., :3] if image.channels >= 3 else np.repeat(grid[..., :1], 3, axis=2)
    if image.colorspace_settings.name == "sRGB" and not image.is_float:
        low = colours / 12.92
        colours = np.where(colours <= 0.04045, low, ((colours + 0.055) / 1.055) ** 2.4)
    return colours


def _sampled(pixels: npt.NDArray[np.float64], uv: FloatArray) -> npt.NDArray[np.float64]:
    height, width = pixels.shape[:2]
    across = np.floor((uv[:, 0] % 1.0) * width).astype(int).clip(0, width - 1)
    up = np.floor((uv[:, 1] % 1.0) * height).astype(int).clip(0, height - 1)
    picked: npt.NDArray[np.float64] = pixels[up, across]
    return picked
