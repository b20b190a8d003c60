# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast engine shows what Workbench shows, on moving frames, in every light and on any head."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bpy_scripts.samples import ICT_NPZ, moving_clip, tiny_template

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.errors import InputError
from exomni_core.storage.files import sha256_file
from render_jobs.settings import RenderSettings
from render_jobs.video.ffmpeg_command import find_ffmpeg
from render_jobs.video.make import render_video, render_worker
from render_jobs.video.mux import probe
from render_jobs.workers.pool import Worker, WorkerCommand
from templates.mesh import TemplateMesh, save_npz

pytest.importorskip("bpy")
pytestmark = pytest.mark.bpy

ROOT = Path(__file__).resolve().parents[3]
OTHER_PYTHONS = [p for p in os.environ.get("EXOMNI_BPY_PYTHONS", "").split(os.pathsep) if p]
FRAMES = 6
PARTS = {"shell": [0.8, 0.5, 0.4], "dark": [0.03, 0.02, 0.02], "bowl": [0.2, 0.5, 0.8]}
MATCAP = {"light": "MATCAP", "world_colour": [0.25, 0.27, 0.3]}


@pytest.fixture(scope="module")
def pictures():
    """benchmarks/render_pictures.py, which says how alike two pictures are."""
    path = ROOT / "benchmarks" / "render_pictures.py"
    spec = importlib.util.spec_from_file_location("render_pictures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = Worker(render_worker(tmp_path_factory.mktemp("scratch")))
    worker.wait_ready()
    yield worker
    worker.stop()


def sphere(centre, radius, rings=24, around=32, opened=0):
    """Points and quads of a ball without its poles; `opened` more rings left out at the front."""
    angle = np.pi * (0.02 + 0.96 * np.arange(rings + 1) / rings)[opened:]
    turn = 2 * np.pi * np.arange(around) / around
    points = np.stack(
        [
            np.outer(np.sin(angle), np.cos(turn)),
            np.outer(np.sin(angle), np.sin(turn)),
            np.repeat(np.cos(angle)[:, None], around, 1),
        ],
        axis=-1,
    )
    at = np.arange(points.shape[0] * around).reshape(-1, around)
    right = np.roll(at, -1, axis=1)
    quads = np.stack([at[:-1], at[1:], right[1:], right[:-1]], axis=-1).reshape(-1, 4)
    return points.reshape(-1, 3) * radius + centre, quads


def spheres(folder, **look):
    """A template of balls that move and a bowl whose inside is seen; returns its folder."""
    pieces = [
        sphere([0.0, 0.03, -0.05], 0.1),
        sphere([0.03, -0.02, 0.03], 0.03),
        sphere([-0.05, -0.08, 0.05], 0.05, opened=8),
    ]
    points, quads, part = [], [], []
    for number, (piece, faces) in enumerate(pieces):
        quads.append(faces + sum(map(len, points)))
        points.append(piece)
        part.append(np.full(len(faces), number))
    vertices = np.vstack(points).astype(np.float32)
    shapes = np.zeros((len(ARKIT_52), *vertices.shape), np.float32)
    shapes[CHANNEL_INDEX["jawOpen"], :, 1] = -0.04 * (vertices[:, 1] < 0)
    shapes[CHANNEL_INDEX["mouthFunnel"]] = 0.02 * np.sin(60 * vertices[:, [1, 2, 0]])
    mesh = TemplateMesh(
        vertices=vertices,
        polygons=np.vstack(quads).astype(np.int32),
        polygon_part=np.concatenate(part).astype(np.uint8),
        part_names=tuple(PARTS),
        shapes=shapes,
        missing_shapes=tuple(n for n in ARKIT_52 if n not in ("jawOpen", "mouthFunnel")),
    )
    return template(folder, mesh, part_colours=PARTS, look={**MATCAP, **look})


def template(folder, mesh, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    save_npz(mesh, folder / "mesh.npz")
    told = {
        "schema_version": 1,
        "name": folder.name,
        "title": "t",
        "mesh": "mesh.npz",
        "licence": "GPL-3.0-or-later",
        "source": "tests",
        **changes,
    }
    (folder / "template.json").write_text(json.dumps(told))
    return folder


def moving_rows(count=FRAMES, seed=3):
    """(count, 52) smooth weights, far from neutral, as in speech."""
    rng = np.random.default_rng(seed)
    speed, phase = rng.uniform(0.4, 4, 52), rng.uniform(0, 6, 52)
    high = rng.uniform(0.05, 0.5, 52)
    wave = high * (0.5 + 0.5 * np.sin(speed * 0.9 * np.arange(count)[:, None] + phase))
    return wave.astype(np.float32)


def stills(worker, folder, settings, rows):
    """(n, H, W, 3) pictures of the poses."""
    np.save(folder / "rows.npy", rows)
    worker.ask(
        {
            "job": "s",
            "stills": str(folder / "rows.npy"),
            "pictures": str(folder / "out.npy"),
            "settings": settings.to_json(),
        }
    )
    return np.load(folder / "out.npy")


def both(worker, folder, rows, **settings):
    """The same poses drawn by the fast engine and by Workbench with 16 samples."""
    wanted = {"width": 192, "height": 288, **settings}
    fast = stills(worker, folder, RenderSettings(**wanted, engine="fast"), rows)
    return fast, stills(
        worker, folder, RenderSettings(**wanted, engine="workbench", samples=16), rows
    )


def assert_alike(pictures, fast, wanted, least=0.98):
    assert fast.shape == wanted.shape
    assert np.abs(fast[1:].astype(int) - fast[:-1]).max() > 20  # it moves
    alike = [pictures.ssim(a, b) for a, b in zip(fast, wanted, strict=True)]
    specks = [pictures.count_specks(a, b) for a, b in zip(fast, wanted, strict=True)]
    print("SSIM", np.round(alike, 4), "specks", specks)
    assert min(alike) >= least
    assert sum(specks) == 0
    assert np.abs(fast[:, 0, 0].astype(int) - wanted[:, 0, 0]).max() <= 1  # the background


@pytest.mark.parametrize("look", ["emotalk", "clay", "skin", "demo"])
def test_the_built_in_head_in_every_look(look, worker, pictures, tmp_path):
    # The head has fine lashes, so the picture isn't too small.
    size = {"width": 256, "height": 384}
    fast, wanted = both(worker, tmp_path, moving_rows(), look=look, **size)
    assert_alike(pictures, fast, wanted)


@pytest.mark.parametrize(
    "look",
    [
        {},
        {"light": "STUDIO"},
        {"light": "FLAT"},
        {"camera": "ORTHO"},
        {"light": "STUDIO", "camera": "ORTHO"},
        {"light": "MATCAP", "matcap": "check_rim_light.exr"},
    ],
    ids=lambda look: "-".join(map(str, look.values())) or "default",
)
def test_balls_and_the_inside_of_a_bowl_in_every_light(look, worker, pictures, tmp_path):
    folder = spheres(tmp_path / "balls", **look)
    fast, wanted = both(worker, tmp_path, moving_rows(), template=str(folder))
    assert_alike(pictures, fast, wanted)


@pytest.mark.skipif(not ICT_NPZ.is_file(), reason=f"needs {ICT_NPZ}")
def test_another_head(worker, pictures, tmp_path):
    fast, wanted = both(worker, tmp_path, moving_rows(), template=str(ICT_NPZ))
    assert_alike(pictures, fast, wanted)


def test_more_samples_are_smoother(worker, pictures, tmp_path):
    folder = str(spheres(tmp_path / "balls"))
    rows = moving_rows(2)
    alike = []
    for samples in (1, 4, 9):
        wanted = {"template": folder, "width": 96, "height": 144}
        fast = stills(
            worker, tmp_path, RenderSettings(**wanted, engine="fast", samples=samples), rows
        )
        best = stills(
            worker, tmp_path, RenderSettings(**wanted, engine="workbench", samples=32), rows
        )
        alike.append(min(pictures.ssim(a, b) for a, b in zip(fast, best, strict=True)))
    assert alike[0] < alike[1] < alike[2] + 0.002


def test_a_speck_and_a_shifted_picture_are_noticed(pictures):
    """The test's own instruments."""
    rng = np.random.default_rng(0)
    picture = np.repeat(rng.integers(80, 120, (40, 40, 1)).astype(np.uint8), 3, axis=2)
    spotted = picture.copy()
    spotted[20, 20] = 255
    spotted[30, 5] = 0
    assert pictures.count_specks(picture, picture) == 0
    assert pictures.count_specks(spotted, picture) == 2
    assert pictures.ssim(picture, picture) == pytest.approx(1.0)
    assert pictures.ssim(np.roll(picture, 1, axis=1), picture) < 0.9


def film(worker, clip, video, settings):
    return render_video(worker, clip, video, settings, "k" * 64, work=video.parent)


def test_the_video_shows_the_stills(worker, tmp_path):
    """Size, colours and order survive the way through ffmpeg, at an odd width too."""
    folder = spheres(tmp_path / "balls")
    clip = moving_clip(tmp_path / "a.clip", seconds=0.3)
    settings = RenderSettings(str(folder), "fast", 98, 66)
    film(worker, clip, tmp_path / "a.mp4", settings)
    from exomni_core.clip import load_face

    wanted = stills(worker, tmp_path, settings, load_face(clip).weights)
    command = [find_ffmpeg(), "-v", "error", "-i", str(tmp_path / "a.mp4"), "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    planes = np.frombuffer(raw, np.uint8).reshape(-1, 66 * 98 * 3 // 2)
    assert len(planes) == len(wanted) == 9
    # BT.709, 16 to 235: the players' conversion to RGB is not ours to test.
    luma = (planes[:, : 66 * 98].reshape(-1, 66, 98) - 16.0) * 255 / 219
    assert np.abs(luma - wanted @ [0.2126, 0.7152, 0.0722]).mean() < 1.5
    blue, red = (planes[:, 66 * 98 :].reshape(9, 2, -1).mean(axis=2).T - 128) * 255 / 224
    middle = wanted.reshape(9, -1, 3).mean(axis=1)
    bright = middle @ [0.2126, 0.7152, 0.0722]
    assert np.abs(blue - (middle[:, 2] - bright) / 1.8556).max() < 1.0
    assert np.abs(red - (middle[:, 0] - bright) / 1.5748).max() < 1.0
    assert probe(tmp_path / "a.mp4").audio_start_s == pytest.approx(0.0, abs=1e-4)


def test_the_same_clip_gives_the_same_bytes_from_any_worker(worker, tmp_path, tmp_path_factory):
    """This worker with all cores, and pinned ones with a core each."""
    folder = spheres(tmp_path / "balls")
    clip = moving_clip(tmp_path / "a.clip", seconds=0.7)
    settings = RenderSettings(str(folder), "fast", 64, 96)
    film(worker, clip, tmp_path / "0.mp4", settings)
    film(worker, moving_clip(tmp_path / "b.clip", seed=4), tmp_path / "b.mp4", settings)
    film(worker, clip, tmp_path / "1.mp4", settings)
    for slot in (0, 1):
        other = Worker(render_worker(tmp_path_factory.mktemp("scratch")), slot, of=2)
        other.wait_ready()
        film(other, clip, tmp_path / f"{slot + 2}.mp4", settings)
        other.stop()
    assert len({sha256_file(tmp_path / f"{n}.mp4") for n in range(4)}) == 1
    assert sha256_file(tmp_path / "b.mp4") != sha256_file(tmp_path / "0.mp4")


def ask(worker, clip, video, settings):
    return worker.ask(
        {"job": "j", "clip": str(clip), "video": str(video), "settings": settings.to_json()}
    )


def test_auto_is_fast_where_it_can_be_and_else_workbench_with_a_note(worker, tmp_path):
    clip = moving_clip(tmp_path / "a.clip", seconds=0.1)
    size = {"width": 32, "height": 48}
    told = ask(
        worker, clip, tmp_path / "a.mp4", RenderSettings(str(tiny_template(tmp_path / "t")), **size)
    )
    assert (told["engine"], told["notes"]) == ("fast", [])
    slow = RenderSettings(str(tiny_template(tmp_path / "slow", engine="workbench")), **size)
    assert ask(worker, clip, tmp_path / "s.mp4", slow)["engine"] == "workbench"
    named = RenderSettings(slow.template, "fast", **size)
    assert (
        ask(worker, clip, tmp_path / "n.mp4", named)["engine"] == "fast"
    )  # the user's word counts
    look = {"light": "FLAT", "view_transform": "Raw"}
    raw = RenderSettings(str(tiny_template(tmp_path / "raw", look=look)), **size)
    told = ask(worker, clip, tmp_path / "b.mp4", raw)
    assert told["engine"] == "workbench"
    assert "because its view transform is Raw" in told["notes"][0]
    with pytest.raises(InputError, match=r"can't draw this: its view transform.*workbench"):
        ask(worker, clip, tmp_path / "c.mp4", RenderSettings(raw.template, "fast", **size))
    video = tmp_path / "noted.mp4"
    assert "Raw" in film(worker, clip, video, raw).notes[0]
    assert probe(video).audio_start_s is not None


@pytest.mark.skipif(not OTHER_PYTHONS, reason="EXOMNI_BPY_PYTHONS names no other Pythons with bpy")
@pytest.mark.parametrize("python", OTHER_PYTHONS)
def test_other_blender_versions_draw_it_too(python, pictures, tmp_path):
    script = str(ROOT / "render_jobs" / "video" / "worker.py")
    command = WorkerCommand("render worker", (python, script), {"PYTHONPATH": ""}, own_cores=True)
    worker = Worker(command)
    worker.wait_ready()
    fast, wanted = both(worker, tmp_path, moving_rows(), template=str(spheres(tmp_path / "b")))
    assert_alike(pictures, fast, wanted)
    clip = moving_clip(tmp_path / "a.clip", seconds=0.3)
    settings = RenderSettings(str(tmp_path / "b"), "fast", 64, 96)
    film(worker, clip, tmp_path / "a.mp4", settings)
    film(worker, clip, tmp_path / "b.mp4", settings)
    worker.stop()
    assert sha256_file(tmp_path / "a.mp4") == sha256_file(tmp_path / "b.mp4")


def test_a_mirror_on_a_coarse_mesh_is_left_to_workbench(worker, pictures, tmp_path):
    folder = str(spheres(tmp_path / "balls", matcap="metal_carpaint.exr"))
    clip = moving_clip(tmp_path / "a.clip", seconds=0.1)
    size = {"width": 192, "height": 288}
    told = ask(worker, clip, tmp_path / "a.mp4", RenderSettings(folder, "auto", **size))
    assert told["engine"] == "workbench"
    assert "changes faster than its mesh has vertices" in told["notes"][0]
    # By name it is drawn all the same, and not well.
    assert ask(worker, clip, tmp_path / "a.mp4", RenderSettings(folder, "fast", **size))
    fast, wanted = both(worker, tmp_path, moving_rows(1), template=folder)
    assert 0.9 < pictures.ssim(fast[0], wanted[0]) < 0.98


def test_a_transparent_picture_has_the_same_head_and_no_background(worker, tmp_path):
    folder = str(spheres(tmp_path / "balls"))
    size = {"width": 96, "height": 144}
    rows = moving_rows(1)
    plain = stills(worker, tmp_path, RenderSettings(folder, "fast", **size), rows)[0]
    clear = stills(worker, tmp_path, RenderSettings(folder, "auto", **size, alpha=True), rows)[0]
    assert clear.shape == (144, 96, 4)
    solid, empty = clear[..., 3] == 255, clear[..., 3] == 0
    assert np.array_equal(clear[solid][:, :3], plain[solid])
    assert empty[0, 0]
    assert 0.2 < solid.mean() < 0.9
    # Laid over the background again, the edges are what they were.
    share = clear[..., 3:] / 255
    again = clear[..., :3] * share + plain[0, 0] * (1 - share)
    assert np.abs(again - plain).max() <= 2


@pytest.mark.parametrize("ending", [".mov", ".webm"])
def test_a_transparent_video_keeps_its_alpha_and_its_sound(ending, worker, tmp_path):
    clip = moving_clip(tmp_path / "a.clip", seconds=0.3)
    folder = str(spheres(tmp_path / "balls"))
    settings = RenderSettings(folder, "auto", 96, 144, alpha=True)
    names = [tmp_path / f"{n}{ending}" for n in "ab"]
    for name in names:
        film(worker, clip, name, settings)
    assert names[0].read_bytes() == names[1].read_bytes()
    decoder = ["-c:v", "libvpx-vp9"] if ending == ".webm" else []
    command = [find_ffmpeg(), "-v", "error", *decoder, "-i", str(names[0]), "-vf", "alphaextract"]
    command += ["-f", "rawvideo", "-pix_fmt", "gray", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    alpha = np.frombuffer(raw, np.uint8).reshape(-1, 144, 96)
    assert len(alpha) == 9
    assert alpha[:, 0, 0].max() <= 2
    assert alpha[:, 70, 48].min() >= 250
    assert probe(names[0]).audio_end_s == pytest.approx(0.3, abs=0.03)


def test_only_the_fast_engine_leaves_the_background_out(worker, tmp_path):
    clip = moving_clip(tmp_path / "a.clip", seconds=0.1)
    tiny = str(tiny_template(tmp_path / "tiny"))
    with pytest.raises(InputError, match="needs the fast engine: workbench can't"):
        ask(worker, clip, tmp_path / "a.mov", RenderSettings(tiny, "workbench", alpha=True))


def test_the_head_moves_with_the_clips_seed_and_else_not(worker, tmp_path):
    clip = moving_clip(tmp_path / "a.clip", seconds=1.5)
    folder = str(spheres(tmp_path / "balls"))
    sizes = {"width": 64, "height": 96}
    for name, share in (("still", 0.0), ("one", 1.0), ("two", 1.0)):
        settings = RenderSettings(folder, "auto", **sizes, head_motion=share)
        film(worker, clip, tmp_path / f"{name}.mp4", settings)
    hashes = {name: sha256_file(tmp_path / f"{name}.mp4") for name in ("still", "one", "two")}
    assert hashes["one"] == hashes["two"] != hashes["still"]
    settings = RenderSettings(folder, "workbench", **sizes, head_motion=1.0)
    assert "stays still" in film(worker, clip, tmp_path / "w.mp4", settings).notes[0]


def test_where_opengl_fails_workbench_takes_over_with_a_note(tmp_path):
    script = str(ROOT / "tests" / "bpy_scripts" / "check_fast.py")
    command = [sys.executable, script, str(tiny_template(tmp_path / "tiny")), str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all is well" in done.stdout


@pytest.mark.slow
def test_memory_stays_flat_over_ten_thousand_frames(worker, tmp_path):
    psutil = pytest.importorskip("psutil")
    folder = str(spheres(tmp_path / "balls"))
    settings = RenderSettings(folder, "fast", 64, 96)
    clip = moving_clip(tmp_path / "a.clip", seconds=10_000 / 30)
    seen = []

    def heard(_):
        seen.append(psutil.Process(worker.pid).memory_info().rss / 2**20)

    render_video(worker, clip, tmp_path / "a.mp4", settings, "k", work=tmp_path, on_frames=heard)
    assert probe(tmp_path / "a.mp4").frames == 10_000
    later = seen[len(seen) // 4 :]
    print(f"RSS {later[0]:.1f} MB after a quarter, {later[-1]:.1f} MB at the end")
    assert later[-1] - later[0] < 10
