# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks: found by name, checked, part of a template's hash; matcaps, colours and hollows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bpy_scripts.samples import tiny_mesh, tiny_template

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.errors import InputError
from exomni_core.storage.schema import Place
from templates.colours import is_tinted, part_colours, polygon_colours
from templates.insides import down_the_neck, mouth_light
from templates.library import find_look, find_template, load_mesh, template_hash
from templates.looks import Look, list_looks, look_hash, read_look
from templates.matcaps import MATCAPS, Phong, exr_bytes, matcap_exr, shade
from templates.mesh import TemplateMesh
from templates.occlusion import darken, open_sky, vertex_normals

NAMES = ["clay", "demo", "emotalk", "skin"]


@pytest.fixture(scope="module")
def head():
    template = find_template("head")
    return template, load_mesh(template)


def test_all_looks_are_listed_and_found(head):
    assert [look.name for look in list_looks()] == NAMES
    assert all(look.title for look in list_looks())
    for name in NAMES:
        assert find_look(name, head[0]).name == name
    assert find_look("", head[0]) == head[0].look
    assert head[0].look.name == "skin"


@pytest.mark.parametrize("name", ["clown", "../looks/clay", "CLAY", "."])
def test_unknown_look_lists_what_there_is(name, head):
    with pytest.raises(InputError, match="use clay, demo, emotalk, skin") as caught:
        find_look(name, head[0])
    assert caught.value.field == "look"


def test_sizes_are_those_of_the_published_pictures():
    sizes = {look.name: (look.width, look.height, look.fps) for look in list_looks()}
    assert sizes["demo"] == (512, 512, 30)
    assert sizes["emotalk"] == sizes["clay"] == sizes["skin"] == (512, 768, 30)
    assert all(look.view_transform == "Standard" for look in list_looks())


def test_descriptor_names_a_look_and_changes_single_values(tmp_path):
    folder = tiny_template(tmp_path / "a", look={"name": "clay", "world_colour": [0, 0, 1]})
    look = find_template(folder).look
    assert (look.name, look.matcap, look.world_colour) == ("clay", "generated:clay", (0, 0, 1))
    assert find_look("clay", find_template(folder)).world_colour != (0, 0, 1)
    plain = find_template(tiny_template(tmp_path / "b", look={"light": "FLAT"})).look
    assert (plain.colours, plain.occlusion, plain.light) == ("part", 0, "FLAT")


@pytest.mark.parametrize(
    ("look", "words"),
    [
        ({"name": "nonsense"}, "there is no look 'nonsense'"),
        ({"light": "SUN"}, "look.light must be one of MATCAP, STUDIO, FLAT"),
        ({"shiny": 1}, "unknown field 'look.shiny'"),
        ({"folder": "/"}, "unknown field 'look.folder'"),
        ({"matcap": "generated:gold"}, "look.matcap must be generated:NAME"),
        ({"colours": "rainbow"}, "look.colours"),
        ({"tones": {"teeth": -1}}, "look.tones"),
        ({"hollows": {"teeth": float("nan")}}, "look.hollows"),
        ({"single_colour": [1, 1]}, "look.single_colour must be three numbers"),
        ({"width": 511}, "look.width must be an even number"),
        ({"fps": 0}, "look.fps"),
        ({"occlusion": 2}, "look.occlusion"),
        ({"throat": -0.1}, "look.throat"),
        ({"neck": "dark"}, "look.neck"),
        ({"shades": 1.5}, "look.shades"),
        ({"blush": {"face": "red"}}, "look.blush"),
        ({"even": [1]}, "look.even"),
        ({"lens_mm": True}, "look.lens_mm"),
        ([], "look must be an object"),
    ],
)
def test_wrong_looks_are_refused_in_one_sentence(look, words, tmp_path):
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        find_template(tiny_template(tmp_path / "t", look=look))


def test_every_value_of_a_look_is_in_its_hash_but_not_its_place(tmp_path):
    look = find_look("clay", find_template("head"))
    others = [
        replace(look, occlusion=0.1),
        replace(look, matcap="generated:skin"),
        replace(look, tones={**look.tones, "lips": 0.1}),
    ]
    assert len({look_hash(look), *map(look_hash, others)}) == 4
    assert look_hash(replace(look, folder=tmp_path)) == look_hash(look)


def test_changed_recipe_or_matcap_file_changes_the_hash(tmp_path, monkeypatch):
    template = find_template("head")
    before = template_hash(template, "clay")
    assert before != template_hash(template) == template_hash(template, "skin")
    changed = replace(MATCAPS["clay"], dim=0.5)
    monkeypatch.setattr("templates.looks.MATCAPS", {**MATCAPS, "clay": changed})
    assert template_hash(template, "clay") != before
    folder = tiny_template(tmp_path / "own", look={"matcap": "own.exr"})
    (folder / "own.exr").write_bytes(b"one")
    first = template_hash(find_template(folder))
    (folder / "own.exr").write_bytes(b"two")
    assert template_hash(find_template(folder)) != first


def test_matcap_path_stays_in_its_folder(tmp_path):
    (tmp_path / "secret.exr").touch()
    folder = tiny_template(tmp_path / "t", look={"matcap": "../secret.exr"})
    assert find_template(folder).look.matcap_path is None


def test_phong_is_the_published_formula():
    angle = np.linspace(0, np.pi / 2, 91)
    normals = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1).astype(np.float32)
    diffuse, specular = shade(Phong(), normals)
    shown = np.where(diffuse <= 0.0031308, 12.92 * diffuse, 1.055 * diffuse ** (1 / 2.4) - 0.055)
    facing = np.cos(angle)
    right = 0.3 + 0.6 * facing + 0.1 * np.maximum(2 * facing**2 - 1, 0) ** 15
    assert np.abs(shown[:, 1] - right).max() < 1e-5
    assert not specular.any()


def test_matcaps_are_sane_and_the_same_each_time():
    for name, matcap in MATCAPS.items():
        ball = np.random.default_rng(0).normal(size=(500, 3))
        ball[:, 2] = abs(ball[:, 2])
        ball /= np.linalg.norm(ball, axis=1, keepdims=True)
        diffuse, specular = shade(matcap, ball.astype(np.float32))
        assert diffuse.min() > 0
        assert (diffuse + specular).max() < 1.4, name
        assert (specular >= 0).all()
        assert matcap_exr(name) == matcap_exr(name)


def test_skin_is_redder_in_its_shadow():
    lit, edge = shade(MATCAPS["skin"], np.array([[-0.4, 0.5, 0.77], [0.2, -0.7, 0.69]], "f4"))[0]
    assert edge[0] / edge[2] > 1.2 * lit[0] / lit[2]
    assert lit[0] > 2 * edge[0]


def test_exr_holds_its_layers_in_order():
    pixels = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    data = exr_bytes({"diffuse": pixels, "specular": pixels + 100})
    names = [f"{layer}.{c}" for layer in ("diffuse", "specular") for c in "ABGR"]
    assert [data.index(name.encode()) for name in names] == sorted(
        data.index(name.encode()) for name in names
    )
    last = np.frombuffer(data[-2 * 2 * 8 :], "<f2").reshape(8, 2)
    assert last[3].tolist() == [6, 9]  # diffuse.R of the second line
    assert last[5].tolist() == [108, 111]  # specular.B


def test_colours_of_parts_single_and_tint():
    template = replace(find_template("head"), part_colours={"plate": (1, 0, 0), "*": (0, 1, 0)})
    mesh = replace(tiny_mesh(), tint=np.full((8, 3), 0.5, np.float32))
    flat = polygon_colours(template, mesh, Look(colours="part"))
    assert flat.shape == (2, 4, 3)
    assert flat.dtype == np.float32
    assert np.array_equal(flat[:, 0], [[1, 0, 0], [0, 1, 0]])
    assert np.array_equal(polygon_colours(template, mesh, Look(colours="tint")), flat * 0.5)
    single = Look(colours="single", single_colour=(0.5, 0.5, 0.5), tones={"fl?p": 0.5})
    assert np.array_equal(polygon_colours(template, mesh, single)[:, 2], [[0.5] * 3, [0.25] * 3])
    assert np.array_equal(part_colours(template, mesh, single), [[0.5] * 3, [0.25] * 3])
    assert is_tinted(mesh, Look(colours="tint"))
    assert not is_tinted(mesh, Look(colours="part"))


def test_heads_without_tint_get_redder_lips_in_skin():
    mesh = replace(tiny_mesh(), lips=np.array([4, 5, 6, 7], np.int32))
    template = replace(find_template("head"), part_colours={"*": (1, 1, 1)})
    plate, flap = polygon_colours(template, mesh, Look(colours="tint"))[:, 0]
    assert plate.tolist() == [1, 1, 1]
    assert flap[0] > flap[1] > 0.4
    named = replace(mesh, part_names=("plate", "Lips"))
    assert (polygon_colours(template, named, Look(colours="tint")) == 1).all()


def test_head_in_skin_has_its_colours_and_dark_hollows(head):
    template, mesh = head
    look = find_look("skin", template)
    colours = polygon_colours(template, mesh, look)
    assert colours.shape == (*mesh.polygons.shape, 3)
    assert np.isfinite(colours).all()
    assert (colours >= 0).all()

    def of(part):
        return colours[mesh.polygon_part == mesh.part_names.index(part)].mean(axis=(0, 1))

    assert of("mouth_bag").max() < 0.5 * of("face").min()
    assert of("lips")[0] / of("lips")[1] > of("face")[0] / of("face")[1]
    assert of("glint_L").min() > 0.8


def test_open_sky_sees_hollows(head):
    _, mesh = head
    seen = open_sky(mesh)
    assert seen.shape == (len(mesh.vertices),)
    assert seen.dtype == np.float32
    assert ((seen >= 0) & (seen <= 1)).all()
    assert np.array_equal(seen, open_sky(mesh))
    top = np.argmax(mesh.vertices[:, 1])
    bag = np.unique(mesh.polygons[mesh.polygon_part == mesh.part_names.index("mouth_bag")])
    assert seen[top] > 0.9
    assert seen[bag[bag >= 0]].mean() < 0.25


def test_inside_of_the_mouth_gets_darker_with_depth(head):
    _, mesh = head
    light = mouth_light(mesh, 0.1)
    assert light.dtype == np.float32
    assert (light > 0).all()

    def ids(part):
        found = np.unique(mesh.polygons[mesh.polygon_part == mesh.part_names.index(part)])
        return found[found >= 0]

    assert (light[ids("face")[mesh.vertices[ids("face"), 1] > 0]] == 1).all()
    bag, depth = ids("mouth_bag"), mesh.vertices[:, 2]
    order = bag[np.argsort(depth[bag])]
    assert light[order[:50]].max() < 0.11
    assert light[order[-20:]].mean() > 0.5
    for part in ("teeth_upper", "teeth_lower"):
        teeth = ids(part)
        front = teeth[depth[teeth] > np.quantile(depth[teeth], 0.97)]
        assert light[front].min() > 0.9, part
        assert (light[teeth] < 0.1).mean() > 0.1, part  # their backs
    places = np.round(mesh.vertices * 1e5).astype(int)
    twin = {tuple(v): k for k, v in enumerate(places.tolist())}
    other = [twin.get(tuple(v)) for v in (places[bag] * [-1, 1, 1]).tolist()]
    pairs = [(a, b) for a, b in zip(bag, other, strict=True) if b is not None]
    assert len(pairs) > 0.9 * len(bag)
    assert max(abs(light[a] - light[b]) for a, b in pairs) < 0.02
    assert (mouth_light(mesh, 1.0) == 1).all()
    assert (mouth_light(replace(mesh, lips=np.zeros(0, np.int32)), 0.1) == 1).all()


def test_shoulders_are_down_the_neck_and_the_face_is_not(head):
    _, mesh = head
    share = down_the_neck(mesh)
    assert (share[mesh.landmarks68] < 0.05).all()
    assert (share[np.argsort(mesh.vertices[:, 1])[:100]] == 1).all()
    still = replace(mesh, shapes=np.zeros_like(mesh.shapes))
    assert not down_the_neck(still).any()


def test_clay_takes_the_dark_places_of_the_tint_alone():
    template = replace(find_template("head"), part_colours={"*": (1, 1, 1)})
    tint = np.ones((8, 3), np.float32)
    tint[0], tint[1] = 0.2, (0.9, 0.8, 0.8)
    mesh = replace(tiny_mesh(), tint=tint)
    look = Look(colours="single", single_colour=(0.5, 0.5, 0.5), shades=1.0)
    colours = {
        int(v): c
        for v, c in zip(mesh.polygons[0], polygon_colours(template, mesh, look)[0], strict=True)
    }
    assert colours[0][0] < 0.25
    assert np.allclose(colours[1], 0.5)
    assert is_tinted(mesh, look)


def test_blush_makes_hues_stronger_not_darker():
    template = replace(find_template("head"), part_colours={"*": (1, 1, 1)})
    mesh = replace(tiny_mesh(), tint=np.tile(np.array([1.0, 0.9, 0.9], np.float32), (8, 1)))
    look = Look(colours="tint", blush={"plate": 2.0})
    plate, flap = polygon_colours(template, mesh, look)[:, 0]
    assert np.allclose(flap, [1.0, 0.9, 0.9])
    assert plate[0] / plate[1] > 1.2
    light = np.array([0.2126, 0.7152, 0.0722])
    assert plate @ light == pytest.approx(flap @ light, abs=0.01)


def test_evened_parts_are_lit_alike_on_both_sides(head):
    template, mesh = head
    look = find_look("clay", template)
    colours = polygon_colours(template, mesh, look)
    normals = vertex_normals(mesh.vertices, mesh.polygons)
    normals[:, 2] = abs(normals[:, 2])
    lit = shade(MATCAPS["clay"], normals)[0]
    means = []
    for name in ("brow_L", "brow_R"):
        chosen = mesh.polygon_part == mesh.part_names.index(name)
        means.append((colours[chosen] * lit[mesh.polygons[chosen]]).mean())
    assert max(means) < 1.15 * min(means)


def grid_mesh(height):
    """A square of 21 x 21 vertices, 0.2 m wide, whose middle is `height` higher."""
    side = np.linspace(-0.1, 0.1, 21)
    x, z = np.meshgrid(side, side)
    y = np.where(np.hypot(x, z) < 0.03, height, 0.0)
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    row = np.arange(20)[:, None] * 21 + np.arange(20)
    quads = np.stack([row, row + 21, row + 22, row + 1], axis=-1).reshape(-1, 4)
    shapes = np.zeros((len(ARKIT_52), len(vertices), 3), np.float32)
    shapes[CHANNEL_INDEX["jawOpen"], 0, 1] = -0.001
    return TemplateMesh(
        vertices=vertices,
        polygons=quads.astype(np.int32),
        part_names=("skin",),
        polygon_part=np.zeros(len(quads), np.uint8),
        shapes=shapes,
    )


def test_pits_are_dark_and_bumps_are_light():
    middle = 10 * 21 + 10
    assert vertex_normals(grid_mesh(0).vertices, grid_mesh(0).polygons)[middle, 1] == 1
    flat, pit, bump = (open_sky(grid_mesh(h))[middle] for h in (0.0, -0.08, 0.08))
    assert flat > 0.95
    assert bump > 0.95
    assert pit < 0.5


def test_darkening_keeps_light_colours_lighter():
    colours = np.array([[0.9, 0.5, 0.1]], np.float32)
    shut = darken(colours, np.array([0.3], np.float32), 1.0)[0] / colours[0]
    assert shut[0] > shut[1] > shut[2] >= 0.29
    assert np.allclose(darken(colours, np.array([1.0], np.float32), 1.0), colours, atol=0.02)
    assert np.array_equal(darken(colours, np.array([0.0], np.float32), 0.0).round(2), colours)


def test_looks_are_written_without_place(tmp_path):
    place = Place(str(tmp_path / "template.json"))
    assert read_look({"name": "demo"}, "look", place).folder != tmp_path
    assert read_look({"matcap": "x.exr"}, "look", place).folder == Path(tmp_path).resolve()
