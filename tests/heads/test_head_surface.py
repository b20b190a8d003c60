# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head in every shape and in speech -> no face turns over, nothing sticks out.

A face has turned over if its normal points against the mean of its neighbours' normals: that is
what is seen as a dark spot or a spike, however far the surface as a whole has turned. Beside that
no face may turn by more than 105 degrees, but for the ones in MAY_TURN.
"""

from __future__ import annotations

import numpy as np
import pytest
from head_tools import (
    SKIN,
    SPEECH,
    Array,
    Bools,
    Ints,
    directed_edges,
    part_polygons,
    pose,
    posed,
    random_frames,
    row,
    spoken_frames,
    the_head,
    unit_normals,
)

from exomni_core.arkit import ARKIT_52
from templates.mesh import TemplateMesh

# Shapes whose lips roll in or are pushed over the upper lip: there the red turns by a right angle
# and more, as it does on a real mouth. (mouthClose is made for an open jaw.)
MAY_TURN = ("mouthRollUpper", "mouthRollLower", "mouthClose", "mouthPress", "mouthShrug")
TURNED = np.cos(np.deg2rad(105))


class Surface:
    """Skin, lips and bag of the head with what a turned face is recognised by."""

    def __init__(self, head: TemplateMesh) -> None:
        self.head = head
        self.polygons: Ints = part_polygons(head, *SKIN)
        names = np.array(head.part_names)[head.polygon_part]
        self.part = names[np.isin(names, SKIN)]
        edges, owner = directed_edges(self.polygons)
        count = len(head.vertices)
        key = edges.astype(np.int64) @ np.array([count, 1])
        back = edges.astype(np.int64) @ np.array([1, count])
        order = np.argsort(key)
        place = np.minimum(np.searchsorted(key[order], back), len(key) - 1)
        match = key[order][place] == back
        self.one, self.other = owner[match], owner[order[place[match]]]
        self.rest = unit_normals(pose(head), self.polygons)
        lids = np.isin(self.polygons, head.vertex_groups["inside_lids"]) | (self.polygons < 0)
        # In the very corner of the mouth, where both lips join, a face is drawn out by the jaw.
        corners = pose(head)[head.landmarks68[[60, 64]]]
        middle = pose(head)[self.polygons[:, :3]].mean(1)
        apart = np.linalg.norm(middle[:, None] - corners[None], axis=-1).min(1)
        self.corner: Bools = (self.part == "lips") & (apart < 2.5)
        self.hidden: Bools = lids.all(1) | (self.part == "mouth_bag")

    def against(self, normals: Array) -> Bools:
        """Faces whose normal points against their neighbours'."""
        mean = np.zeros_like(normals)
        np.add.at(mean, self.one, normals[self.other])
        return (normals * mean).sum(1) < 0

    def turned_over(self, points: Array) -> tuple[Bools, Bools]:
        """Faces that turned against their neighbours, and that turned far from their rest."""
        normals = unit_normals(points, self.polygons)
        return self.against(normals), (normals * self.rest).sum(1) < TURNED


@pytest.fixture(scope="module")
def surface() -> Surface:
    return Surface(the_head())


def check(surface: Surface, points: Array, lips_may_turn: bool, what: str) -> None:
    against, far = surface.turned_over(points)
    assert not against.any(), f"{what}: {np.flatnonzero(against)[:5]} turned over"
    excused = surface.hidden | surface.corner | ((surface.part == "lips") & lips_may_turn)
    if lips_may_turn:  # the skin that goes along with a lip that rolls in
        excused |= np.isin(surface.polygons, surface.head.lips).any(1)
    assert not (far & ~excused).any(), f"{what}: {np.flatnonzero(far & ~excused)[:5]} turned far"


def test_no_face_is_turned_at_rest(surface: Surface) -> None:
    assert not surface.against(surface.rest).any()


@pytest.mark.parametrize("name", ARKIT_52)
def test_no_face_turns_over_in_any_shape(surface: Surface, name: str) -> None:
    for weight in (0.5, 1.0):
        points = pose(surface.head, **{name: weight})
        check(surface, points, name.startswith(MAY_TURN), f"{name} {weight}")


@pytest.mark.parametrize("weights", SPEECH, ids=lambda w: "+".join(w))
def test_no_face_turns_over_in_speech_poses(surface: Surface, weights: dict[str, float]) -> None:
    rolls = any(name.startswith(MAY_TURN) for name in weights)
    check(surface, posed(surface.head, row(weights)), rolls, "pose")


def test_no_face_turns_over_in_spoken_frames(surface: Surface) -> None:
    frames = spoken_frames()
    assert len(frames) > 80
    for k, frame in enumerate(frames):
        check(surface, posed(surface.head, frame), True, f"spoken frame {k}")


def test_no_face_turns_over_in_200_random_frames(surface: Surface) -> None:
    for k, frame in enumerate(random_frames(200, 7)):
        check(surface, posed(surface.head, frame), True, f"random frame {k}")


def test_no_spikes(surface: Surface) -> None:
    """No edge of the skin grows out of proportion: a vertex left behind would draw a spike."""
    edges, _ = directed_edges(surface.polygons)
    rest = pose(surface.head)
    length = np.linalg.norm(rest[edges[:, 0]] - rest[edges[:, 1]], axis=1)
    frames = [*random_frames(20, 11), *spoken_frames()[::12], *(row(w) for w in SPEECH)]
    for frame in frames:
        points = posed(surface.head, frame)
        now = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
        assert (now - length).max() < 12.0
        assert (now / (length + 1.5)).max() < 4.0
