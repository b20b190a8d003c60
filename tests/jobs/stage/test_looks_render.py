# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks as Blender draws them: every part in its colour, the demo's formula, sheets of stills."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from bpy_scripts.samples import ICT_NPZ, tiny_template
from click.testing import CliRunner

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.errors import InputError
from render_jobs.cli.chosen import render_settings
from render_jobs.cli.commands import main
from render_jobs.settings import RenderSettings
from render_jobs.video.sheet import (
    crop_to_motion,
    draw_cells,
    look_cells,
    middle,
    pose,
    shape_cells,
    speech_cells,
    write_sheet,
)
from render_jobs.video.sheet_file import LABEL_HEIGHT, Layout, check_sheet_file, write_sheet_file
from render_jobs.video.stills import StillDrawer, still_drawer
from render_jobs.workers.pool import Worker, WorkerCommand
from templates.colours import part_colours
from templates.library import find_look, find_template, load_mesh
from templates.looks import list_looks
from templates.matcaps import MATCAPS, shade
from templates.mesh import TemplateMesh, save_npz

pytest.importorskip("bpy")
Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.bpy

LOOKS = [look.name for look in list_looks()]
PARTS = ("face", "lips", "teeth", "gums_tongue", "mouth_socket", "sclera_L", "iris_L", "pupil_L")
OTHER_PYTHONS = [p for p in os.environ.get("EXOMNI_BPY_PYTHONS", "").split(os.pathsep) if p]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def drawer():
    with still_drawer() as drawer:
        yield drawer


def patches():
    """A wall, 40 cm high, of 2 x 4 patches that face the camera, one part each."""
    vertices, quads = [], []
    for k in range(len(PARTS)):
        left, low = 0.1 * (k % 2) - 0.1, 0.1 * (k // 2) - 0.2
        corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]) * 0.1
        quads.append(np.arange(4) + 4 * k)
        vertices.append(corners + np.array([left, low, 0]))
    vertices = np.concatenate(vertices).astype(np.float32)
    shapes = np.zeros((len(ARKIT_52), len(vertices), 3), np.float32)
    shapes[CHANNEL_INDEX["jawOpen"], :4, 2] = 0.001
    return TemplateMesh(
        vertices=vertices,
        polygons=np.array(quads, np.int32),
        part_names=PARTS,
        polygon_part=np.arange(len(PARTS)).astype(np.uint8),
        shapes=shapes,
    )


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    """The patches' npz, bare, as an ICT-style head comes."""
    path = tmp_path_factory.mktemp("wall") / "wall.npz"
    save_npz(patches(), path)
    return path


def ball(path, radius=0.1):
    """A head that is a ball round the origin."""
    rows, columns = 96, 192
    polar, turn = np.meshgrid(
        np.linspace(0, np.pi, rows), np.arange(columns) * 2 * np.pi / columns, indexing="ij"
    )
    points = [np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)]
    vertices = (radius * np.stack(points, axis=-1)).reshape(-1, 3).astype(np.float32)
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    beside = (column + 1) % columns
    quads = np.stack(
        [
            row * columns + column,
            (row + 1) * columns + column,
            (row + 1) * columns + beside,
            row * columns + beside,
        ],
        axis=-1,
    ).reshape(-1, 4)
    shapes = np.zeros((len(ARKIT_52), len(vertices), 3), np.float32)
    shapes[CHANNEL_INDEX["jawOpen"], :, 1] = -0.001
    mesh = TemplateMesh(
        vertices=vertices,
        polygons=quads.astype(np.int32),
        part_names=("ball",),
        polygon_part=np.zeros(len(quads), np.uint8),
        shapes=shapes,
    )
    save_npz(mesh, path)
    return path


def shown(radiance):
    """Scene-linear -> 0 to 255, by the sRGB curve."""
    value = np.clip(radiance, 0, 1)
    curve = np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
    return 255 * curve


def draw(drawer, template, look, width=64, height=96, weights=None, engine="auto"):
    settings = RenderSettings(
        template=str(template), look=look, width=width, height=height, engine=engine
    )
    rows = np.zeros((1, 52), np.float32) if weights is None else weights[None]
    return drawer.draw(rows, settings)[0].astype(int)


@pytest.mark.parametrize("engine", ["workbench", "auto"])
@pytest.mark.parametrize("look", ["clay", "skin"])
def test_every_part_has_its_colour(look, engine, drawer, wall):
    """Each patch faces the camera, so its colour is the matcap's middle times the part's."""
    picture = draw(drawer, wall, look, 128, 256, engine=engine)
    template = find_template(wall)
    mesh = load_mesh(template)
    colours = part_colours(template, mesh, find_look(look, template))
    diffuse, specular = shade(MATCAPS[look], np.array([[0, 0, 1]], np.float32))
    right = shown(diffuse * colours + specular)
    rows, columns = np.nonzero(np.abs(picture - picture[2, 2]).max(axis=2) > 6)
    high, wide = np.ptp(rows) / 4, np.ptp(columns) / 2
    for k in range(len(PARTS)):
        y = round(rows.max() - (k // 2 + 0.5) * high)
        x = round(columns.min() + (k % 2 + 0.5) * wide)
        # Seen by a near camera the wall's ends turn away a bit.
        assert np.abs(picture[y, x] - right[k]).max() < 26, PARTS[k]
        assert np.ptp(picture[y - 5 : y + 5, x - 5 : x + 5], axis=(0, 1)).max() < 12


@pytest.mark.parametrize("look", LOOKS)
def test_built_in_head_in_every_look(look, drawer):
    rest, smile = (
        draw(drawer, "head", look, 128, 192, w) for w in (pose(), pose(mouthSmile=1, jawOpen=0.4))
    )
    background = shown(np.array(find_look(look, find_template("head")).world_colour))
    for corner in (rest[1, 1], rest[1, -2]):
        assert np.abs(corner - background).max() <= 2
    head = np.abs(rest - background).max(axis=2) > 8
    assert 0.2 < head.mean() < 0.95
    assert head[:, 64].any()
    if look != "demo":  # it shows all of the shoulders
        rows = np.flatnonzero(head.any(axis=1))
        assert rows[0] < 0.12 * 192
        assert rows[-1] >= 190
    changed = np.abs(smile - rest).max(axis=2) > 12
    assert changed[96:].sum() > 100
    # Skin is reddish, clay and the demo are not coloured.
    red = (rest[..., 0] - rest[..., 2])[head]
    assert red.mean() > 25 if look == "skin" else red.mean() < 40


def test_portrait_and_square_both_show_the_whole_head(drawer):
    background = shown(np.array(find_look("skin", find_template("head")).world_colour))
    for width, height in ((96, 144), (128, 128), (144, 96)):
        head = np.abs(draw(drawer, "head", "skin", width, height) - background).max(axis=2) > 8
        assert not head[0].any()
        face = head[height // 3 : height // 2]
        assert not face[:, 0].any()
        assert not face[:, -1].any()
        assert np.flatnonzero(head.any(axis=1))[0] < 0.2 * height


@pytest.mark.parametrize("engine", ["workbench", "auto"])
def test_demo_is_phong_on_black(engine, drawer, tmp_path):
    side = 256
    picture = draw(drawer, ball(tmp_path / "ball.npz"), "demo", side, side, engine=engine)
    assert picture[:20].max() == 0
    assert picture[-20:].max() == 0
    place = (np.arange(side) + 0.5) / side * 2 - 1
    x, y = np.meshgrid(1.2 * place, 1.2 * place)  # half a picture is 1.2 radii
    inside = np.hypot(x, y) < 0.9
    facing = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    right = 0.3 + 0.6 * facing + 0.1 * np.maximum(2 * facing**2 - 1, 0) ** 15
    off = np.abs(picture - np.floor(255 * right)[..., None])[inside]
    assert off.max() <= 3
    assert off.mean() < 1
    assert np.array_equal(picture[..., 0], picture[..., 2])


def test_demo_shows_heads_without_shoulders_whole_and_others_near(drawer, tmp_path):
    picture = draw(drawer, "head", "demo", 128, 128)
    rows = np.flatnonzero((picture > 0).any(axis=(1, 2)))
    assert len(rows) > 90
    assert rows[0] > 4


def test_unknown_look_is_one_sentence(drawer):
    with pytest.raises(InputError, match="there is no look 'x'; use clay, demo, emotalk, skin"):
        draw(drawer, "head", "x")


def test_matcap_of_the_users_own(drawer, tmp_path):
    from templates.matcaps import exr_bytes

    green = np.zeros((64, 64, 3), np.float32)
    green[..., 1] = 0.5
    look = {"matcap": "green.exr", "antialias": "OFF", "world_colour": [0, 0, 0]}
    folder = tiny_template(tmp_path / "t", look=look)
    (folder / "green.exr").write_bytes(exr_bytes({"diffuse": green}))
    picture = draw(drawer, folder, "", weights=pose(jawOpen=1))
    assert np.abs(picture[48, 32] - shown(np.array([0, 0.5, 0]))).max() <= 2
    assert draw(drawer, folder, "clay", weights=pose(jawOpen=1))[48, 32, 0] > 60


def test_blend_files_take_a_look_when_asked(drawer, tmp_path):
    blend = tmp_path / "own.blend"
    script = ROOT / "tests" / "bpy_scripts" / "make_blend.py"
    subprocess.run([sys.executable, script, blend], capture_output=True, check=True)
    own = draw(drawer, blend, "", weights=pose(jawOpen=1))
    clay = draw(drawer, blend, "clay", weights=pose(jawOpen=1))
    middle = own[48, 32], clay[48, 32]
    assert middle[0][1] > middle[0][0] + 50  # green in that file
    assert np.ptp(middle[1]) < 60
    assert middle[1].min() > 60


def test_size_and_rate_are_the_looks_unless_given():
    chosen = {"template": "head", "look": "demo", "size": None, "fps": None,
              "render_engine": "auto", "samples": 0, "alpha": False,
              "head_motion": 0.0}  # fmt: skip
    settings = render_settings(chosen)
    assert (settings.width, settings.height, settings.frame_rate.fps) == (512, 512, 30)
    settings = render_settings(chosen | {"look": "", "fps": "25"})
    assert (settings.width, settings.height, settings.frame_rate.fps) == (512, 768, 25)
    settings = render_settings(chosen | {"size": "64x96"})
    assert (settings.width, settings.height, settings.look) == (64, 96, "demo")
    for given in ({"look": "x"}, {"look": "x", "size": "64x96", "fps": "30"}):
        with pytest.raises(InputError, match="no look 'x'"):
            render_settings(chosen | given)


def test_cells_say_what_they_show():
    shapes = shape_cells("head")
    labels = [c.label.split()[0] for c in shapes]
    assert sorted(labels) == sorted([*ARKIT_52, "neutral", "neutral"])
    rest = [k for k, label in enumerate(labels) if label == "neutral"]
    assert rest == [0, 24]  # rows of six: four of the upper face, five of the lower
    assert not any(shapes[k].weights.any() for k in rest)
    assert all(c.part == ("upper" if k < 24 else "lower") for k, c in enumerate(shapes))
    assert all(c.weights[CHANNEL_INDEX[c.label]] == 1 for c in shapes if c.label in CHANNEL_INDEX)
    labels = [c.label for c in speech_cells("head")]
    assert {"neutral", "m", "b", "p", "f", "smile", "kiss", "wide open"} <= set(labels)
    assert sum(label[:3] in ("a (", "e (", "i (", "o (", "u (") for label in labels) == 5
    assert len(look_cells(["head", "head"])) == 8


def test_sounds_are_posed_as_in_running_speech():
    cells = {c.label: c.weights for c in speech_cells("head")}
    jaw, close, tuck = (CHANNEL_INDEX[n] for n in ("jawOpen", "mouthClose", "mouthRollLower"))
    for label in "mbp":
        assert cells[label][close] == pytest.approx(cells[label][jaw], abs=0.02)
        assert cells[label][jaw] > 0.03
    assert cells["f"][tuck] > 0.3
    assert cells["a (father)"][jaw] > 0.35
    assert cells["u (blue)"][CHANNEL_INDEX["mouthPucker"]] > 0.4


def test_every_cell_of_the_shape_sheet_moves_but_the_missing(drawer):
    if not ICT_NPZ.is_file():
        pytest.skip(f"{ICT_NPZ} is not here")
    for template, still in (("head", set()), (str(ICT_NPZ), {"tongueOut"})):
        cells = shape_cells(template, "clay")
        pictures = np.stack(draw_cells(cells, 160, 240, drawer)).astype(int)
        moved = {
            c.label
            for c, p in zip(cells, pictures, strict=True)
            if (np.abs(p - pictures[0]).max(axis=2) > 4).sum() >= 3
        }
        assert {c.label for c in cells} - {"neutral"} - moved == still


def test_crop_keeps_what_moves_and_the_proportions():
    pictures = [np.zeros((90, 60, 3), np.uint8) for _ in range(3)]
    pictures[1][40:50, 20:30] = 200
    pictures[2][44:50, 28:36] = 200
    cropped = crop_to_motion(pictures)
    assert {p.shape for p in cropped} == {(29, 19, 3)}
    assert {p.shape for p in crop_to_motion(pictures, 2.0)} == {(12, 24, 3)}
    assert all((c > 0).sum() == (p > 0).sum() for c, p in zip(cropped, pictures, strict=True))
    same = [np.zeros((9, 6, 3), np.uint8)] * 2
    assert crop_to_motion(same)[1].shape == (9, 6, 3)


def test_middle_of_a_picture():
    picture = np.arange(40 * 60 * 3).reshape(40, 60, 3).astype(np.uint8)
    assert np.array_equal(middle(picture, 1.0), picture[:, 10:50])
    assert np.array_equal(middle(picture, 3.0), picture[10:30])


def test_a_sheet_has_its_size_and_places_each_picture(tmp_path):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    pictures = [np.full((40, 30, 3), c, np.uint8) for c in colours]
    layout = Layout(60, 80, 2, "title")
    write_sheet_file(
        pictures, ["a", "b", "a label that is far too long"], layout, tmp_path / "a.png"
    )
    sheet = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert sheet.shape[1::-1] == layout.size(3)
    for k, colour in enumerate(colours):
        left, top = layout.place(k)
        inside = sheet[top : top + 80, left : left + 60]
        assert (inside == colour).all()
        label = sheet[top + 80 : top + 80 + LABEL_HEIGHT, left : left + 60]
        assert label.max() > 150
    with pytest.raises(InputError, match="must end in"):
        check_sheet_file(tmp_path / "a.gif")
    with pytest.raises(InputError, match="only one, or use --kind looks"):
        write_sheet("shapes", ["head", "head"], tmp_path / "a.png")


def test_sheet_on_the_command_line(tmp_path):
    folder = tiny_template(tmp_path / "tiny")
    sheet = tmp_path / "sheet.jpg"
    arguments = ["templates", "sheet", str(folder), "-o", str(sheet), "--kind", "looks", "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert Image.open(sheet).size == Layout(384, 484, 4).size(4)
    wrong = CliRunner().invoke(main, [*arguments[:5], "--look", "x"])
    assert wrong.exit_code == 2
    assert "use clay, demo, emotalk, skin" in wrong.output


@pytest.mark.skipif(not OTHER_PYTHONS, reason="EXOMNI_BPY_PYTHONS names no other Pythons with bpy")
@pytest.mark.parametrize("python", OTHER_PYTHONS)
def test_other_blender_versions_show_the_same_looks(python, drawer, wall):
    script = str(ROOT / "render_jobs" / "video" / "worker.py")
    worker = Worker(WorkerCommand("render worker", (python, script), {"PYTHONPATH": ""}))
    try:
        worker.wait_ready()
        with tempfile.TemporaryDirectory() as folder:
            other = StillDrawer(worker, Path(folder))
            for look in ("clay", "skin", "demo"):  # Blender 5.0 drew its own matcaps anew
                for template in (wall, "head"):
                    ours = draw(drawer, template, look, 128, 192, engine="workbench")
                    theirs = draw(other, template, look, 128, 192, engine="workbench")
                    assert np.abs(ours - theirs).mean() < 1.0, (look, template)
    finally:
        worker.stop()
