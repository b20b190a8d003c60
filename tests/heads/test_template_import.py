# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads in four formats and four naming families become templates; seven broken ones say why not.

All files are made by Blender's own exporters from the built-in head, so what comes back is known.
"""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.clip import Clip, save_clip
from exomni_core.errors import EnvironmentProblem, InputError, WorkerError
from render_jobs.heads.add import BlenderReader, add_template, check_head, read_head
from render_jobs.settings import RenderSettings
from render_jobs.video.ffmpeg_command import find_ffmpeg
from render_jobs.video.make import render_worker
from render_jobs.workers.pool import Worker
from templates.importing.prepare import Wishes
from templates.importing.regions import opening
from templates.importing.store import Label
from templates.library import find_template, load_mesh
from templates.mesh import mesh_from_npz

pytest.importorskip("bpy")
pytestmark = pytest.mark.bpy

ROOT = Path(__file__).resolve().parents[2]
OTHER_PYTHONS = [p for p in os.environ.get("EXOMNI_BPY_PYTHONS", "").split(os.pathsep) if p]
# File, naming family, metres that may be lost on the way.
GOOD = (
    ("claire.npz", "ARKit", 1e-6),
    ("livelink.glb", "ARKit", 1e-5),
    ("arkit.fbx", "ARKit", 1e-5),
    ("unified.blend", "Unified Expressions", 1e-5),
)


def make_files(python, folder):
    script = ROOT / "tests" / "bpy_scripts" / "make_import_files.py"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, script, folder], env=env, capture_output=True, text=True, timeout=300
    )
    assert (folder / "facts.json").is_file(), done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(sys.executable, tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def original(files):
    return mesh_from_npz(files / "original.npz")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The user's folder of templates, found by name."""
    folder = tmp_path_factory.mktemp("library")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXOMNI_TEMPLATES", str(folder))
        yield folder


@pytest.fixture(scope="module")
def reader():
    with BlenderReader() as reader:
        yield reader


@pytest.fixture(scope="module")
def renderer(tmp_path_factory):
    worker = Worker(render_worker(tmp_path_factory.mktemp("scratch")))
    worker.wait_ready()
    yield worker
    worker.stop()


def add(files, name, reader, **wishes):
    label = Label(name.replace(".", "-"), "CC0", "a test", replace=True)
    return add_template(files / name, label, Wishes(**wishes), reader)


@pytest.fixture(scope="module")
def imported(files, library, reader):
    """A function that imports a good file when it is first asked for it."""
    return cache(lambda name: add(files, name, reader))


def changes(renderer, template, folder, channel):
    """(96, 64) how much the picture changes, in grey levels, when a channel goes to 1."""
    weights = np.zeros((12, 52), np.float32)
    weights[6:, CHANNEL_INDEX[channel]] = 1.0
    clip = folder / "one.clip"
    save_clip(Clip(np.zeros(6400), 16_000, weights, fps=30.0), clip)
    settings = RenderSettings(
        template=str(template), width=64, height=96, engine="workbench", look="emotalk"
    )
    video = folder / "one.mp4"
    request = {"clip": str(clip), "video": str(video), "settings": settings.to_json()}
    renderer.ask(request)
    command = [find_ffmpeg(), "-v", "error", "-i", str(video), "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "gray", "-"], capture_output=True, check=True)
    frames = np.frombuffer(raw.stdout, np.uint8).reshape(-1, 96, 64).astype(int)
    assert frames[0].std() > 10  # there is a face
    return abs(frames[8] - frames[0])


def draws_an_open_mouth(renderer, template, folder):
    """Whether the jaw's half of the picture changes when the jaw opens, and the brow's does not."""
    change = changes(renderer, template, folder, "jawOpen")
    return change[40:].max() > 40 and change[:20].max() < 12


@pytest.mark.parametrize(("name", "family", "lost_m"), GOOD)
def test_each_format_and_family_becomes_a_template(
    name, family, lost_m, imported, original, library, renderer, tmp_path
):
    report = imported(name).report
    assert family in report.families
    assert report.coverage == 52
    assert report.bad == ()
    assert report.lips_auto
    assert report.opening_mm > 20
    template = find_template(name.replace(".", "-"))
    assert template.folder == library / name.replace(".", "-")
    assert (template.licence, template.source) == ("CC0", "a test")
    mesh = load_mesh(template)  # checks the lips' hash too
    assert {"lips", "aperture_pairs", "vertex_groups"} <= set(template.derived)
    assert np.allclose(np.ptp(mesh.vertices, axis=0), np.ptp(original.vertices, axis=0), atol=1e-4)
    wanted = opening(original, original.aperture_pairs, jawOpen=1.0).max()
    got = opening(mesh, mesh.aperture_pairs, jawOpen=1.0).max()
    assert got == pytest.approx(wanted, abs=2e-3)
    # Vertex order may change; what each channel does at most may not.
    for channel in ARKIT_52:
        most = [
            np.linalg.norm(m.shapes[CHANNEL_INDEX[channel]], axis=1).max() for m in (mesh, original)
        ]
        assert most[0] == pytest.approx(most[1], abs=max(lost_m, 1e-4)), channel
    assert draws_an_open_mouth(renderer, template.folder, tmp_path)


def test_axes_scale_and_place_of_an_object_are_applied(imported, original):
    """The .blend looks the other way and hangs in the air, scaled."""
    report = imported("unified.blend").report
    assert "-Z" in report.axes
    assert any("to the side" in finding.text for finding in report.findings)
    mesh = load_mesh(find_template("unified-blend"))
    left = mesh.shapes[CHANNEL_INDEX["eyeBlinkLeft"]]
    assert mesh.vertices[np.linalg.norm(left, axis=1) > 0.002, 0].min() > 0
    assert len(mesh.part_names) == len(np.unique(original.polygon_part))


def test_glb_keeps_colours_textures_and_smooth_seams(imported, original):
    imported("livelink.glb")
    template = find_template("livelink-glb")
    mesh = load_mesh(template)
    built_in = find_template("head").part_colours
    assert template.part_colours["lips"] == pytest.approx(built_in["lips"], abs=1e-3)
    assert template.look.colours == "tint"  # the look that heads have by default
    skin = np.unique(mesh.polygons[mesh.polygon_part == mesh.part_names.index("face"), :3])
    assert mesh.tint[skin, 0].std() > 0.05  # redder towards the top
    assert len(mesh.uv) == len(mesh.polygons)
    # The file has a vertex for each seam; a welded head has none more than the original.
    assert len(mesh.vertices) <= len(original.vertices)


def test_of_an_avatar_only_the_head_is_taken_and_at_rest(imported, original):
    report = imported("avatar.glb").report
    assert (report.coverage, report.axes) == (52, "")
    (left_out,) = [f.text for f in report.findings if "no part of the face" in f.text]
    assert left_out.endswith(": shoes")  # and nothing that draws bones
    mesh = load_mesh(find_template("avatar-glb"))
    assert "hat" in mesh.part_names
    for channel in ("jawOpen", "mouthSmileLeft"):
        row = CHANNEL_INDEX[channel]
        most = [np.linalg.norm(m.shapes[row], axis=1).argmax() for m in (mesh, original)]
        push = [m.shapes[row][i] for m, i in zip((mesh, original), most, strict=True)]
        assert np.allclose(*push, atol=1e-4)  # a pose would have turned it


def test_what_a_blend_brings_is_not_run(files, imported):
    imported("unified.blend")
    assert not (files / "ran").exists()


def test_scene_of_a_paper_is_kept_as_it_is(files, imported, renderer, tmp_path):
    added = imported("render.blend")
    assert added.report.coverage == 52
    template = find_template("render-blend")
    assert template.is_blend
    assert template.engine == "workbench"
    assert (added.folder / "head.blend").read_bytes() == (files / "render.blend").read_bytes()
    assert draws_an_open_mouth(renderer, added.folder, tmp_path)
    # One channel of ours, two keys of the file's: both move.
    assert set(template.channels) == {"browInnerUp", "cheekPuff"}
    change = changes(renderer, added.folder, tmp_path, "cheekPuff")
    assert min(change[:, :32].max(), change[:, 32:].max()) > 12


def test_thirty_of_52_work_and_the_rest_is_named(imported, library, renderer, tmp_path):
    report = imported("thirty.glb").report
    assert report.coverage == 30
    assert "browInnerUp" in report.missing
    assert any("browInnerUp" in f.text for f in report.findings if f.code == "missing")
    assert draws_an_open_mouth(renderer, library / "thirty-glb", tmp_path)


def test_faces_that_count_from_one_are_noticed(imported, original):
    report = imported("one_based.npz").report
    assert any("count from 1" in finding.text for finding in report.findings)
    mesh = load_mesh(find_template("one_based-npz"))
    assert len(mesh.vertices) == len(original.vertices)
    assert mesh.polygons.min() <= 0


BROKEN = (
    ("no_keys.glb", r"no shape keys \(it holds Head\)"),
    ("renamed.fbx", r"no shape key has the name .*'Zeta \d+'"),
    ("wrong_unit.npz", r"3\.\d+ m tall .* pass --unit"),
    ("nan.npz", r"shape 'mouthPucker' .*NaN\) at 1 vert"),
    ("huge.npz", r"500,000 vertices; a head may have 400,000"),
)


@pytest.mark.parametrize(("name", "words"), BROKEN)
def test_each_broken_file_is_one_clear_sentence(name, words, files, library, reader):
    with pytest.raises(InputError, match=words) as caught:
        add(files, name, reader)
    sentence = str(caught.value)
    assert name in sentence
    assert "\n" not in sentence
    assert not (library / name.replace(".", "-")).exists()


def test_wrong_unit_works_when_it_is_said(files, library, reader, original):
    report = add(files, "wrong_unit.npz", reader, unit_m=0.1).report
    assert "as you said" in report.unit
    mesh = load_mesh(find_template("wrong_unit-npz"))
    assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(np.ptp(original.vertices[:, 1]), rel=1e-4)
    with pytest.raises(InputError, match="not a head; choose another --unit"):
        add(files, "claire.npz", reader, unit_m=1.0)


def test_a_file_that_is_no_scene_and_one_that_hangs(files, library, tmp_path):
    with BlenderReader() as reader:
        for name in ("x.glb", "x.fbx", "x.blend", "x.vrm"):
            (tmp_path / name).write_bytes(b"nonsense")
            with pytest.raises(InputError, match=rf"{name} can't be read by Blender"):
                read_head(tmp_path / name, reader)
        assert read_head(files / "arkit.fbx", reader)[0].origin.keys == 54  # it lives on
        shutil.copyfile(files / "livelink.glb", tmp_path / "avatar.vrm")  # a GLB by another name
        assert read_head(tmp_path / "avatar.vrm", reader)[0].origin.format == "gltf"
    with (
        BlenderReader(time_limit_s=0.001) as hasty,
        pytest.raises(WorkerError, match=r"livelink\.glb may be broken .* was stopped"),
    ):
        read_head(files / "livelink.glb", hasty)
    with (
        BlenderReader(Path("/no/such/blender")) as absent,
        pytest.raises(EnvironmentProblem, match="can't be started"),
    ):
        read_head(files / "livelink.glb", absent)


def test_check_tells_the_same_without_keeping_anything(files, imported, library, reader):
    kept = imported("thirty.glb")
    before = sorted(library.iterdir())
    report = check_head(str(files / "thirty.glb"), Wishes(), reader)
    again = check_head(str(kept.folder), Wishes(), reader)
    assert report.missing == again.missing == kept.report.missing
    assert sorted(library.iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize("python", OTHER_PYTHONS)
def test_other_blenders_make_and_read_the_same(python, tmp_path_factory, library, monkeypatch):
    files = make_files(python, tmp_path_factory.mktemp("files"))
    monkeypatch.setattr("render_jobs.heads.add.sys.executable", python)
    with BlenderReader() as reader:
        for name, family, _ in (*GOOD, ("render.blend", "ARKit", 0)):
            report = add(files, name, reader).report
            assert report.coverage == 52, (python, name)
            assert family in report.families
            assert report.opening_mm > 20
        for name, words in BROKEN:
            with pytest.raises(InputError, match=words):
                add(files, name, reader)
    assert json.loads((files / "facts.json").read_text())["blender"][0] in "45"
