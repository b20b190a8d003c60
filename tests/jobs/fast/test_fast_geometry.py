# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast engine's arithmetic against the plain way of doing it; no Blender."""

from __future__ import annotations

import numpy as np
import pytest

from render_jobs.fast.geometry import BLOCK, Light, Poser, srgb, srgb_table
from render_jobs.fast.mesh import cut_quads, plan_mesh

SIZE = 65
AHEAD = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, -3.0]])  # camera at y = -3


def ball(rings=9, around=12):
    """Points and faces (quads, triangles at the poles) of a unit ball."""
    angle = np.pi * (np.arange(1, rings) / rings)
    turn = 2 * np.pi * np.arange(around) / around
    rows = np.stack(
        [
            np.outer(np.sin(angle), np.cos(turn)),
            np.outer(np.sin(angle), np.sin(turn)),
            np.repeat(np.cos(angle)[:, None], around, 1),
        ],
        axis=-1,
    )
    points = np.vstack([rows.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    at = np.arange((rings - 1) * around).reshape(-1, around)
    right = np.roll(at, -1, axis=1)
    quads = np.stack([at[:-1], at[1:], right[1:], right[:-1]], axis=-1).reshape(-1, 4)
    top = np.stack([at[0], right[0], np.full(around, len(points) - 2), np.full(around, -1)], -1)
    low = np.stack([right[-1], at[-1], np.full(around, len(points) - 1), np.full(around, -1)], -1)
    faces = np.vstack([quads, top, low])
    return points.astype(np.float32), faces


def plan(points, faces, offsets=None, colours=None, smooth=None):
    offsets = np.zeros((52, *points.shape), np.float32) if offsets is None else offsets
    colours = np.full((len(faces), 4, 3), 0.5, np.float32) if colours is None else colours
    return plan_mesh(points, offsets, faces, colours, smooth)


def plain_light(value=1.0, shine=0.0):
    table = np.full((SIZE * SIZE, 3), value, np.float32)
    return Light(table, np.full_like(table, shine), SIZE)


def plain_normals(points, faces):
    """Angle-weighted vertex normals, face by face."""
    total = np.zeros(points.shape)
    for face in faces:
        ids = [v for v in face if v >= 0]
        at = points[ids].astype(float)
        flat = np.cross(at[2] - at[0], (at[3] if len(ids) == 4 else at[2]) - at[1])
        flat /= np.linalg.norm(flat)
        for place, vertex in enumerate(ids):
            one, two = at[place - 1] - at[place], at[(place + 1) % len(ids)] - at[place]
            cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
            total[vertex] += flat * np.arccos(np.clip(cosine, -1, 1))
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def test_normals_are_weighted_by_angle_as_blenders():
    points, faces = ball()
    points += np.random.default_rng(0).normal(0, 0.03, points.shape).astype(np.float32)
    mesh = plan(points, faces)
    poser = Poser(mesh, plain_light(), np.eye(4)[:3], ortho=True)
    found = poser.normals(poser.block(np.zeros((1, 52), np.float32))[0]).T
    assert np.abs(found - plain_normals(points, faces)[mesh.source]).max() < 1e-5


def test_points_follow_the_weights_in_the_cameras_axes():
    points, faces = ball()
    offsets = np.random.default_rng(1).normal(0, 0.1, (52, *points.shape)).astype(np.float32)
    mesh = plan(points, faces, offsets)
    weights = np.random.default_rng(2).random((BLOCK + 3, 52)).astype(np.float32)
    poser = Poser(mesh, plain_light(), AHEAD, ortho=False)
    moved = np.concatenate([poser.block(weights[:BLOCK]), poser.block(weights[BLOCK:])])
    world = points + np.einsum("fc,cvk->fvk", weights, offsets)
    wanted = np.stack([world[..., 0], world[..., 2], -world[..., 1] - 3.0], axis=1)
    assert np.abs(moved - wanted[:, :, mesh.source]).max() < 1e-4


def test_a_frame_doesnt_depend_on_its_company():
    points, faces = ball()
    offsets = np.random.default_rng(1).normal(0, 0.1, (52, *points.shape)).astype(np.float32)
    poser = Poser(plan(points, faces, offsets), plain_light(), AHEAD, ortho=False)
    weights = np.random.default_rng(2).random((BLOCK, 52)).astype(np.float32)
    alone = [poser.block(row[None])[0] for row in weights]
    assert np.array_equal(poser.block(weights)[0], alone[0])


def test_corners_of_equal_colour_are_drawn_as_one_vertex():
    points, faces = ball()
    colours = np.zeros((len(faces), 4, 3), np.float32)
    half = points[faces[:, 0], 0] > 0
    colours[half] = 1.0
    mesh = plan(points, faces, colours=colours)
    border = len(set(faces[half].ravel()) & set(faces[~half].ravel()) - {-1})
    assert len(mesh.drawn) == len(points) + border
    assert mesh.rest.shape[1] == len(points)


def test_a_flat_face_has_its_own_normal_and_gives_none_to_its_neighbours():
    points, faces = ball()
    smooth = np.ones(len(faces), bool)
    smooth[4] = False
    mesh = plan(points, faces, smooth=smooth)
    assert mesh.rest.shape[1] == len(points) + 4
    poser = Poser(mesh, plain_light(), np.eye(4)[:3], ortho=True)
    normals = poser.normals(poser.block(np.zeros((1, 52), np.float32))[0]).T
    at = points[faces[4]].astype(float)
    flat = np.cross(at[2] - at[0], at[3] - at[1])
    own = mesh.quads[:, 4]
    assert np.abs(normals[own] - flat / np.linalg.norm(flat)).max() < 1e-5
    rest = plain_normals(points, faces[smooth])
    others = np.setdiff1d(np.arange(len(normals)), own)
    assert np.abs(normals[others] - rest[mesh.source[others]]).max() < 1e-5


def test_hollow_quads_are_cut_the_other_way():
    points = np.array([[0, 0, 0], [2, -1, 0], [0.5, 0, 0], [2, 1, 0]], np.float32)
    quads, is_triangle = np.array([[0, 1, 2, 3]]), np.array([False])
    triangles, _ = cut_quads(points, quads, is_triangle)
    assert sorted(map(tuple, np.sort(triangles, axis=1))) == [(0, 1, 2), (0, 2, 3)]
    triangles, _ = cut_quads(points, np.array([[1, 2, 3, 0]]), is_triangle)
    assert sorted(map(tuple, np.sort(triangles, axis=1))) == [(0, 1, 3), (1, 2, 3)]


@pytest.mark.parametrize("ortho", [True, False])
def test_light_is_looked_up_by_the_normal_as_the_eye_sees_it(ortho):
    """A table that tells its own place: a ball straight ahead shows it the right way round."""
    place = np.linspace(-1, 1, SIZE)
    across, up = np.meshgrid(place, place)
    table = np.stack([across, up, 0 * up], axis=-1).reshape(-1, 3) * 0.5 + 0.5
    light = Light(table.astype(np.float32), np.zeros_like(table, np.float32), SIZE)
    points, faces = ball(17, 24)
    mesh = plan(points, faces, colours=np.ones((len(faces), 4, 3), np.float32))
    far = AHEAD.copy()
    far[2, 3] = -300.0  # so far away that both kinds of camera see the same
    poser = Poser(mesh, light, far, ortho)
    shown = poser.block(np.zeros((1, 52), np.float32))[0]
    front, back = (np.full((len(mesh.drawn), 4), 255, np.uint8) for _ in range(2))
    normals = poser.normals(shown)
    poser.colours(shown, normals, front, back)
    for side, found in ((1.0, front), (-1.0, back)):
        wanted = srgb(side * normals[:2].T * 0.5 + 0.5)[mesh.drawn] * 255
        bright = wanted.min(axis=1) > 60  # the curve is steep where it is dark
        assert bright.sum() > 200
        assert np.abs(found[:, :2] - wanted)[bright].max() < 6
    assert (front[:, 3] == 255).all()


def test_srgb_is_the_standard_curve():
    assert srgb(np.array([0.0, 0.0031308, 0.214, 1.0, 7.0])) == pytest.approx(
        [0.0, 0.04045, 0.5, 1.0, 1.0], abs=1e-3
    )
    table = srgb_table()
    assert (table[0], table[-1]) == (0, 255)
    assert (np.diff(table.astype(int)) >= 0).all()
