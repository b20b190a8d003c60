# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head in poses -> whether lips touch, lids close, and nothing pokes through."""

from __future__ import annotations

import numpy as np
import pytest
from head_tools import (
    SPEECH,
    Array,
    Ints,
    depth_over,
    part_polygons,
    part_vertices,
    pose,
    posed,
    random_frames,
    row,
    spoken_frames,
    the_head,
    triangles,
)

from exomni_core.arkit import ARKIT_52
from templates.mesh import TemplateMesh

DEEP = 6.0  # millimetres behind a tooth's front: what is further back is not in the tooth


@pytest.fixture(scope="module")
def head() -> TemplateMesh:
    return the_head()


@pytest.mark.parametrize("weight", [0.05, 0.1, 0.15, 0.25, 0.4, 0.7, 1.0])
def test_lips_touch_when_mouth_close_matches_jaw_open(head: TemplateMesh, weight: float) -> None:
    points = pose(head, jawOpen=weight, mouthClose=weight)
    pairs = points[head.aperture_pairs]
    assert np.linalg.norm(pairs[:, 0] - pairs[:, 1], axis=1).max() <= 0.3
    assert (pairs[:, 0, 1] - pairs[:, 1, 1]).max() <= 0.3
    upper, lower = head.lip_aperture_pair
    assert np.linalg.norm(points[upper] - points[lower]) <= 0.3
    for up, low in ((61, 67), (62, 66), (63, 65)):
        gap = points[head.landmarks68[up]] - points[head.landmarks68[low]]
        assert np.linalg.norm(gap) <= 0.3


def test_lips_are_closed_at_rest(head: TemplateMesh) -> None:
    pairs = pose(head)[head.aperture_pairs]
    assert np.linalg.norm(pairs[:, 0] - pairs[:, 1], axis=1).max() <= 0.1


def lid_triangles(head: TemplateMesh) -> Ints:
    polygons = part_polygons(head, "face")
    c = pose(head)[polygons[:, :3]].mean(1)
    near = (np.abs(c[:, 1]) < 25) & (c[:, 0] > 8) & (c[:, 0] < 58) & (c[:, 2] > 60)
    # The strip behind the edge dips into the ball: it is the outside that must cover the ball.
    inside = np.isin(polygons, head.vertex_groups["inside_lids"]).all(1)
    return triangles(polygons[near & ~inside])


def eyeball_over_lids(head: TemplateMesh, points: Array) -> Array:
    ball = part_vertices(head, "sclera_L", "iris_L", "pupil_L")
    ball = ball[pose(head)[ball, 2] > 75]
    return depth_over(points, lid_triangles(head), points[ball])


@pytest.mark.parametrize("weight", [0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0])
def test_eyeball_stays_behind_the_blinking_lids(head: TemplateMesh, weight: float) -> None:
    for more in ({}, {"eyeSquintLeft": 0.6}, {"cheekSquintLeft": 1.0}, {"eyeLookDownLeft": 0.4}):
        points = pose(head, **{"eyeBlinkLeft": weight, **more})
        assert eyeball_over_lids(head, points).max() <= 0.1, more


def test_blink_closes_the_eye(head: TemplateMesh) -> None:
    points = pose(head, eyeBlinkLeft=1.0)
    assert np.isfinite(eyeball_over_lids(head, points)).all()  # a lid covers all of the ball
    lm = points[head.landmarks68]
    assert np.abs(lm[[43, 44], 1] - lm[[47, 46], 1]).max() < 1.5


def test_closed_lids_leave_no_gap(head: TemplateMesh) -> None:
    """Along the whole eye the edges of the lids come within 0.3 mm, measured from the front."""
    points = pose(head, eyeBlinkLeft=1.0)
    upper, lower = lid_edges(head)
    x = np.linspace(points[upper[1], 0], points[upper[-2], 0], 60)
    top = np.interp(x, points[upper, 0], points[upper, 1])
    low = np.interp(x, points[lower, 0], points[lower, 1])
    assert (top - low).max() <= 0.3


def lid_edges(head: TemplateMesh) -> tuple[list[int], list[int]]:
    """Vertices of the left upper and lower lid edge from the inner to the outer corner."""
    ids = set(head.vertex_groups["lid_edge_L"].tolist())
    upper = [i for i in head.vertex_groups["eyelid_upper_L"] if int(i) in ids]
    corners = head.landmarks68[[42, 45]].tolist()
    lower = [i for i in head.vertex_groups["eyelid_lower_L"] if int(i) in ids] + corners
    rest = pose(head)

    def ordered(some: list[int]) -> list[int]:
        return [int(i) for i in sorted(set(map(int, some)), key=lambda i: rest[i, 0])]

    return ordered(upper), ordered(lower)


@pytest.mark.parametrize("more", [{"eyeSquintLeft": 0.6}, {"cheekSquintLeft": 0.6}])
def test_the_closed_upper_lid_lies_over_the_lower_one(
    head: TemplateMesh, more: dict[str, float]
) -> None:
    """Shapes add up: where a squint lifts the lower lid past the upper one, that hides it."""
    points = pose(head, **{"eyeBlinkLeft": 1.0, **more})
    upper, lower = lid_edges(head)
    x = np.linspace(points[upper[0], 0], points[upper[-1], 0], 62)[12:-12]
    top = np.interp(x, points[upper, 0], points[upper, 2])
    low = np.interp(x, points[lower, 0], points[lower, 2])
    assert (top - low).min() > 0


@pytest.mark.parametrize(
    "name", ["eyeLookDown", "eyeLookUp", "eyeLookIn", "eyeLookOut", "eyeSquint", "eyeWide"]
)
def test_eyeball_stays_behind_the_lids(head: TemplateMesh, name: str) -> None:
    for weight in (0.5, 1.0):
        assert eyeball_over_lids(head, pose(head, **{f"{name}Left": weight})).max() <= 0.1


def teeth_and_lips(head: TemplateMesh, points: Array) -> tuple[float, float]:
    """How far teeth stand out of the skin, and how deep lips lie in teeth or gums (mm)."""
    polygons = part_polygons(head, "face", "lips")
    c = pose(head)[polygons[:, :3]].mean(1)
    near = (c[:, 1] < -20) & (c[:, 1] > -120) & (c[:, 2] > 50)
    teeth = part_vertices(head, "teeth_upper", "teeth_lower")
    teeth = teeth[pose(head)[teeth, 2] > 60]
    out = float(depth_over(points, triangles(polygons[near]), points[teeth]).max())
    lips = part_vertices(head, "lips")
    deep = 0.0
    for part in ("teeth_upper", "teeth_lower", "gums"):
        over = depth_over(points, triangles(part_polygons(head, part)), points[lips])
        inside = over[(over < 0) & (over > -DEEP)]
        deep = max(deep, float(-inside.min()) if len(inside) else 0.0)
    return out, deep


MOUTH = [n for n in ARKIT_52 if n.startswith(("mouth", "jaw", "cheek", "nose", "tongue"))]


@pytest.mark.parametrize("name", [n for n in MOUTH if not n.endswith("Right")])
def test_lips_and_teeth_keep_apart_in_every_shape(head: TemplateMesh, name: str) -> None:
    out, deep = teeth_and_lips(head, pose(head, **{name: 1.0}))
    assert out <= 0.0
    assert deep <= 1.0


@pytest.mark.parametrize("weights", SPEECH, ids=lambda w: "+".join(w))
def test_lips_and_teeth_keep_apart_in_speech(head: TemplateMesh, weights: dict[str, float]) -> None:
    out, deep = teeth_and_lips(head, posed(head, row(weights)))
    assert out <= 0.0
    assert deep <= 1.0


def test_lips_and_teeth_keep_apart_in_spoken_and_random_frames(head: TemplateMesh) -> None:
    frames = np.concatenate([spoken_frames()[::8], random_frames(12, 3)])
    for frame in frames:
        out, deep = teeth_and_lips(head, posed(head, frame))
        assert out <= 0.0
        assert deep <= 1.0


def test_closed_lips_hide_the_teeth(head: TemplateMesh) -> None:
    """From the front no tooth shows at rest, nor where an engine closes the lips for m, b, p."""
    for weights in (
        {},
        {"jawOpen": 0.15, "mouthClose": 0.15},
        {"mouthPressLeft": 0.5, "mouthPressRight": 0.5, "jawOpen": 0.1, "mouthClose": 0.1},
    ):
        points = posed(head, row(weights))
        teeth = part_vertices(head, "teeth_upper", "teeth_lower")
        cover = triangles(part_polygons(head, "face", "lips"))
        assert (depth_over(points, cover, points[teeth]) < 0).all()
        assert np.isfinite(depth_over(points, cover, points[teeth])).all()


def test_the_mouth_is_level_at_rest_and_opens_round(head: TemplateMesh) -> None:
    right, middle, left = head.landmarks68[[60, 62, 64]]
    rest = pose(head)
    assert np.abs(rest[[right, left], 1] - rest[middle, 1]).max() < 1.6
    for weight in (0.3, 0.6, 1.0):
        points = pose(head, jawOpen=weight)
        width = points[left, 0] - points[right, 0]
        assert points[middle, 1] - points[left, 1] > 0.13 * weight * width


def test_lips_round_and_thin_where_they_should(head: TemplateMesh) -> None:
    corner, inner = head.landmarks68[[54, 64]]
    for name in ("mouthPucker", "mouthFunnel"):
        move = pose(head, **{name: 1.0}) - pose(head)
        assert move[inner, 0] < move[corner, 0] - 1.0, name  # the hole closes to a round one

    def red(points: Array) -> float:
        up, up_in, low_in, low = points[head.landmarks68[[51, 62, 66, 57]], 1]
        return float(up - up_in + low_in - low)

    pressed = pose(head, mouthPressLeft=1.0, mouthPressRight=1.0)
    assert red(pressed) < 0.7 * red(pose(head))


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.6, 1.0])
def test_the_tongue_lies_behind_the_lower_teeth(head: TemplateMesh, weight: float) -> None:
    points = pose(head, jawOpen=weight)
    tongue, teeth = part_vertices(head, "tongue"), part_vertices(head, "teeth_lower")
    tip = points[tongue[np.argmax(pose(head)[tongue, 2])]]
    front = points[teeth[np.argmax(pose(head)[teeth, 2])]]
    assert 3.0 < front[2] - tip[2] < 12.0
    top = points[teeth][np.abs(points[teeth, 0]) < 8, 1].max()
    assert points[tongue, 1].max() > top - 3.0  # it is seen over them
    assert np.abs(tip[0]) < 0.01
