# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head: one build -> checks of its arrays, parts, openings, symmetry and names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from head_tools import (
    MIRROR,
    MM,
    SKIN,
    Array,
    directed_edges,
    part_polygons,
    part_vertices,
    the_head,
)

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from templates.head.build import build_head
from templates.head.parts import TUFTS
from templates.mesh import TemplateMesh, check_mesh


@pytest.fixture(scope="module")
def head() -> TemplateMesh:
    return the_head()


def mirror_ids(points: Array) -> npt.NDArray[np.int64]:
    """For each vertex the vertex at its mirror image; fails where there is none."""
    key = np.round(points * 1e7).astype(np.int64)
    table: dict[tuple[int, ...], list[int]] = {}
    for i, k in enumerate(map(tuple, key)):
        table.setdefault(k, []).append(i)
    return np.array([table[(-k[0], k[1], k[2])][0] for k in map(tuple, key)])


def pieces(edges: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.int64]:
    """A number for each vertex, the same for vertices that edges connect."""
    label = np.arange(count)
    while True:
        low = np.minimum(label[edges[:, 0]], label[edges[:, 1]])
        new = label.copy()
        np.minimum.at(new, edges[:, 0], low)
        np.minimum.at(new, edges[:, 1], low)
        new = new[new]
        if (new == label).all():
            return label
        label = new


def test_arrays_are_well_formed(head: TemplateMesh) -> None:
    check_mesh(head, "the head")
    count = len(head.vertices)
    assert 6000 <= count <= 15000
    assert head.vertices.dtype == head.shapes.dtype == np.float32
    assert head.shapes.shape == (52, count, 3)
    assert (head.polygons[:, 3] >= 0).mean() > 0.95
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
    sided = {
        f"{n}_{s}"
        for n in ("sclera", "iris", "pupil", "glint", "brow", "lashes", "caruncle")
        for s in "LR"
    }
    single = {"face", "lips", "mouth_bag", "teeth_upper", "teeth_lower", "gums", "tongue", "hair"}
    assert set(head.part_names) == single | sided
    left = head.vertices[part_vertices(head, "iris_L")]
    assert left[:, 0].min() > 0  # _L is the subject's left, +x
    assert 0.012 <= np.ptp(left[:, 0]) <= 0.014  # an iris has 12 mm; ours is a bit larger


def test_lids_rest_on_the_iris(head: TemplateMesh) -> None:
    iris = head.vertices[part_vertices(head, "iris_L")] * MM
    lid = head.vertices[head.landmarks68] * MM
    covered_above = iris[:, 1].max() - lid[[43, 44], 1].mean()
    covered_below = lid[[46, 47], 1].mean() - iris[:, 1].min()
    assert 0.5 < covered_above < 3.0
    assert 0.0 < covered_below < 2.0


def test_face_is_one_connected_surface(head: TemplateMesh) -> None:
    edges, _ = directed_edges(part_polygons(head, *SKIN))
    label = pieces(edges, len(head.vertices))
    assert len(np.unique(label[np.unique(edges)])) == 1


# Where the surface ends: what it is -> the parts that make one surface, how many rims it has.
OPENINGS = {
    "neck, and behind either lid": (("face", "lips", "mouth_bag"), 3),
    "under the hair": (("hair",), 1),
    "around the pupil": (("pupil_L", "pupil_R"), 2),
    "around the iris, and the pupil's hole": (("iris_L", "iris_R"), 4),
    "the iris' hole, and the back of the eyeball": (("sclera_L", "sclera_R"), 4),
    "the light in the eye is a disc": (("glint_L", "glint_R"), 2),
    "both ends of the flesh in the corner": (("caruncle_L", "caruncle_R"), 4),
    "a brow is made of tufts on a ground": (("brow_L", "brow_R"), 2 * (TUFTS + 1)),
    "lashes are a sheet": (("lashes_L", "lashes_R"), 2),
    "back of the upper teeth": (("teeth_upper",), 1),
    "back of the lower teeth": (("teeth_lower",), 1),
    "back of the gums": (("gums",), 2),
    "root of the tongue": (("tongue",), 1),
}


def test_surface_is_manifold_but_for_its_declared_openings(head: TemplateMesh) -> None:
    edges, _ = directed_edges(head.polygons)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert uses.max() == 1  # at most two faces at an edge, and neighbours turn the same way
    for name, (parts, loops) in OPENINGS.items():
        own, _ = directed_edges(part_polygons(head, *parts))
        there = {(int(a), int(b)) for a, b in own}
        rims = np.array([(a, b) for a, b in there if (b, a) not in there]).reshape(-1, 2)
        assert len(np.unique(rims[:, 0])) == len(rims), name  # rims don't touch one another
        label = pieces(rims.astype(np.int32), len(head.vertices))
        found = len(np.unique(label[np.unique(rims)]))
        assert found == loops, f"{name}: {found} rims, {loops} declared"
    assert {p for parts, _ in OPENINGS.values() for p in parts} == set(head.part_names)


def test_neutral_and_shape_pairs_are_mirror_symmetric(head: TemplateMesh) -> None:
    twin = mirror_ids(head.vertices.astype(np.float64))
    assert np.abs(head.vertices[twin] * MIRROR - head.vertices).max() <= 1e-6
    # Vertices that coincide (upper on lower lip at a corner) may swap twins: compare fields there.
    unique = twin[twin] == np.arange(len(twin))
    assert unique.mean() > 0.98
    assert np.abs(head.tint[twin] - head.tint)[unique].max() <= 1e-6
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
        assert size[x >= 0].max() == size.max()


@pytest.mark.parametrize("name", ARKIT_52)
def test_hair_skull_and_shoulders_stay_where_they_are(head: TemplateMesh, name: str) -> None:
    size = np.linalg.norm(head.shapes[CHANNEL_INDEX[name]], axis=1) * MM
    assert size[part_vertices(head, "hair", "teeth_upper")].max() == 0
    assert size[head.vertices[:, 1] * MM < -160].max() <= 0.5
    assert size[head.vertices[:, 2] * MM < -40].max() <= 0.5


def test_build_is_deterministic(head: TemplateMesh) -> None:
    again = build_head()
    for field in ("vertices", "shapes", "polygons", "uv", "tint", "aperture_pairs"):
        assert np.array_equal(getattr(again, field), getattr(head, field)), field


def test_texture_tint_and_groups(head: TemplateMesh) -> None:
    assert head.uv.shape == (len(head.polygons), 4, 2)
    assert head.uv.min() >= 0
    assert head.uv.max() <= 1
    real = head.polygons[:, 3] >= 0
    skin = np.isin(head.polygon_part, [head.part_names.index(n) for n in ("face", "hair")]) & real
    width = np.ptp(head.uv[skin][..., 0], axis=1)
    assert np.median(width) < 0.02
    assert (width > 0.4).mean() < 0.002  # only around the crown does a face span the texture
    assert head.tint.shape == head.vertices.shape
    assert head.tint.min() > 0
    assert head.tint.max() < 4
    wanted = {"lips", "upper_lip", "lower_lip", "eye_L", "eye_R", "brow_L", "brow_R", "jaw"}
    assert wanted <= set(head.vertex_groups)
    for name, ids in head.vertex_groups.items():
        assert (np.diff(ids) > 0).all(), name
        assert len(ids) > 20, name
    assert np.array_equal(head.vertex_groups["lips"], head.lips)
    pairs = head.vertices[head.aperture_pairs] * MM
    assert np.abs(pairs[:, 0] - pairs[:, 1]).max() < 0.3
    assert (np.diff(pairs[:, 0, 0]) > 0).all()  # from the right corner to the left


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
    assert p[30, 2] > p[51, 2]  # the tip of the nose is the foremost
    for above, below in ((27, 30), (30, 33), (33, 51), (57, 8)):
        assert p[above, 1] > p[below, 1]
