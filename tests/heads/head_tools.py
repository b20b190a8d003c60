# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the built-in head share: poses, parts, normals, depths, speech frames."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.engine import load_engine
from exomni_core.prompt import Prompt
from templates.head.build import build_head
from templates.mesh import TemplateMesh

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
MIRROR = np.array([-1.0, 1.0, 1.0])
MM = 1000.0
SKIN = ("face", "lips", "mouth_bag")  # the connected surface


@cache
def the_head() -> TemplateMesh:
    """The head, built once for all tests."""
    return build_head()


def both(name: str, weight: float) -> dict[str, float]:
    return {f"{name}Left": weight, f"{name}Right": weight}


def row(weights: dict[str, float]) -> Array:
    """(52,) weights from channels by name."""
    out = np.zeros(len(ARKIT_52))
    for name, weight in weights.items():
        out[CHANNEL_INDEX[name]] = weight
    return out


def posed(head: TemplateMesh, weights: Array) -> Array:
    """Vertices in millimetres with a row of 52 weights applied."""
    moved: Array = head.vertices + np.tensordot(weights, head.shapes.astype(np.float64), 1)
    return moved * MM


def pose(head: TemplateMesh, **weights: float) -> Array:
    """Vertices in millimetres with some shapes applied."""
    return posed(head, row(weights))


def part_polygons(head: TemplateMesh, *parts: str) -> Ints:
    ids = [head.part_names.index(p) for p in parts]
    return head.polygons[np.isin(head.polygon_part, ids)]


def part_vertices(head: TemplateMesh, *parts: str) -> Ints:
    polygons = part_polygons(head, *parts)
    result: Ints = np.unique(polygons[polygons >= 0])
    return result


def triangles(polygons: Ints) -> Ints:
    return np.concatenate([polygons[:, :3], polygons[polygons[:, 3] >= 0][:, [0, 2, 3]]])


def directed_edges(polygons: Ints) -> tuple[Ints, Ints]:
    """(n, 2) edges in the direction of their polygon, and that polygon's row."""
    edges, owner = [], []
    for i in range(4):
        a, b = polygons[:, i], polygons[:, (i + 1) % 4]
        b = np.where(b < 0, polygons[:, 0], b)
        real = (a >= 0) & (a != b)
        edges.append(np.stack([a, b], 1)[real])
        owner.append(np.flatnonzero(real).astype(np.int32))
    return np.concatenate(edges), np.concatenate(owner)


def unit_normals(points: Array, polygons: Ints) -> Array:
    a, b, c = (points[polygons[:, i]] for i in range(3))
    quad = (polygons[:, 3] >= 0)[:, None]
    d = np.where(quad, points[polygons[:, 3]], a)
    n = np.cross(c - a, np.where(quad, d - b, c - b))
    result: Array = n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12)
    return result


def depth_over(points: Array, tris: Ints, probes: Array) -> Array:
    """How far each probe stands in front (+z) of the front-facing triangles that cover it."""
    a, b, c = (points[tris[:, i]] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    a, b, c, area = a[area > 1e-9], b[area > 1e-9], c[area > 1e-9], area[area > 1e-9]
    x, y = probes[:, None, 0], probes[:, None, 1]
    u = ((b[:, 0] - x) * (c[:, 1] - y) - (b[:, 1] - y) * (c[:, 0] - x)) / area
    v = ((c[:, 0] - x) * (a[:, 1] - y) - (c[:, 1] - y) * (a[:, 0] - x)) / area
    w = 1 - u - v
    inside = (u >= 0) & (v >= 0) & (w >= 0)
    z = np.where(inside, u * a[:, 2] + v * b[:, 2] + w * c[:, 2], -np.inf).max(1)
    return np.where(np.isfinite(z), probes[:, 2] - z, -np.inf)


@cache
def spoken_frames() -> Array:
    """(n, 52) weights of the embedded engine, lively, every second frame of two sentences."""
    engine = load_engine("embedded")
    rows = [
        engine.generate(Prompt(id="head", text=text, language=language, style="lively", seed=5))
        for text, language in (
            (
                "My funny mama bought four vivid puppets, and who would choose blue shoes?",
                "en",
            ),
            ("Fünf süße Bäume möchten früh am Morgen viel Wasser.", "de"),
        )
    ]
    frames: Array = np.concatenate([clip.weights[::2] for clip in rows]).astype(np.float64)
    return frames


def random_frames(count: int, seed: int) -> Array:
    """(count, 52) mixtures of all shapes as speech uses them: many at once, none at its extreme."""
    rng = np.random.default_rng(seed)
    frames = rng.uniform(0, 0.35, (count, len(ARKIT_52)))
    frames *= rng.random((count, len(ARKIT_52))) < 0.5
    frames[:, CHANNEL_INDEX["tongueOut"]] = 0
    jaw = rng.uniform(0, 0.5, count)
    frames[:, CHANNEL_INDEX["jawOpen"]] = jaw
    frames[:, CHANNEL_INDEX["mouthClose"]] = jaw * rng.uniform(0, 0.8, count)
    return frames


# Combinations that speech uses, stronger than they come.
SPEECH = (
    {"jawOpen": 0.35, "mouthFunnel": 0.6},
    {"jawOpen": 0.6, "mouthFunnel": 1.0},
    {"jawOpen": 0.3, **both("mouthStretch", 0.6)},
    {"jawOpen": 0.3, **both("mouthSmile", 0.8)},
    {"jawOpen": 0.3, "mouthPucker": 0.7},
    {"mouthPucker": 0.8, "mouthFunnel": 0.5},
    {"jawOpen": 0.4, "mouthClose": 0.4},
    {**both("eyeBlink", 1.0), **both("eyeSquint", 0.6)},
    {**both("eyeBlink", 1.0), **both("cheekSquint", 1.0), **both("mouthSmile", 1.0)},
    {"mouthRollLower": 0.8, "mouthRollUpper": 0.8},
    {"mouthRollLower": 0.8, "mouthRollUpper": 0.8, **both("mouthPress", 0.8)},
    {"mouthRollLower": 0.7, "jawOpen": 0.1, **both("mouthUpperUp", 0.3)},
    {**both("mouthPress", 0.8)},
    {"jawOpen": 0.4, "tongueOut": 1.0},
)
