# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates: bundled, from a folder, from a bare file; and each way in which one can be wrong."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from bpy_scripts.samples import ICT_NPZ, tiny_descriptor, tiny_mesh, tiny_template

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.storage.npz import read_arrays
from templates.library import (
    display_unit,
    find_template,
    list_templates,
    load_mesh,
    template_hash,
    unit_in_metres,
)
from templates.mesh import TemplateMesh, axes_matrix, mesh_from_npz, save_npz

needs_ict = pytest.mark.skipif(not ICT_NPZ.is_file(), reason=f"{ICT_NPZ} is not here")


def head_arrays(**changes):
    """A right npz's arrays: a pyramid whose shape k moves vertex 0 by k + 1 along x."""
    shapes = np.zeros((52, 5, 3), np.float32)
    shapes[:, 0, 0] = np.arange(1, 53)
    arrays = {
        "meanshape": np.array(
            [[0, 0.3, 0], [0.1, 0, 0.1], [0.1, 0, -0.1], [-0.1, 0, -0.1], [-0.1, 0, 0.1]],
            np.float32,
        ),
        "blendshape": shapes,
        "bs_names": np.array(ARKIT_52),
        "faces": np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1]], np.int32),
        **changes,
    }
    return {name: value for name, value in arrays.items() if value is not None}


def write_head(path, **changes):
    np.savez(path, **head_arrays(**changes))
    return path


def test_bundled_templates_are_listed():
    assert [t.name for t in list_templates()] == ["emotalk", "head"]
    assert all(t.title and t.licence and t.source for t in list_templates())


def test_built_in_head_loads_and_moves():
    template = find_template("head")
    mesh = load_mesh(template)
    assert mesh.shapes.shape == (52, len(mesh.vertices), 3)
    height = np.ptp(mesh.vertices[:, 1]) * unit_in_metres(template, mesh)
    assert 0.15 < height < 0.5
    assert all(shape.any() for shape in mesh.shapes)
    assert template_hash(template) == template_hash(find_template("head"))


@needs_ict
def test_bare_ict_file_gets_names_and_centimetres():
    template = find_template(ICT_NPZ)
    mesh = load_mesh(template)
    assert unit_in_metres(template, mesh) == 0.01
    assert mesh.missing_shapes == ("tongueOut",)
    assert mesh.vertices.shape == (24591, 3)
    assert len(mesh.part_names) == 15
    jaw = mesh.shapes[CHANNEL_INDEX["jawOpen"], mesh.lower_lip]
    assert jaw[:, 1].mean() < -1  # centimetres, downwards


def test_shapes_are_put_in_order_by_name(tmp_path):
    names = np.array([name.encode() for name in LIVE_LINK_52])  # bytes, as some exporters write
    mesh = mesh_from_npz(write_head(tmp_path / "a.npz", bs_names=names))
    for place, name in enumerate(LIVE_LINK_52):
        assert mesh.shapes[CHANNEL_INDEX[name], 0, 0] == place + 1
    assert mesh.missing_shapes == ()


def test_unknown_shapes_are_left_out_and_missing_ones_listed(tmp_path):
    names = list(ARKIT_52)
    names[CHANNEL_INDEX["tongueOut"]] = "cheekRaiserLeft"
    mesh = mesh_from_npz(write_head(tmp_path / "a.npz", bs_names=np.array(names)))
    assert mesh.missing_shapes == ("tongueOut",)
    assert not mesh.shapes[CHANNEL_INDEX["tongueOut"]].any()


def test_file_without_names_needs_its_order_said(tmp_path):
    path = write_head(tmp_path / "a.npz", bs_names=None)
    with pytest.raises(InputError, match="channel_order"):
        mesh_from_npz(path)
    mesh = mesh_from_npz(path, channel_order="live_link")
    assert mesh.shapes[CHANNEL_INDEX["eyeBlinkLeft"], 0, 0] == 1


def test_faces_that_count_from_one(tmp_path):
    faces = head_arrays()["faces"] + 1
    path = write_head(tmp_path / "a.npz", faces=faces)
    with pytest.raises(InputError, match=r"count from 1.*ids_from"):
        mesh_from_npz(path)
    for said in (1, "auto"):
        mesh = mesh_from_npz(path, ids_from=said)
        assert np.array_equal(mesh.polygons[:, :3], faces - 1)
        assert (mesh.polygons[:, 3] == -1).all()


_SHORT = np.zeros((52, 4, 3), np.float32)
_NAN = np.full((52, 5, 3), np.nan, np.float32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"meanshape": None}, "no array 'meanshape'"),
        ({"blendshape": None}, "no array 'blendshape'"),
        ({"faces": None}, "faces of shape"),
        ({"meanshape": np.zeros((5, 2))}, "must be \\(V, 3\\)"),
        ({"meanshape": np.array([["a"] * 3] * 5)}, "numbers"),
        ({"blendshape": _SHORT}, "one offset for each vertex"),
        ({"blendshape": _NAN}, "not finite"),
        ({"blendshape": np.zeros((52, 5, 3))}, "can't move"),
        ({"bs_names": np.array(ARKIT_52[:-1])}, "52 blendshapes but 51 names"),
        ({"bs_names": np.array([f"x{i}" for i in range(52)])}, "none of its blendshapes"),
        ({"bs_names": np.array(["JawOpen", *ARKIT_52[1:]])}, "jawOpen stands twice"),
        ({"faces": np.array([[0, 1, 9]])}, "name vertices 0 to 9, but there are 5"),
        ({"faces": np.array([[0, -2, 1]])}, "name vertices"),
        ({"faces": np.array([[0.5, 1, 2]])}, "whole numbers"),
        ({"faces": np.zeros((0, 3), int)}, "faces of shape"),
        ({"lips": np.array([77])}, "lips names vertices outside"),
        ({"lips": np.array([0.5])}, "list of vertex ids"),
        ({"tri_part": np.array([0]), "part_names": np.array(["a"])}, "for each face"),
        ({"tri_part": np.full(4, 3), "part_names": np.array(["a"])}, "parts don't fit"),
        ({"tri_part": np.full(4, 300), "part_names": np.array(["a"])}, "256 parts"),
    ],
)
def test_each_fault_of_an_npz_is_a_sentence(changes, words, tmp_path):
    with pytest.raises(InputError, match=words) as caught:
        mesh_from_npz(write_head(tmp_path / "bad.npz", **changes))
    assert "bad.npz" in str(caught.value)


def test_pickles_damage_and_size_are_refused(tmp_path):
    objects = write_head(tmp_path / "pickle.npz", lips=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="plain arrays"):
        mesh_from_npz(objects)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(write_head(tmp_path / "whole.npz").read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cut\.npz can't be read"):
        mesh_from_npz(cut)
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meanshape.npy", bytes(2 << 20))
    assert bomb.stat().st_size < 1 << 14
    with pytest.raises(InputError, match="would take 2 MB; 1 MB"):
        read_arrays(bomb, 1 << 20)
    hostile = tmp_path / "header.npz"
    with zipfile.ZipFile(hostile, "w") as archive:
        head = io.BytesIO()
        asked = {"descr": "<f8", "fortran_order": False, "shape": (1 << 44,)}
        np.lib.format.write_array_header_1_0(head, asked)
        archive.writestr("meanshape.npy", head.getvalue())
    with pytest.raises(InputError, match="plain arrays"):
        mesh_from_npz(hostile)


def test_axes_are_turned():
    # A file with z up that looks along -y, as Blender has it: x stays the subject's left.
    turn = axes_matrix("+Z", "-Y")
    assert np.array_equal(turn @ [1, 2, 3], [1, 3, -2])
    with pytest.raises(InputError, match="is not an axis"):
        axes_matrix("Z", "+Y")
    with pytest.raises(InputError, match="one axis"):
        axes_matrix("+Z", "-Z")


def test_saved_mesh_is_read_back_and_has_the_same_bytes(tmp_path):
    mesh = tiny_mesh()
    save_npz(mesh, tmp_path / "a.npz")
    save_npz(mesh, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = mesh_from_npz(tmp_path / "a.npz")
    for name in TemplateMesh.__dataclass_fields__:
        assert np.array_equal(getattr(mesh, name), getattr(again, name)), name


def test_folder_and_hash(tmp_path):
    folder = tiny_template(tmp_path / "one")
    template = find_template(folder)
    assert template.name == "tiny"
    first = template_hash(template)
    assert first == template_hash(find_template(tiny_template(tmp_path / "two")))  # not by place
    recoloured = tiny_template(tmp_path / "one", part_colours={"plate": [0, 0, 1]})
    assert template_hash(find_template(recoloured)) != first
    tiny_template(tmp_path / "one")
    save_npz(replace(tiny_mesh(), lips=np.array([1], np.int32)), folder / "tiny.npz")
    assert template_hash(find_template(folder)) != first


def test_lips_from_a_file_of_their_own(tmp_path):
    folder = tiny_template(tmp_path / "t", lips="lips.npy")
    np.save(folder / "lips.npy", np.array([3, 1]))
    template = find_template(folder)
    assert load_mesh(template).lips.tolist() == [3, 1]
    before = template_hash(template)
    np.save(folder / "lips.npy", np.array([99]))
    assert template_hash(template) != before
    with pytest.raises(InputError, match="lips names vertices outside"):
        load_mesh(template)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": 1}, "unknown field 'colour'"),
        ({"camera": {"zoom": 2}}, r"unknown field 'camera\.zoom'"),
        ({"look": 3}, "look must be an object"),
        ({"schema_version": 2}, "newer version"),
        ({"schema_version": "1"}, "schema_version"),
        ({"unit_m": -1}, "unit_m must be"),
        ({"camera": {"lens_mm": "wide"}}, r"camera\.lens_mm must be"),
        ({"camera": {"location": [1, 2]}}, r"camera\.location must be"),
        ({"camera": {"crop_below": 2}}, r"camera\.crop_below must be"),
        ({"part_colours": {"plate": [1, 2]}}, r"part_colours\.plate must be"),
        ({"samples": {"luxrender": 4}}, r"samples\.luxrender must be under one of eevee, cycles"),
        ({"up": "+W"}, "is not an axis"),
        ({"title": 7}, "title must be a text, not 7"),
    ],
)
def test_each_fault_of_a_descriptor_names_file_and_key(changes, words, tmp_path):
    with pytest.raises(InputError, match=words) as caught:
        find_template(tiny_template(tmp_path / "t", **changes))
    assert "template.json" in str(caught.value) or words == "is not an axis"


def test_descriptor_without_a_needed_key(tmp_path):
    folder = tiny_template(tmp_path / "t")
    data = tiny_descriptor()
    del data["licence"]
    (folder / "template.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="lacks licence, a text"):
        find_template(folder)
    (folder / "template.json").write_text("{")
    with pytest.raises(InputError, match="broken JSON"):
        find_template(folder)


def test_colour_for_an_unknown_part(tmp_path):
    folder = tiny_template(tmp_path / "t", part_colours={"nose": [1, 1, 1]})
    with pytest.raises(InputError, match=r"nose, but the mesh has the parts plate, flap"):
        load_mesh(find_template(folder))


def test_foreign_descriptor_can_not_choose_code(tmp_path):
    for builder in ("os:getcwd", "templates.head.build:build_head"):
        template = find_template(tiny_template(tmp_path / "t", mesh={"builder": builder}))
        with pytest.raises(InputError, match="only bundled templates"):
            load_mesh(template)


def test_the_hash_of_the_built_in_head_is_what_finished_videos_name():
    """Where the head itself changes, this number does too; nothing else may change it."""
    known = "c41bab8478e5fa341b82664e02468806a1d192a2aa5e1455eba091f2f32c4007"
    assert template_hash(find_template("head")) == known


def test_unknown_template_names_the_choices(tmp_path, monkeypatch):
    monkeypatch.setenv("EXOMNI_TEMPLATES", str(tmp_path / "none"))
    with pytest.raises(InputError, match="use emotalk, head, or the path") as caught:
        find_template("hed")
    assert caught.value.field == "template"
    (tmp_path / "x.obj").write_text("v 0 0 0")
    with pytest.raises(InputError, match="is not a template"):
        find_template(tmp_path / "x.obj")


def test_unit_is_guessed_or_refused(tmp_path):
    for scale, unit in ((1, 1.0), (100, 0.01), (1000, 0.001)):
        mean = head_arrays()["meanshape"] * scale
        template = find_template(write_head(tmp_path / f"{scale}.npz", meanshape=mean))
        assert unit_in_metres(template, load_mesh(template)) == unit
    mean = head_arrays()["meanshape"] * 10  # a unit box or decimetres: who knows
    template = find_template(write_head(tmp_path / "odd.npz", meanshape=mean))
    with pytest.raises(InputError, match="unit_m"):
        unit_in_metres(template, load_mesh(template))
    assert display_unit(template, load_mesh(template)) == pytest.approx(0.1)


def test_emotalk_says_what_to_fetch(monkeypatch, tmp_path):
    monkeypatch.delenv("EXOMNI_EMOTALK", raising=False)
    with pytest.raises(EnvironmentProblem) as caught:
        find_template("emotalk")
    words = ("EmoTalk.npz", "EmoTalk_release", "non-commercial", "--template", "EXOMNI_EMOTALK")
    assert all(word in str(caught.value) for word in words)
    monkeypatch.setenv("EXOMNI_EMOTALK", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="holds no such file"):
        find_template("emotalk")
    # Neither names nor counting from 0 are sure in that file; its descriptor knows.
    path = write_head(tmp_path / "EmoTalk.npz", bs_names=None, faces=head_arrays()["faces"] + 1)
    for wish in ("emotalk", path):
        template = find_template(wish)
        assert template.name == "emotalk"
        assert load_mesh(template).shapes[CHANNEL_INDEX["jawOpen"], 0, 0] == 25
    monkeypatch.setenv("EXOMNI_EMOTALK", str(path))
    assert find_template("emotalk").mesh_path == path.resolve()


def test_finished_videos_of_the_built_in_head_stay_valid():
    """A changed hash makes every finished video anew: change it only together with the head."""
    head = find_template("head")
    assert template_hash(head).startswith("c41bab8478e5fa34")
    assert template_hash(head, "clay").startswith("959d9137734a73b4")
