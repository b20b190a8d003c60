# SPDX-License-Identifier: GPL-3.0-or-later
"""The optional parts of a template's mesh: UVs, tint, vertex groups and aperture pairs."""

from dataclasses import replace

import numpy as np
import pytest
from bpy_scripts.samples import tiny_mesh

from exomni_core.errors import InputError
from templates.mesh import check_mesh, mesh_from_npz, save_npz


def full_mesh(**changes):
    fields = {
        "uv": np.linspace(0, 1, 16, dtype=np.float32).reshape(2, 4, 2),
        "tint": np.full((8, 3), 0.5, np.float32),
        "vertex_groups": {
            "lips": np.array([1, 2], np.int32),
            "eye_L": np.array([7], np.int32),
        },
        "aperture_pairs": np.array([[0, 4], [1, 5]], np.int32),
    }
    return replace(tiny_mesh(), **(fields | changes))


def test_extras_are_kept_and_have_the_same_bytes(tmp_path):
    mesh = full_mesh()
    turned = full_mesh(vertex_groups=dict(reversed(mesh.vertex_groups.items())))
    save_npz(mesh, tmp_path / "a.npz")
    save_npz(turned, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = mesh_from_npz(tmp_path / "a.npz")
    for name in ("uv", "tint", "aperture_pairs"):
        assert np.array_equal(getattr(again, name), getattr(mesh, name)), name
        assert getattr(again, name).dtype == getattr(mesh, name).dtype
    assert {k: v.tolist() for k, v in again.vertex_groups.items()} == {
        "eye_L": [7],
        "lips": [1, 2],
    }


def test_uv_may_be_a_list_and_an_index_for_each_corner(tmp_path):
    save_npz(tiny_mesh(), tmp_path / "a.npz")
    arrays = dict(np.load(tmp_path / "a.npz"))
    points = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    corners = np.array([[0, 1, 2, -1], [3, 2, 1, 0]])
    np.savez(tmp_path / "b.npz", **arrays, uv=points, quad_uv=corners)
    mesh = mesh_from_npz(tmp_path / "b.npz")
    assert np.array_equal(mesh.uv[1], points[[3, 2, 1, 0]])
    np.savez(tmp_path / "c.npz", **arrays, uv=points, quad_uv=corners + 1)
    with pytest.raises(InputError, match=r"c\.npz: quad_uv names texture points"):
        mesh_from_npz(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"uv": np.zeros((1, 4, 2), np.float32)}, r"uv must hold .* \(2, 4, 2\)"),
        ({"tint": np.zeros((7, 3), np.float32)}, r"tint must hold .* \(8, 3\)"),
        ({"tint": np.full((8, 3), np.nan, np.float32)}, "tint must hold finite"),
        ({"tint": np.full((8, 3), -1, np.float32)}, "tint must not be negative"),
        ({"vertex_groups": {"eye_L": np.array([8])}}, "'eye_L' names vertices outside 0 to 7"),
        ({"aperture_pairs": np.array([[0, 9]])}, "aperture_pairs names vertices outside"),
    ],
)
def test_each_fault_of_the_extras_is_a_sentence(changes, words):
    with pytest.raises(InputError, match=words):
        check_mesh(full_mesh(**changes), "x.npz")
