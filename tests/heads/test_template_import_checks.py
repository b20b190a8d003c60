# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing without Blender: axes, unit, sides, odd shapes, regions, OBJ folders."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from exomni_core.errors import InputError
from exomni_core.head_regions import ids_hash
from templates.importing import checks, clean, orient, regions
from templates.importing.ict_source import read_folder
from templates.importing.npz_source import read_npz
from templates.importing.part_colours import part_colours
from templates.importing.prepare import Wishes, prepare
from templates.importing.raw import Origin, RawHead, RawMesh, join
from templates.library import find_template, load_mesh
from templates.mesh import TemplateMesh, axes_matrix


@pytest.fixture(scope="module")
def head():
    """The built-in head without what it says about itself, but for its landmarks."""
    mesh = load_mesh(find_template("head"))
    return TemplateMesh(
        mesh.vertices,
        mesh.polygons,
        mesh.polygon_part,
        mesh.part_names,
        mesh.shapes,
        landmarks68=mesh.landmarks68,
    )


def ready(mesh, tmp_path, origin=None, **wishes):
    raw = RawHead(mesh, origin or Origin("npz"))
    return prepare(raw, Wishes(**wishes), name="x", path=tmp_path / "x.npz")


def codes(prepared):
    return {finding.code for finding in prepared.report.findings}


def changed(mesh, **channels):
    """The mesh with some shapes replaced: name -> (V, 3)."""
    shapes = mesh.shapes.copy()
    for name, shape in channels.items():
        shapes[CHANNEL_INDEX[name]] = shape
    return replace(mesh, shapes=shapes)


def shape(mesh, name):
    return mesh.shapes[CHANNEL_INDEX[name]]


@pytest.mark.parametrize(
    ("up", "forward"),
    [p for p in itertools.product(orient._AXES, repeat=2) if p[0][1] != p[1][1]],
)
def test_axes_are_found_from_what_the_shapes_move(up, forward, head):
    matrix = axes_matrix(up, forward)
    as_file = replace(head, vertices=head.vertices @ matrix, shapes=head.shapes @ matrix)
    assert orient.axes_of(as_file) == (up, forward)
    turned = orient.turn(as_file, up, forward)
    assert np.allclose(turned.vertices, head.vertices, atol=1e-6)


@pytest.mark.parametrize(("factor", "metres"), [(1, 1.0), (100, 0.01), (1000, 0.001)])
def test_unit_is_guessed_and_told(factor, metres, head, tmp_path):
    prepared = ready(orient.scale(head, factor), tmp_path)
    assert "guessed" in prepared.report.unit
    assert np.ptp(prepared.mesh.vertices[:, 1]) == pytest.approx(np.ptp(head.vertices[:, 1]), 1e-5)
    assert orient.find_unit(orient.scale(head, factor), None, None, "x").metres == metres


def test_unit_of_a_file_counts_if_it_makes_a_head(head, tmp_path):
    told = orient.find_unit(orient.scale(head, 100), None, 0.01, "x")
    assert (told.metres, "as the file says" in told.how) == (0.01, True)
    wrong = orient.find_unit(orient.scale(head, 100), None, 1.0, "x")
    assert (wrong.metres, "though the file says m" in wrong.how) == (0.01, True)
    with pytest.raises(InputError, match=r"pass --unit m, cm, mm .* here about 0\.\d+"):
        orient.find_unit(orient.scale(head, 10), None, 0.01, "x")
    with pytest.raises(InputError, match="not a head; choose another --unit"):
        orient.find_unit(head, 0.01, None, "x")
    assert orient.find_unit(head, 0.01, None, "x", force=True).metres == 0.01


def test_a_body_below_the_head_spoils_neither_unit_nor_axes(head):
    foot = head.vertices[:4] - [0, 1.5, 0]
    whole = replace(
        head,
        vertices=np.vstack([head.vertices, foot]).astype(np.float32),
        shapes=np.concatenate([head.shapes, np.zeros((52, 4, 3), np.float32)], axis=1),
    )
    assert orient.axes_of(whole) == ("+Y", "+Z")
    assert orient.find_unit(whole, None, None, "x").metres == 1.0


def test_swapped_sides_are_refused_and_can_be_exchanged(head, tmp_path):
    order = [CHANNEL_INDEX[mirror_of(name)] for name in ARKIT_52]
    swapped = replace(head, shapes=head.shapes[order])
    with pytest.raises(InputError, match=r"left and right are swapped.*--swap-sides"):
        ready(swapped, tmp_path)
    mended = ready(swapped, tmp_path, swap=True)
    assert np.array_equal(shape(mended.mesh, "jawLeft"), shape(head, "jawLeft"))
    assert "swapped" not in codes(mended)
    assert "swapped" in codes(ready(swapped, tmp_path, force=True))


def test_dead_doubled_and_huge_shapes_are_found(head, tmp_path):
    odd = changed(
        head,
        cheekPuff=shape(head, "cheekPuff") * 1e-4,
        mouthFrownLeft=shape(head, "mouthSmileLeft"),
    )
    prepared = ready(odd, tmp_path)
    assert prepared.report.missing == ("cheekPuff",)
    assert any("move nothing" in f.text and "cheekPuff" in f.text for f in prepared.report.findings)
    (twins,) = [f for f in prepared.report.findings if f.code == "duplicates"]
    assert "mouthFrownLeft and mouthSmileLeft" in twins.text
    with pytest.raises(InputError, match="further than half the face is large: mouthPucker"):
        ready(changed(head, mouthPucker=shape(head, "mouthPucker") * 100), tmp_path)


def test_a_head_without_jaw_or_with_few_shapes_is_refused(head, tmp_path):
    with pytest.raises(InputError, match="no jawOpen"):
        ready(changed(head, jawOpen=0), tmp_path)
    few = replace(head, shapes=head.shapes * (np.arange(52) < 7)[:, None, None])
    with pytest.raises(InputError, match="only 7 of 52"):
        ready(few, tmp_path)


def test_mouth_close_of_audio2face_is_made_an_ordinary_one(head, tmp_path):
    assert not checks.claire_close(head)
    claire = changed(head, mouthClose=shape(head, "mouthClose") + shape(head, "jawOpen"))
    assert checks.claire_close(claire)
    prepared = ready(claire, tmp_path)
    assert np.allclose(shape(prepared.mesh, "mouthClose"), shape(head, "mouthClose"), atol=1e-6)
    assert "no_closure" not in codes(prepared)
    gone = changed(head, mouthClose=shape(head, "mouthClose") * 0.1)
    assert "no_closure" in codes(ready(gone, tmp_path))


def test_a_hollow_head_is_noticed(head, tmp_path):
    assert "no_interior" not in codes(ready(head, tmp_path))
    words = ("teeth", "tongue", "gums", "mouth_bag", "bag")
    skin = [i for i, name in enumerate(head.part_names) if not name.startswith(words)]
    keep = np.isin(head.polygon_part, skin)
    hollow = replace(head, polygons=head.polygons[keep], polygon_part=head.polygon_part[keep])
    assert "no_interior" in codes(ready(hollow, tmp_path))


def test_regions_of_ict_are_where_people_put_them(shared, tmp_path):
    """The inner-lip pair that was chosen by hand is found; most listed lips are."""
    path = shared / "heads" / "ict_facekit.npz"
    raw = read_npz(path)
    listed = prepare(raw, Wishes(), name="ict", path=path)
    assert listed.report.landmarks == 68
    assert not listed.report.lips_auto
    assert listed.report.lips_sha256 == ids_hash(raw.mesh.lips)
    assert raw.origin.unit_hint == 0.01
    empty = np.empty(0, np.int32)
    bare = replace(
        raw.mesh,
        lips=empty,
        upper_lip=empty,
        lower_lip=empty,
        lip_aperture_pair=empty,
        landmarks68=empty,
    )
    found = prepare(RawHead(bare, raw.origin), Wishes(), name="ict", path=path)
    assert found.report.lips_auto
    assert found.mesh.lip_aperture_pair.tolist() == raw.mesh.lip_aperture_pair.tolist()
    assert np.isin(raw.mesh.lips, found.mesh.lips).mean() > 0.95
    # Landmarks come from the built-in head: all but the jaw's contour are near the published ones.
    gaps = (
        found.mesh.vertices[found.mesh.landmarks68] - raw.mesh.vertices[raw.mesh.landmarks68] / 100
    )
    apart_mm = np.linalg.norm(gaps[17:], axis=1) * 1000
    assert apart_mm.mean() < 6
    assert apart_mm.max() < 16
    assert "landmarks68" in found.report.derived
    for side in ("L", "R"):
        eye = found.mesh.vertices[found.mesh.vertex_groups[f"eye_{side}"]].mean(axis=0)
        assert eye[0] * (1 if side == "L" else -1) > 0.02


def write_obj(path, points, faces):
    rows = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points]
    rows += ["f " + " ".join(f"{i + 1}/1/1" for i in face if i >= 0) for face in faces]
    path.write_text("\n".join(rows) + "\n")


def test_folder_of_objs_as_ict_has_it(head, tmp_path):
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    thin = clean.drop_loose_vertices(head)
    write_obj(folder / "generic_neutral_mesh.obj", thin.vertices * 100, thin.polygons)
    for name in ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "browInnerUp", "mouthPucker"):
        whole = (thin.vertices + shape(thin, name)) * 100
        stem = name.replace("Left", "_L").replace("Right", "_R")
        if name != "browInnerUp":
            write_obj(folder / f"{stem}.obj", whole, thin.polygons)
            continue
        left = (thin.vertices[:, :1] > 0).astype(float)
        for side, share in (("L", left), ("R", 1 - left)):
            half = (thin.vertices + share * shape(thin, name)) * 100
            write_obj(folder / f"{stem}_{side}.obj", half, thin.polygons)
    write_obj(folder / "identity000.obj", thin.vertices * 90, thin.polygons)
    raw = read_folder(tmp_path)  # the folder above works too
    assert raw.origin.made_of["browInnerUp"] == (("browInnerUp_L", 1.0), ("browInnerUp_R", 1.0))
    assert "identity000" not in raw.origin.left_out
    prepared = prepare(raw, Wishes(force=True), name="x", path=folder)
    assert "cm, as the file says" in prepared.report.unit
    assert prepared.report.coverage - len(prepared.report.stand_ins) == 5
    assert "mouthClose" in prepared.report.stand_ins  # lifts the jaw
    for name in ("browInnerUp", "eyeBlinkLeft"):
        assert np.allclose(shape(prepared.mesh, name), shape(thin, name), atol=2e-5)
    (folder / "jawOpen.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputError, match=r"jawOpen\.obj has 1 vertices, but generic_neutral"):
        read_folder(folder)


def test_one_key_for_both_sides_is_split_down_the_middle():
    points = np.array([[-0.03, 0, 0], [0, 0, 0], [0.03, 0, 0]], np.float32)
    push = np.full((3, 3), 0.01, np.float32)
    raw = RawMesh(
        "Face",
        points,
        np.array([[0, 1, 2, -1]], np.int32),
        np.zeros(1, np.int32),
        ("a",),
        ("eyesClosed", "jawOpen"),
        lambda name: push,
    )
    joined, told = join([raw], "x")
    assert told["shared"] == (("eyeBlinkLeft", "eyeBlinkRight"),)
    split = clean.split_sides(joined, told["shared"])
    left, right = shape(split, "eyeBlinkLeft"), shape(split, "eyeBlinkRight")
    assert np.allclose(left + right, push)
    assert left[:, 0].tolist() == pytest.approx([0, 0.005, 0.01])


def test_a_head_that_speaks_by_visemes_gets_the_nearest_shapes():
    points = np.eye(3, dtype=np.float32)
    push = {"A": 1.0, "I": 2.0, "U": 3.0, "E": 4.0, "O": 5.0, "Blink_L": 6.0, "Joy": 7.0}
    raw = RawMesh(
        "Face",
        points,
        np.array([[0, 1, 2, -1]], np.int32),
        np.zeros(1, np.int32),
        ("a",),
        tuple(push),
        lambda name: np.full((3, 3), push[name], np.float32),
    )
    joined, told = join([raw], "x")
    wanted = {"jawOpen": 1, "mouthClose": -1, "mouthFunnel": 5, "mouthPucker": 3}
    wanted |= {"mouthStretchLeft": 1, "eyeBlinkLeft": 6, "eyeBlinkRight": 0, "tongueOut": 0}
    for name, value in wanted.items():
        assert shape(joined, name)[0, 0] == value, name
    assert {"jawOpen", "mouthClose"} <= set(told["stand_ins"])
    assert "eyeBlinkLeft" not in told["stand_ins"]


def test_cleaning_drops_what_blender_rejects_and_welds_seams():
    rng = np.random.default_rng(0)
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0], [9, 9, 9]], float)
    shapes = np.zeros((52, 6, 3), np.float32)
    shapes[0] = rng.random((6, 3))
    shapes[0, 4] = shapes[0, 1]  # the twin of vertex 1
    quads = np.array([[0, 1, 2, 3], [0, 4, 2, 3], [0, 1, 1, 3], [0, 1, 0, 3], [2, 3, 0, -1]])
    mesh = TemplateMesh(
        points.astype(np.float32), quads.astype(np.int32), np.zeros(5, np.uint8), ("a",), shapes
    )
    welded = clean.weld(mesh, np.zeros(6, np.int32))
    assert len(welded.vertices) == 5
    kept, dropped = clean.drop_broken_faces(welded)
    # The doubled quad and the one that folds back on itself are gone; one became a triangle.
    assert kept.polygons.tolist() == [[0, 1, 2, 3], [0, 1, 3, -1], [2, 3, 0, -1]]
    assert dropped == 2
    assert len(clean.drop_loose_vertices(kept).vertices) == 4
    apart = clean.weld(mesh, np.array([0, 0, 0, 0, 1, 0], np.int32))
    assert len(apart.vertices) == 6  # layers of two meshes stay apart


def test_absolute_shapes_in_an_npz_are_taken_apart(head, tmp_path):
    path = tmp_path / "whole.npz"
    names = np.array([b"_neutral", *(name.encode() for name in ARKIT_52)])
    whole = np.concatenate([head.vertices[None], head.vertices + head.shapes])
    np.savez(path, meanshape=head.vertices, blendshape=whole, bs_names=names, quads=head.polygons)
    raw = read_npz(path)
    assert np.allclose(raw.mesh.shapes, head.shapes, atol=1e-6)
    assert any("whole faces" in note for note in raw.origin.notes)


def test_a_face_of_a_part_without_name_is_told(head, tmp_path):
    arrays = {"meanshape": head.vertices, "blendshape": head.shapes, "quads": head.polygons}
    part = np.full(len(head.polygons), 3)
    np.savez(
        tmp_path / "x.npz",
        **arrays,
        bs_names=np.array(ARKIT_52),
        quad_part=part,
        part_names=np.array(["skin"]),
    )
    with pytest.raises(InputError, match="a face belongs to part 3, which has no name"):
        read_npz(tmp_path / "x.npz")


def test_emotalk_needs_no_names_and_others_do(head, tmp_path):
    arrays = {"meanshape": head.vertices, "blendshape": head.shapes, "quads": head.polygons}
    np.savez(tmp_path / "EmoTalk.npz", **arrays)
    assert read_npz(tmp_path / "EmoTalk.npz").origin.keys == 52
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(InputError, match="doesn't name its blendshapes"):
        read_npz(tmp_path / "other.npz")


def test_colours_come_from_the_file_or_from_names():
    given = {"Skin": (0.5, 0.4, 0.3), "Teeth_upper": (0.8, 0.8, 0.8)}
    chosen = part_colours(["Skin", "Teeth_upper", "Eye_Iris", "cloth"], given)
    assert chosen["Skin"] == (0.5, 0.4, 0.3)
    assert chosen["Teeth_upper"][2] < chosen["Teeth_upper"][0]  # grey meant nothing
    assert chosen["Eye_Iris"][2] > chosen["Eye_Iris"][0]
    assert "cloth" not in chosen


def test_eyes_teeth_and_tongue_of_a_head_in_one_part_are_told(head, tmp_path):
    bare = replace(head, polygon_part=np.zeros(len(head.polygons), np.uint8), part_names=("face",))
    prepared = ready(bare, tmp_path)
    mesh = prepared.mesh
    assert {"teeth", "tongue", "sclera_L", "sclera_R", "iris_L", "pupil_R"} <= set(mesh.part_names)
    for ours, theirs in (("teeth", "teeth"), ("tongue", "tongue"), ("iris_L", "iris_L")):
        mine = mesh.polygon_part == mesh.part_names.index(ours)
        named = [i for i, name in enumerate(head.part_names) if name.startswith(theirs)]
        assert np.isin(head.polygon_part, named)[mine].mean() > 0.6, ours
    # Lips that a rule found are reddened only inside the lip's contour.
    red = np.flatnonzero(mesh.tint[:, 1] < 0.8)
    assert 0 < len(red) < 0.8 * len(mesh.lips)
    assert mesh.tint.max() == 1.0


def test_regions_of_the_built_in_head(head):
    found, derived = regions.with_regions(head)
    assert derived == ("lips", "aperture_pairs", "vertex_groups")
    assert len(found.aperture_pairs) >= 5
    assert regions.opening(found, found.aperture_pairs).max() < 0.003
    assert regions.opening(found, found.aperture_pairs, jawOpen=1.0).max() > 0.02
