# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head: one build -> checks of symmetry, motion, contact and surface quality."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from templates.head.build import build_head
from templates.mesh import TemplateMesh

Array = npt.NDArray[np.float64]
MIRROR = np.array([-1.0, 1.0, 1.0])
MM = 1000.0


@pytest.fixture(scope="module")
def head() -> TemplateMesh:
    return build_head()


def pose(head: TemplateMesh, **weights: float) -> Array:
    """Vertices in millimetres with some shapes applied."""
    out = head.vertices.astype(np.float64)
    for name, weight in weights.items():
        out = out + weight * head.shapes[CHANNEL_INDEX[name]]
    return out * MM


def both(name: str, weight: float) -> dict[str, float]:
    return {f"{name}Left": weight, f"{name}Right": weight}


def part_polygons(head: TemplateMesh, *parts: str) -> npt.NDArray[np.int32]:
    ids = [head.part_names.index(p) for p in parts]
    return head.polygons[np.isin(head.polygon_part, ids)]


def part_vertices(head: TemplateMesh, *parts: str) -> npt.NDArray[np.int32]:
    polygons = part_polygons(head, *parts)
    result: npt.NDArray[np.int32] = np.unique(polygons[polygons >= 0])
    return result


def triangles(polygons: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return np.concatenate([polygons[:, :3], polygons[polygons[:, 3] >= 0][:, [0, 2, 3]]])


def normals(points: Array, polygons: npt.NDArray[np.int32]) -> Array:
    a, b, c = (points[polygons[:, i]] for i in range(3))
    quad = (polygons[:, 3] >= 0)[:, None]
    d = np.where(quad, points[polygons[:, 3]], a)
    result: Array = np.cross(c - a, np.where(quad, d - b, c - b))
    return result


def flipped(head: TemplateMesh, points: Array, *parts: str) -> float:
    """Share of the polygons whose normal turned by more than about 100 degrees."""
    polygons = part_polygons(head, *parts)
    before, after = normals(pose(head), polygons), normals(points, polygons)
    size = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return float(((before * after).sum(1) < -0.2 * size).mean())


def depth_over(points: Array, tris: npt.NDArray[np.int32], probes: Array) -> Array:
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


def mirror_ids(points: Array) -> npt.NDArray[np.int64]:
    """For each vertex the vertex at its mirror image; fails where there is none."""
    key = np.round(points * 1e7).astype(np.int64)
    table: dict[tuple[int, ...], list[int]] = {}
    for i, k in enumerate(map(tuple, key)):
        table.setdefault(k, []).append(i)
    return np.array([table[(-k[0], k[1], k[2])][0] for k in map(tuple, key)])


def test_arrays_are_well_formed(head: TemplateMesh) -> None:
    count = len(head.vertices)
    assert 6000 <= count <= 15000
    assert head.vertices.dtype == head.shapes.dtype == np.float32
    assert head.shapes.shape == (52, count, 3)
    assert np.isfinite(head.vertices).all()
    assert np.isfinite(head.shapes).all()
    assert head.polygons[:, :3].min() >= 0
    assert head.polygons.max() < count
    assert (head.polygons[:, 3] >= 0).mean() > 0.9
    assert len(np.unique(head.polygons[head.polygons >= 0])) == count
    assert len(head.polygon_part) == len(head.polygons)
    assert head.missing_shapes == ()
    assert head.landmarks68.shape == (68,)
    assert head.lip_aperture_pair.shape == (2,)
    assert set(head.upper_lip) | set(head.lower_lip) == set(head.lips)
    assert not set(head.upper_lip) & set(head.lower_lip)
    height = np.ptp(head.vertices[part_vertices(head, "face", "lips")][:, 1])
    assert 0.25 < height < 0.40  # metres, with neck and shoulders


def test_expected_parts(head: TemplateMesh) -> None:
    sided = {f"{n}_{s}" for n in ("sclera", "iris", "pupil", "brow") for s in "LR"}
    assert {"face", "mouth_bag", "teeth_upper", "teeth_lower", "gums", "tongue"} | sided <= set(
        head.part_names
    )
    left = head.vertices[part_vertices(head, "iris_L")]
    assert left[:, 0].min() > 0  # _L is the subject's left, +x


def test_face_is_one_connected_surface(head: TemplateMesh) -> None:
    polygons = part_polygons(head, "face", "lips", "mouth_bag")
    label = np.arange(len(head.vertices))
    edges = np.concatenate([polygons[:, [0, 1]], polygons[:, [1, 2]], polygons[:, [0, 2]]])
    quads = polygons[polygons[:, 3] >= 0]
    edges = np.concatenate([edges, quads[:, [2, 3]]])
    for _ in range(400):
        low = np.minimum(label[edges[:, 0]], label[edges[:, 1]])
        new = label.copy()
        np.minimum.at(new, edges[:, 0], low)
        np.minimum.at(new, edges[:, 1], low)
        new = new[new]
        if (new == label).all():
            break
        label = new
    assert len(np.unique(label[np.unique(edges)])) == 1


def test_no_edge_has_more_than_two_faces(head: TemplateMesh) -> None:
    edges = []
    for i in range(4):
        a, b = head.polygons[:, i], head.polygons[:, (i + 1) % 4]
        b = np.where(b < 0, head.polygons[:, 0], b)
        edges.append(np.stack([a, b], 1)[a >= 0])
    directed = np.concatenate(edges)
    directed = directed[directed[:, 0] != directed[:, 1]]
    _, uses = np.unique(directed, axis=0, return_counts=True)
    # Each directed edge once: manifold, and all faces of a piece turn the same way.
    assert uses.max() == 1


def test_neutral_and_shape_pairs_are_mirror_symmetric(head: TemplateMesh) -> None:
    twin = mirror_ids(head.vertices.astype(np.float64))
    assert np.abs(head.vertices[twin] * MIRROR - head.vertices).max() <= 1e-6
    # Vertices that coincide (upper on lower lip at a corner) may swap twins: compare fields there.
    unique = twin[twin] == np.arange(len(twin))
    assert unique.mean() > 0.98
    for name in ARKIT_52:
        one = head.shapes[CHANNEL_INDEX[name]]
        other = head.shapes[CHANNEL_INDEX[mirror_of(name)]]
        assert np.abs((one[twin] * MIRROR - other)[unique]).max() <= 1e-6, name


@pytest.mark.parametrize("name", ARKIT_52)
def test_every_shape_moves_its_own_side(head: TemplateMesh, name: str) -> None:
    size = np.linalg.norm(head.shapes[CHANNEL_INDEX[name]], axis=1) * MM
    assert size.max() > 1.0
    free = name.startswith(("jaw", "mouthLeft", "mouthRight"))  # these move the whole mouth
    if mirror_of(name) != name and not free:
        side = 1.0 if name.endswith("Left") else -1.0
        x = head.vertices[:, 0] * MM * side
        limit = 0.001 if name.startswith("eye") else 0.25
        assert size[x < -20].max() <= limit * size.max()
        assert size[x < -60].max() <= 0.1 * size.max()
        assert size[x > 0].max() == size.max()


def test_build_is_deterministic(head: TemplateMesh) -> None:
    again = build_head()
    assert np.array_equal(again.vertices, head.vertices)
    assert np.array_equal(again.shapes, head.shapes)
    assert np.array_equal(again.polygons, head.polygons)


@pytest.mark.parametrize("weight", [0.1, 0.15, 0.25, 0.4, 1.0])
def test_lips_touch_when_mouth_close_matches_jaw_open(head: TemplateMesh, weight: float) -> None:
    points = pose(head, jawOpen=weight, mouthClose=weight)
    upper, lower = head.lip_aperture_pair
    assert np.linalg.norm(points[upper] - points[lower]) <= 0.3
    for up, low in ((61, 67), (62, 66), (63, 65)):
        gap = points[head.landmarks68[up]] - points[head.landmarks68[low]]
        assert np.linalg.norm(gap) <= 0.3
    # Along the whole line no upper-lip vertex is without a lower one near by.
    top, bottom = points[head.upper_lip], points[head.lower_lip]
    near = np.linalg.norm(top[:, None] - bottom[None], axis=-1).min(1)
    assert np.sort(near)[:25].max() <= 0.3


def test_jaw_opens_the_mouth_and_carries_the_lower_teeth(head: TemplateMesh) -> None:
    points = pose(head, jawOpen=1.0)
    upper, lower = head.lip_aperture_pair
    assert 25 < np.linalg.norm(points[upper] - points[lower]) < 42
    moved = points - pose(head)
    assert moved[part_vertices(head, "teeth_lower")][:, 1].max() < -5
    assert np.abs(moved[part_vertices(head, "teeth_upper")]).max() == 0


def eyeball_over_lids(head: TemplateMesh, points: Array) -> Array:
    polygons = part_polygons(head, "face")
    c = pose(head)[polygons[:, :3]].mean(1)
    near = (np.abs(c[:, 1]) < 25) & (c[:, 0] > 8) & (c[:, 0] < 58) & (c[:, 2] > 60)
    ball = part_vertices(head, "sclera_L", "iris_L", "pupil_L")
    ball = ball[pose(head)[ball, 2] > 75]
    return depth_over(points, triangles(polygons[near]), points[ball])


@pytest.mark.parametrize("weight", [0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0])
def test_eyeball_stays_behind_the_blinking_lids(head: TemplateMesh, weight: float) -> None:
    over = eyeball_over_lids(head, pose(head, eyeBlinkLeft=weight))
    assert over.max() <= 0.1


def test_blink_closes_the_eye(head: TemplateMesh) -> None:
    points = pose(head, eyeBlinkLeft=1.0)
    assert np.isfinite(eyeball_over_lids(head, points)).all()  # a lid covers all of the ball
    lm = points[head.landmarks68]
    assert np.abs(lm[[43, 44], 1] - lm[[47, 46], 1]).max() < 1.5


@pytest.mark.parametrize(
    "name", ["eyeLookDown", "eyeLookUp", "eyeLookIn", "eyeLookOut", "eyeSquint", "eyeWide"]
)
def test_eyeball_stays_behind_the_lids(head: TemplateMesh, name: str) -> None:
    for weight in (0.5, 1.0):
        assert eyeball_over_lids(head, pose(head, **{f"{name}Left": weight})).max() <= 0.1


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("eyeLookUp", 1, 1), ("eyeLookDown", 1, -1), ("eyeLookOut", 0, 1), ("eyeLookIn", 0, -1)],
)
def test_gaze_turns_the_pupil(head: TemplateMesh, name: str, axis: int, sign: int) -> None:
    pupil = part_vertices(head, "pupil_L")
    moved = (pose(head, **{f"{name}Left": 1.0}) - pose(head))[pupil].mean(0)
    assert 4 < sign * moved[axis] < 9


def teeth_over_skin(head: TemplateMesh, points: Array) -> Array:
    polygons = part_polygons(head, "face", "lips")
    c = pose(head)[polygons[:, :3]].mean(1)
    near = (c[:, 1] < -20) & (c[:, 1] > -120) & (c[:, 2] > 50)
    teeth = part_vertices(head, "teeth_upper", "teeth_lower")
    return depth_over(points, triangles(polygons[near]), points[teeth])


SPEECH = [
    {"jawOpen": 0.35, "mouthFunnel": 0.6},
    {"jawOpen": 0.3, **both("mouthStretch", 0.6)},
    {"jawOpen": 0.3, **both("mouthSmile", 0.8)},
    {"jawOpen": 0.3, "mouthPucker": 0.7},
    {"jawOpen": 0.4, "mouthClose": 0.4},
    {**both("eyeBlink", 1.0), **both("eyeSquint", 0.6)},
    {"mouthRollLower": 0.8, "mouthRollUpper": 0.8},
    {**both("mouthPress", 0.8)},
    {"jawOpen": 0.4, "tongueOut": 1.0},
]


@pytest.mark.parametrize("weights", SPEECH, ids=lambda w: "+".join(w))
def test_speech_poses_have_no_flips_and_no_poking_teeth(
    head: TemplateMesh, weights: dict[str, float]
) -> None:
    points = pose(head, **weights)
    assert flipped(head, points, "face", "lips") <= 0.003  # hidden faces behind the lids turn
    assert flipped(head, points, "mouth_bag") <= 0.02
    assert teeth_over_skin(head, points).max() <= 0.0


@pytest.mark.parametrize("name", ARKIT_52)
def test_single_shapes_do_not_turn_the_surface_inside_out(head: TemplateMesh, name: str) -> None:
    # mouthClose alone presses the closed lips far over the face: it is made for an open jaw.
    weight = 0.4 if name == "mouthClose" else 1.0
    assert flipped(head, pose(head, **{name: weight}), "face", "lips") <= 0.0015


def test_random_speech_frames_stay_whole(head: TemplateMesh) -> None:
    rng = np.random.default_rng(7)
    names = [n for n in ARKIT_52 if n != "tongueOut"]
    for frame in range(100):
        weights = {n: float(rng.uniform(0, 0.35) * (rng.random() < 0.5)) for n in names}
        weights["jawOpen"] = float(rng.uniform(0, 0.5))
        weights["mouthClose"] = weights["jawOpen"] * float(rng.uniform(0, 0.8))
        points = pose(head, **weights)
        assert flipped(head, points, "face", "lips") <= 0.001
        assert flipped(head, points, "mouth_bag") <= 0.01
        if frame % 10 == 0:
            assert teeth_over_skin(head, points).max() <= 0.0


# Main landmark of each shape: iBUG ids (averaged) and how far they move on a real head (mm).
MOTION: list[tuple[str, tuple[int, ...], tuple[float, float, float]]] = [
    ("browDownLeft", (26,), (-2.2, -0.8, 3.1)),
    ("browInnerUp", (21,), (-0.5, 5.6, -0.3)),
    ("browOuterUpLeft", (26,), (1.1, 5.8, -2.4)),
    ("cheekPuff", (54,), (-2.8, 1.7, 13.7)),
    ("cheekSquintLeft", (46, 47), (-0.5, 2.0, 1.0)),
    ("eyeBlinkLeft", (43, 44), (-0.2, -7.8, -0.8)),
    ("eyeLookDownLeft", (43, 44), (-0.4, -6.4, -0.6)),
    ("eyeLookUpLeft", (43, 44), (0.1, 2.9, -0.8)),
    ("eyeSquintLeft", (46, 47), (-0.6, 1.7, 1.0)),
    ("eyeWideLeft", (43, 44), (0.3, 2.9, -0.9)),
    ("jawForward", (8,), (0.0, -1.7, 10.9)),
    ("jawLeft", (8,), (8.6, 0.1, 0.1)),
    ("jawOpen", (8,), (0.0, -28.2, -29.1)),
    ("jawOpen", (57,), (0.0, -35.1, -21.4)),
    ("mouthClose", (66,), (0.0, 38.2, 16.7)),
    ("mouthDimpleLeft", (54,), (0.8, 2.7, -6.0)),
    ("mouthFrownLeft", (54,), (1.9, -4.6, -1.8)),
    ("mouthFunnel", (57,), (0.0, -8.9, 4.2)),
    ("mouthFunnel", (51,), (0.0, 6.1, 7.0)),
    ("mouthLeft", (51,), (16.1, 0.8, -3.3)),
    ("mouthLowerDownLeft", (57,), (0.0, -3.3, -1.0)),
    ("mouthPressLeft", (8,), (0.0, 2.2, 1.3)),
    ("mouthPucker", (54,), (-4.6, 2.2, 9.8)),
    ("mouthRollLower", (57,), (0.0, 9.3, -4.6)),
    ("mouthRollUpper", (51,), (0.0, -5.5, -6.8)),
    ("mouthShrugLower", (57,), (0.0, 7.6, 5.2)),
    ("mouthShrugUpper", (51,), (0.0, 5.7, 0.3)),
    ("mouthSmileLeft", (54,), (7.1, 10.5, -9.1)),
    ("mouthStretchLeft", (54,), (6.6, -3.1, -7.0)),
    ("mouthUpperUpLeft", (35,), (1.7, 5.1, -1.4)),
    ("noseSneerLeft", (35,), (0.4, 6.3, 0.1)),
]


@pytest.mark.parametrize(("name", "landmarks", "expected"), MOTION)
def test_landmarks_move_like_a_real_head(
    head: TemplateMesh,
    name: str,
    landmarks: tuple[int, ...],
    expected: tuple[float, float, float],
) -> None:
    ids = head.landmarks68[list(landmarks)]
    moved = head.shapes[CHANNEL_INDEX[name]][ids].mean(0) * MM
    assert np.linalg.norm(moved - expected) <= 0.35 * np.linalg.norm(expected)


def test_landmarks_stand_where_they_should(head: TemplateMesh) -> None:
    p = head.vertices[head.landmarks68] * MM
    assert (np.diff(p[0:17, 0]) > 0).all()  # from the subject's right (-x) to the left
    assert (np.diff(p[17:27, 0]) > 0).all()
    assert (np.diff(p[27:31, 1]) < 0).all()
    assert (np.diff(p[31:36, 0]) > 0).all()
    assert p[39, 0] > p[36, 0]
    assert p[45, 0] > p[42, 0] > 0
    assert p[37, 1] > p[41, 1]
    assert p[43, 1] > p[47, 1]
    assert p[51, 1] > p[62, 1] >= p[66, 1] - 0.2 > p[57, 1]
    assert np.abs(p[[8, 27, 30, 33, 51, 57, 62, 66], 0]).max() < 0.01
    mirrored = p[[16, 26, 35, 45, 54, 64]] * MIRROR
    assert np.abs(mirrored - p[[0, 17, 31, 36, 48, 60]]).max() < 0.01
