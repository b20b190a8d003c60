# SPDX-License-Identifier: GPL-3.0-or-later
"""The render worker: same in, same out; wishes obeyed; every failure one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bpy_scripts.samples import flash_clip, moving_clip, tiny_template

from exomni_core.errors import ClipError, EnvironmentProblem, InputError
from exomni_core.retime import FrameRate, parse_frame_rate
from exomni_core.storage.files import sha256_file
from render_jobs.settings import RenderSettings, settings_from_json
from render_jobs.video.ffmpeg_command import find_ffmpeg
from render_jobs.video.make import render_video, render_worker
from render_jobs.video.mux import probe
from render_jobs.workers.pool import Worker, WorkerCommand

pytest.importorskip("bpy")
pytestmark = pytest.mark.bpy

ROOT = Path(__file__).resolve().parents[3]
OTHER_PYTHONS = [p for p in os.environ.get("EXOMNI_BPY_PYTHONS", "").split(os.pathsep) if p]


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = Worker(render_worker(tmp_path_factory.mktemp("scratch")))
    assert worker.wait_ready()["blender"]
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_template(tmp_path_factory.mktemp("templates") / "tiny")


def small(template, **changes):
    return RenderSettings(template=str(template), **{"width": 32, "height": 48, **changes})


def ask(worker, clip, video, settings, on_event=None):
    request = {"job": "j", "clip": str(clip), "video": str(video), "settings": settings.to_json()}
    return worker.ask(request, on_event)


def pictures(video, width=32, height=48):
    command = [find_ffmpeg(), "-v", "error", "-i", str(video), "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    return np.frombuffer(raw.stdout, np.uint8).reshape(-1, height, width, 3).astype(int)


def test_same_clip_gives_the_same_bytes_in_this_and_another_process(
    worker, tiny, tmp_path, tmp_path_factory
):
    clip = moving_clip(tmp_path / "a.clip")
    names = []
    for name in ("first", "second"):
        render_video(worker, clip, tmp_path / f"{name}.mp4", small(tiny), "key", work=tmp_path)
        names.append(name)
    fresh = Worker(render_worker(tmp_path_factory.mktemp("scratch")))
    fresh.wait_ready()
    render_video(fresh, clip, tmp_path / "third.mp4", small(tiny), "key", work=tmp_path)
    fresh.stop()
    hashes = {sha256_file(tmp_path / f"{name}.mp4") for name in (*names, "third")}
    assert len(hashes) == 1
    other = moving_clip(tmp_path / "b.clip", seed=1)
    render_video(worker, other, tmp_path / "other.mp4", small(tiny), "key", work=tmp_path)
    assert sha256_file(tmp_path / "other.mp4") not in hashes
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix not in (".mp4", ".clip")) == []


def test_picture_shows_the_weights(worker, tiny, tmp_path):
    """The flap is shown from the very row where the jaw opens, and the plate before and after."""
    clip = flash_clip(tmp_path / "a.clip", [6], seconds=0.5, fps=30.0)
    ask(worker, clip, tmp_path / "a.mp4", small(tiny))
    brightness = pictures(tmp_path / "a.mp4")[:, 20:28, 12:20].mean(axis=(1, 2, 3))
    assert len(brightness) == 15
    assert (brightness[6:12] > 200).all(), brightness
    assert (brightness[:6] < 40).all(), brightness
    assert (brightness[12:] < 40).all(), brightness


def test_plate_fills_the_picture(worker, tiny, tmp_path):
    """The worked-out camera shows all of the head (2:3, as the picture is) and nothing else."""
    clip = flash_clip(tmp_path / "a.clip", [0], seconds=0.2, fps=30.0)
    ask(worker, clip, tmp_path / "a.mp4", small(tiny, width=64, height=96))
    flap = pictures(tmp_path / "a.mp4", 64, 96)[2].mean(axis=2) > 128
    rows, columns = np.flatnonzero(flap.any(axis=1)), np.flatnonzero(flap.any(axis=0))
    # The flap is 0.9 of the plate but stands a bit nearer, so it covers a bit more than 0.9.
    assert 0.9 <= len(rows) / 96 <= 1.0
    assert 0.9 <= len(columns) / 64 <= 1.0
    assert abs(rows[0] - (95 - rows[-1])) <= 1
    assert abs(columns[0] - (63 - columns[-1])) <= 1


def test_settings_change_from_clip_to_clip(worker, tiny, tmp_path):
    clip = moving_clip(tmp_path / "a.clip", seconds=0.4)
    for size, rate, frames in (((32, 48), "30", 12), ((64, 32), "24", 10), ((32, 48), "30", 12)):
        settings = small(tiny, width=size[0], height=size[1], frame_rate=parse_frame_rate(rate))
        answer = ask(worker, clip, tmp_path / "a.mp4", settings)
        info = probe(tmp_path / "a.mp4")
        assert ((info.width, info.height), info.frames) == (size, frames)
        assert answer["frames"] == frames
        assert answer["duration_s"] == pytest.approx(0.4)


def test_progress_counts_up_to_all_frames(worker, tiny, tmp_path):
    clip = moving_clip(tmp_path / "a.clip", seconds=0.5)
    heard = []
    ask(worker, clip, tmp_path / "a.mp4", small(tiny), heard.append)
    assert heard[-1]["done"] == heard[-1]["of"] == 15
    assert [m["done"] for m in heard] == sorted({m["done"] for m in heard})
    assert all(m["job"] == "j" for m in heard)


@pytest.mark.parametrize("name", ["take #3.mp4", "{blend_name}.mp4", "ä 口 %04d.mp4"])
def test_any_file_name_is_taken_literally(name, worker, tiny, tmp_path):
    clip = moving_clip(tmp_path / "a.clip", seconds=0.1)
    render_video(worker, clip, tmp_path / name, small(tiny), "key", work=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a.clip", name])


def test_cycles_draws_too(worker, tiny, tmp_path):
    clip = flash_clip(tmp_path / "a.clip", [1], seconds=0.1, fps=30.0)
    ask(worker, clip, tmp_path / "a.mp4", small(tiny, engine="cycles", samples=1))
    shown = pictures(tmp_path / "a.mp4").mean(axis=(1, 2, 3))
    assert shown[1] > shown[0] + 50
    ask(worker, clip, tmp_path / "b.mp4", small(tiny))  # and back to Workbench
    assert pictures(tmp_path / "b.mp4")[1].mean() > 100


@pytest.mark.slow
def test_eevee_draws_too(worker, tiny, tmp_path):
    clip = flash_clip(tmp_path / "a.clip", [1], seconds=0.1, fps=30.0)
    ask(worker, clip, tmp_path / "a.mp4", small(tiny, engine="eevee", samples=1))
    shown = pictures(tmp_path / "a.mp4").mean(axis=(1, 2, 3))
    assert shown[1] > shown[0] + 50


def test_worker_lives_on_after_bad_requests(worker, tiny, tmp_path):
    good = moving_clip(tmp_path / "good.clip", seconds=0.1)
    damaged = tmp_path / "damaged.clip"
    damaged.write_bytes(good.read_bytes()[:-40])
    with pytest.raises(ClipError, match=r"damaged\.clip"):
        ask(worker, damaged, tmp_path / "x.mp4", small(tiny))
    with pytest.raises(ClipError, match="can't be read"):
        ask(worker, tmp_path / "absent.clip", tmp_path / "x.mp4", small(tiny))
    with pytest.raises(InputError, match="no template 'nonsense'"):
        ask(worker, good, tmp_path / "x.mp4", small("nonsense"))
    wrong = tiny_template(tmp_path / "wrong", look={"light": "MATCAP", "matcap": "none.exr"})
    with pytest.raises(InputError, match=r"no studio_light called 'none\.exr'"):
        ask(worker, good, tmp_path / "x.mp4", small(wrong))
    assert not (tmp_path / "x.mp4").exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="choose another place"):
        ask(worker, good, tmp_path / "file" / "x.mp4", small(tiny))
    assert ask(worker, good, tmp_path / "x.mp4", small(tiny))["frames"] == 3


def test_nothing_piles_up_from_clip_to_clip(tiny, tmp_path):
    clips = [str(moving_clip(tmp_path / f"{i}.clip", seconds=0.1, seed=i)) for i in range(4)]
    script = str(ROOT / "tests" / "bpy_scripts" / "check_render.py")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, str(tiny), str(tmp_path), *clips]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def test_changed_template_is_loaded_anew(worker, tmp_path):
    folder = tiny_template(tmp_path / "t")
    clip = flash_clip(tmp_path / "a.clip", [0], seconds=0.1, fps=30.0)
    ask(worker, clip, tmp_path / "white.mp4", small(folder))
    tiny_template(folder, part_colours={"plate": [0, 0, 0], "flap": [1.0, 0.0, 0.0]})
    ask(worker, clip, tmp_path / "red.mp4", small(folder))
    white, red = (pictures(tmp_path / f"{n}.mp4")[1, 24, 16] for n in ("white", "red"))
    assert white.min() > 200
    assert red[0] > 180
    assert red[2] < 60


def test_machine_without_opengl_is_told_what_to_install(tmp_path):
    """Blender ends itself with SIGABRT there; the parent must make a sentence of that."""
    blind = render_worker(tmp_path)
    env = {**blind.env, "__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent", "DISPLAY": ""}
    worker = Worker(WorkerCommand(blind.name, blind.argv, env, fatal_hint=blind.fatal_hint))
    with pytest.raises(EnvironmentProblem, match="OpenGL") as caught:
        worker.wait_ready()
    assert "libegl1" in str(caught.value)


def test_missing_system_library_is_told_by_name(monkeypatch, tmp_path):
    """A bpy that can't load a library answers `unfit` with the packages to install."""
    (tmp_path / "bpy.py").write_text("raise ImportError('libXi.so.6: cannot open shared object')")
    broken = render_worker(tmp_path)
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    worker = Worker(WorkerCommand(broken.name, broken.argv, env))
    with pytest.raises(EnvironmentProblem, match=r"libXi\.so\.6.*apt-get install.*libxi6"):
        worker.wait_ready()


@pytest.mark.skipif(not OTHER_PYTHONS, reason="EXOMNI_BPY_PYTHONS names no other Pythons with bpy")
@pytest.mark.parametrize("python", OTHER_PYTHONS)
def test_other_blender_versions_render_the_same_flash(python, tiny, tmp_path):
    """Started as a bare script, as a user's own Blender starts it: no package, no PYTHONPATH."""
    script = str(ROOT / "render_jobs" / "video" / "worker.py")
    worker = Worker(WorkerCommand("render worker", (python, script), {"PYTHONPATH": ""}))
    worker.wait_ready()
    clip = flash_clip(tmp_path / "a.clip", [6], seconds=0.5, fps=30.0)
    settings = small(tiny, frame_rate=FrameRate(30, 1.001))
    render_video(worker, clip, tmp_path / "a.mp4", settings, "key", work=tmp_path)
    brightness = pictures(tmp_path / "a.mp4")[:, 20:28, 12:20].mean(axis=(1, 2, 3))
    assert np.flatnonzero(brightness > 128).tolist() == list(range(6, 12))
    for engine in ("cycles",):
        ask(worker, clip, tmp_path / "b.mp4", small(tiny, engine=engine, samples=1))
    worker.stop()


def test_blend_file_with_its_own_camera(worker, tmp_path):
    """A user's .blend: its keys are found by name, its camera and look stay, its drivers go."""
    blend = tmp_path / "own head.blend"
    script = ROOT / "tests" / "bpy_scripts" / "make_blend.py"
    done = subprocess.run([sys.executable, script, blend], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    clip = flash_clip(tmp_path / "a.clip", [2], seconds=0.2, fps=30.0)
    assert ask(worker, clip, tmp_path / "a.mp4", small(blend))["frames"] == 6
    shown = pictures(tmp_path / "a.mp4")[:, 24, 16]
    assert len(shown) == 6
    assert shown[2:5, 1].min() > 180  # the flap is green in that file
    assert shown[:2, 1].max() < 60
    assert shown[2:5, 0].max() < 60


def test_blend_files_that_will_not_do(worker, tmp_path):
    clip = moving_clip(tmp_path / "a.clip", seconds=0.1)
    (tmp_path / "junk.blend").write_bytes(b"BLENDER? no")
    with pytest.raises(InputError, match=r"junk\.blend can't be opened"):
        ask(worker, clip, tmp_path / "a.mp4", small(tmp_path / "junk.blend"))
    script = (
        "import bpy, sys; bpy.ops.wm.read_factory_settings(use_empty=True);"
        "bpy.ops.mesh.primitive_cube_add(); cube = bpy.context.object;"
        "cube.shape_key_add(name='Basis'); cube.shape_key_add(name='smirk');"
        "bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])"
    )
    plain = tmp_path / "plain.blend"
    subprocess.run([sys.executable, "-c", script, str(plain)], capture_output=True, check=True)
    with pytest.raises(InputError, match="'smirk'"):
        ask(worker, clip, tmp_path / "a.mp4", small(plain))


@pytest.mark.slow
def test_memory_stays_flat_over_a_hundred_clips(worker, tiny, tmp_path):
    psutil = pytest.importorskip("psutil")
    clip = moving_clip(tmp_path / "a.clip", seconds=0.3)
    memory = psutil.Process(worker.pid).memory_info
    sizes = []
    for _ in range(120):
        ask(worker, clip, tmp_path / "a.mp4", small(tiny))
        sizes.append(memory().rss / 2**20)
    print(f"RSS after 20 clips {sizes[19]:.1f} MB, after 120 {sizes[-1]:.1f} MB")
    assert sizes[-1] - sizes[19] < 10


def test_settings_survive_the_wire_and_refuse_nonsense():
    settings = RenderSettings("x", "cycles", 64, 32, FrameRate(30, 1.001), 4)
    assert settings_from_json(settings.to_json()) == settings
    with pytest.raises(InputError, match="even"):
        RenderSettings(width=33)
    with pytest.raises(InputError, match="render engine"):
        RenderSettings(engine="blender")
