# SPDX-License-Identifier: GPL-3.0-or-later
"""How the head moves to speech: seeded, gentle, still at both ends; and what of a head moves."""

from __future__ import annotations

import numpy as np
import pytest

from exomni_core.arkit import CHANNEL_INDEX
from render_jobs.fast.geometry import Light, Poser
from render_jobs.fast.mesh import plan_mesh
from render_jobs.stage.head_motion import (
    Neck,
    find_neck,
    plan_head_motion,
    rotations,
    speech_energy,
)

RATE, FPS = 16_000, 30.0


def speech(seconds=6.0):
    """Syllables at 3 per second with a pause in the middle."""
    time = np.arange(round(seconds * RATE)) / RATE
    syllables = np.maximum(np.sin(2 * np.pi * 3 * time), 0) * (np.abs(time - seconds / 2) > 0.5)
    return syllables * np.random.default_rng(0).normal(0, 0.2, len(time))


def motion(seed=1, strength=1.0, seconds=6.0):
    return plan_head_motion(speech(seconds), RATE, seed, round(seconds * FPS), FPS, strength)


def test_the_seed_decides_and_strength_scales():
    assert np.array_equal(motion(), motion())
    assert not np.array_equal(motion(), motion(seed=2))
    assert np.allclose(motion(strength=0.5), 0.5 * motion(), atol=1e-7)
    assert not motion(strength=0.0).any()


@pytest.mark.parametrize("seed", range(8))
def test_it_is_gentle_smooth_and_still_at_both_ends(seed):
    degrees = np.rad2deg(motion(seed))
    assert 2.0 < np.abs(degrees).max() < 15.0
    assert np.abs(np.diff(degrees, axis=0)).max() * FPS < 60.0  # degrees per second
    assert np.abs(degrees[[0, -1]]).max() < 1e-4


def test_it_moves_less_while_nobody_speaks():
    silent = plan_head_motion(np.zeros(6 * RATE), RATE, 1, 180, FPS, 1.0)
    assert np.abs(silent).mean() < 0.6 * np.abs(motion()).mean()
    assert silent.any()  # alive all the same


def test_energy_follows_the_sound():
    loud = speech_energy(speech(), RATE, 180, FPS)
    assert loud.shape == (180,)
    assert loud[80:100].max() < 0.1  # the pause
    assert loud[:60].max() == 1.0
    assert not speech_energy(np.zeros(RATE), RATE, 30, FPS).any()


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_the_shortest_clips_are_no_trouble(frames):
    moved = plan_head_motion(np.ones(frames * 500), RATE, 0, frames, FPS, 1.0)
    assert moved.shape == (frames, 3)
    assert np.isfinite(moved).all()


def test_signs_are_as_said():
    """The nose of a face along -y goes down, to the subject's left (+x); the top to the left."""
    nod, turn, tilt = rotations(np.diag([0.1, 0.1, 0.1]).astype(np.float32))
    nose, top = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    assert (nod @ nose)[2] < -0.09
    assert (turn @ nose)[0] > 0.09
    assert (tilt @ top)[0] > 0.09


def head():
    """A column of points: shoulders at 0, chin at 0.2, top at 0.4."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-0.08, -0.1, 0.0], [0.08, 0.1, 0.4], (500, 3)).astype(np.float32)
    offsets = np.zeros((52, 500, 3), np.float32)
    jaw = (points[:, 2] > 0.2) & (points[:, 2] < 0.25)
    offsets[CHANNEL_INDEX["jawOpen"], jaw, 2] = -0.02
    return points, offsets


def test_the_head_turns_and_the_shoulders_stay():
    points, offsets = head()
    neck = find_neck(points, offsets)
    assert (neck.share[points[:, 2] > 0.21] > 0.99).all()
    assert (neck.share[points[:, 2] < 0.1] == 0).all()
    order = np.argsort(points[:, 2])
    assert (np.diff(neck.share[order]) >= 0).all()
    assert 0.1 < neck.pivot[2] < 0.2
    assert neck.pivot[1] > np.median(points[:, 1])


def test_posed_points_turn_about_the_neck_in_any_cameras_axes():
    points, offsets = head()
    faces = np.arange(500).reshape(-1, 4)
    mesh = plan_mesh(points, offsets, faces, np.ones((125, 4, 3), np.float32))
    table = np.ones((9, 3), np.float32)
    camera = np.hstack(
        [np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0], [[1], [2], [3]]]
    )
    poser = Poser(mesh, Light(table, table, 3), camera, ortho=False)
    pivot = np.array([0.01, 0.02, 0.15])
    poser.set_neck(Neck(pivot, np.ones(500, np.float32)))
    shown = poser.turned(poser.block(np.zeros((1, 52), np.float32)), np.array([[0.1, -0.2, 0.05]]))
    world = (points - pivot) @ rotations(np.array([[0.1, -0.2, 0.05]]))[0].T + pivot
    wanted = world @ camera[:, :3].T + camera[:, 3]
    assert np.abs(shown[0].T - wanted[mesh.source]).max() < 1e-5
