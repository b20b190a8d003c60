# SPDX-License-Identifier: GPL-3.0-or-later
"""A recipe of lights in, the matcap (radiance by direction of the surface) as an EXR file out.

A matcap is a picture of a lit ball: the place of a pixel is the normal that it lights. Blender's
Workbench multiplies its `diffuse` layer with the colour of the surface and adds its `specular`
layer. The light stays with the camera, which is what the pictures of talking heads want.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray
from templates.reading import Colour

SIDE: Final = 512  # pixels; the shading is smooth, so more shows nothing
_RADIUS: Final = 0.496  # of the ball, as a share of the picture: Workbench looks up 0.5 + 0.496 n
_WHITE: Final[Colour] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Lamp:
    """A soft light. towards: the direction it comes from (x right, y up, z to the camera).

    colour: scene-linear RGB, the radiance of a white surface that faces it.
    wrap: how far it reaches round the ball for red, green and blue, 0 (a point) to 1 (all round);
    red beyond blue is how light bleeds through skin.
    gloss: radiance of its reflection, the same on every colour, so a strong one would fill a dark
    mouth with haze; sheen: the share of it that is multiplied with the surface's colour. sharpness:
    a quarter of the reflection's Blinn exponent.
    """

    towards: Colour
    colour: Colour = _WHITE
    wrap: Colour = (0.0, 0.0, 0.0)
    gloss: Colour = (0.0, 0.0, 0.0)
    sheen: Colour = (0.0, 0.0, 0.0)
    sharpness: float = 20.0


@dataclass(frozen=True)
class Matcap:
    """The lights round a ball.

    sky, ground: ambient radiance from above and below. rim: light where the surface turns away
    from the camera, on the side `rim_from`; rim_width: 0 (none) to 1 (all of the ball). It is
    multiplied with the surface's colour; added to all alike it would make the wall of a dark mouth
    look like glass.
    dim: how much darker the surface gets where it turns away from the camera, 0 to 1.
    """

    lamps: tuple[Lamp, ...]
    sky: Colour = (0.0, 0.0, 0.0)
    ground: Colour = (0.0, 0.0, 0.0)
    rim: Colour = (0.0, 0.0, 0.0)
    rim_from: Colour = (1.0, 0.3, -0.5)
    rim_width: float = 0.3
    dim: float = 0.0


@dataclass(frozen=True)
class Phong:
    """The published demo's shading: one light from the camera, values that are shown as they are.

    Display value = ambient + diffuse * n.z + specular * max(2 n.z^2 - 1, 0)^shininess.
    """

    ambient: float = 0.3
    diffuse: float = 0.6
    specular: float = 0.1
    shininess: float = 15.0


MATCAPS: Final[Mapping[str, Matcap | Phong]] = {
    "phong": Phong(),
    "clay": Matcap(
        lamps=(
            Lamp((-0.55, 0.7, 0.55), (0.91, 0.88, 0.84), (0.30, 0.28, 0.27),
                 (0.008, 0.008, 0.008), (0.03, 0.03, 0.03), 12.0),
            Lamp((0.9, 0.1, 0.35), (0.145, 0.15, 0.16), (0.35, 0.35, 0.35)),
        ),
        sky=(0.17, 0.175, 0.185),
        ground=(0.10, 0.088, 0.08),
        rim=(0.25, 0.26, 0.28),
        rim_width=0.45,
        dim=0.35,
    ),
    "skin": Matcap(
        lamps=(
            Lamp((-0.55, 0.6, 0.62), (0.87, 0.82, 0.755), (0.42, 0.26, 0.21),
                 (0.022, 0.022, 0.022), (0.065, 0.090, 0.105), 13.0),
            Lamp((0.9, 0.1, 0.42), (0.165, 0.165, 0.185), (0.6, 0.5, 0.5)),
        ),
        sky=(0.13, 0.125, 0.13),
        ground=(0.13, 0.075, 0.06),
        rim=(0.34, 0.42, 0.52),
        rim_width=0.42,
        dim=0.25,
    ),
}  # fmt: skip


def shade(matcap: Matcap | Phong, normals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(..., 3) unit normals -> diffuse and specular radiance, both (..., 3) scene-linear RGB."""
    n = np.asarray(normals, np.float32)
    if isinstance(matcap, Phong):
        return _phong(matcap, n)
    up = 0.5 + 0.5 * n[..., 1:2]
    diffuse = up * np.array(matcap.sky) + (1 - up) * np.array(matcap.ground)
    specular = np.zeros_like(diffuse)
    for lamp in matcap.lamps:
        towards = _unit(lamp.towards)
        wrap = np.array(lamp.wrap)
        lit = np.clip((n @ towards)[..., None] + wrap, 0, None) / (1 + wrap)
        # Squared where it wraps: the shadow's edge is soft, without a line.
        diffuse = diffuse + np.array(lamp.colour) * lit ** (1 + wrap)
        half = _unit(tuple(towards + np.array([0.0, 0.0, 1.0])))
        shine = np.clip(n @ half, 0, None)[..., None] ** (4 * lamp.sharpness)
        diffuse = diffuse + np.array(lamp.sheen) * shine
        specular = specular + np.array(lamp.gloss) * shine
    facing = np.clip(n[..., 2:3], 0, 1)
    diffuse = diffuse * (1 - matcap.dim * (1 - facing) ** 2)
    edge = np.clip((matcap.rim_width - facing) / max(matcap.rim_width, 1e-6), 0, 1) ** 2
    side = np.clip(n @ _unit(matcap.rim_from), 0, 1)[..., None]
    diffuse = diffuse + np.array(matcap.rim) * edge * side
    return diffuse.astype(np.float32), specular.astype(np.float32)


def matcap_exr(name: str) -> bytes:
    """The EXR file of the recipe called `name`; the same on every machine of one architecture."""
    place = ((np.arange(SIDE) + 0.5) / SIDE - 0.5) / _RADIUS
    x, y = np.meshgrid(place, -place)  # the first line is the top
    beyond = np.maximum(np.hypot(x, y), 1.0)  # outside the ball its rim goes on
    x, y = x / beyond, y / beyond
    z = np.sqrt(np.clip(1 - x * x - y * y, 0, None))
    diffuse, specular = shade(MATCAPS[name], np.stack([x, y, z], axis=-1).astype(np.float32))
    layers = {"diffuse": diffuse, "specular": specular}
    return exr_bytes(layers if specular.any() else {"diffuse": diffuse})


def exr_bytes(layers: Mapping[str, FloatArray]) -> bytes:
    """Layers of (H, W, 3) radiance -> an uncompressed multilayer EXR of 16-bit floats.

    Layout: "Technical Introduction to OpenEXR", "OpenEXR File Layout" (openexr.com).
    """
    height, width, _ = next(iter(layers.values())).shape
    planes: dict[str, FloatArray] = {}
    for layer, pixels in layers.items():
        planes[f"{layer}.A"] = np.ones((height, width), np.float32)
        for place, channel in enumerate("RGB"):
            planes[f"{layer}.{channel}"] = pixels[..., place]
    names = sorted(planes)
    listed = b"".join(n.encode() + b"\0" + struct.pack("<iB3xii", 1, 0, 1, 1) for n in names)
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    fields = (
        ("channels", "chlist", listed + b"\0"), ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", box), ("displayWindow", "box2i", box),
        ("lineOrder", "lineOrder", b"\0"), ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    )  # fmt: skip
    head = struct.pack("<II", 20000630, 2)
    for name, kind, value in fields:
        head += name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value))
        head += value
    head += b"\0"
    rows = np.stack([planes[name] for name in names], axis=1).astype("<f2")  # (H, channels, W)
    size = rows[0].nbytes
    first = len(head) + 8 * height
    places = first + np.arange(height, dtype="<u8") * np.uint64(size + 8)
    lines = b"".join(struct.pack("<ii", y, size) + rows[y].tobytes() for y in range(height))
    return head + places.tobytes() + lines


def write_matcap(name: str, path: Path) -> None:
    """Write the EXR file of the recipe called `name`."""
    path.write_bytes(matcap_exr(name))


def _phong(phong: Phong, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    facing = np.clip(n[..., 2:3], 0, 1).astype(np.float64)
    shine = np.clip(2 * facing**2 - 1, 0, None) ** phong.shininess
    shown = phong.ambient + phong.diffuse * facing + phong.specular * shine
    radiance = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    diffuse = np.repeat(radiance, 3, axis=-1).astype(np.float32)
    return diffuse, np.zeros_like(diffuse)


def _unit(vector: Colour) -> npt.NDArray[np.float64]:
    array = np.array(vector, np.float64)
    return array / np.linalg.norm(array)
