# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender` as a person types it: help at once, verbs end to end, errors in one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from exomni_core.clip import load_clip
from exomni_core.formats.convert import read_face
from render_jobs.video.mux import probe

VERBS = ("batch", "say", "lipsync", "reply", "render", "convert", "info", "templates", "doctor")
TINY = ("--size", "64x96", "--fps", "12")


def exorender(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "render_jobs.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "hello.clip"
    done = exorender("say", "Hello, Bob.", "-o", path)
    assert done.returncode == 0, done.stderr
    return path


def test_help_loads_nothing_heavy() -> None:
    """Speed is a benchmark's matter; that the slow packages stay out is a test's."""
    code = (
        "import sys; sys.argv = ['exorender', '--help']\n"
        "from render_jobs.cli.commands import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'bpy', 'torch', 'rich', 'soundfile'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for verb in VERBS:
        assert verb in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    done = exorender(verb, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_say_makes_a_clip_that_info_describes(hello: Path) -> None:
    facts = json.loads(exorender("info", hello, "--json").stdout)
    assert facts["text"] == "Hello, Bob."
    assert facts["route"] == "tts_events"
    assert facts["words"] == 2
    assert facts["frames"] == len(load_clip(hello).weights)
    assert "strongest" in exorender("info", hello).stdout


def test_say_makes_a_video(tmp_path: Path) -> None:
    done = exorender("say", "Yes.", "-o", tmp_path / "yes.mp4", *TINY, "--json", "--contact-sheet")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    video = probe(tmp_path / "yes.mp4")
    assert video.frames == facts["frames"]
    assert (video.width, video.height) == (64, 96)
    assert (tmp_path / "yes.png").is_file()
    assert {p.name for p in tmp_path.iterdir()} == {"yes.mp4", "yes.png"}


def test_render_draws_a_clip_at_another_rate(hello: Path, tmp_path: Path) -> None:
    video = tmp_path / "hello.mp4"
    done = exorender("render", hello, "-o", video, "--size", "64x96", "--fps", "29.97")
    assert done.returncode == 0, done.stderr
    assert video.is_file()
    assert done.stdout.strip() == f"wrote {video}"


@pytest.mark.parametrize("extension", ["json", "csv", "npy"])
def test_convert_there(hello: Path, tmp_path: Path, extension: str) -> None:
    target = tmp_path / f"hello.{extension}"
    done = exorender("convert", hello, target)
    assert done.returncode == 0, done.stderr
    track = read_face(target)
    np.testing.assert_allclose(track.weights, load_clip(hello).weights, atol=1e-6)


def test_lipsync_keeps_the_recording(hello: Path, tmp_path: Path) -> None:
    clip = load_clip(hello)
    sound = tmp_path / "speech.wav"
    soundfile.write(sound, clip.audio, clip.sample_rate_hz)
    target = tmp_path / "speech.clip"
    done = exorender("lipsync", sound, "--transcript", "Hello, Bob.", "-o", target, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["route"] == "transcript"
    np.testing.assert_array_equal(load_clip(target).audio, clip.audio)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("say", "Hi", "-o", "x.avi"), 2, "must end in .clip or .mp4"),
        (("say", "Hi", "-o", "x.mp4", "--size", "big"), 2, "not a size such as 512x768"),
        (("say", "Hi", "-o", "x.mp4", "--fps", "0"), 2, "not a frame rate"),
        (("say", "Hi", "-o", "x.mp4", "--template", "nobody"), 2, "nobody"),
        (("say", "Hi", "-o", "x.clip", "--engine", "nobody"), 2, "no engine 'nobody'"),
        (("say", "Hi", "-o", "x.clip", "--language", "klingonish"), 2, "language"),
        (("say", "   ", "-o", "x.clip"), 2, "text: is empty"),
        (("say", "Hi", "-o", "x.clip", "--rate", "9"), 2, "rate"),
        (("say", "Hi", "-o", "/proc/x.clip"), 2, "can't be written"),
        (("say", "Hi", "-o", "x.clip", "--align"), 2, "--align is an option of the neural engine"),
        (("say", "Hi", "-o", "x.clip", "--engine", "omni", "--max-memory", "1"), 2, "max-memory: "),
        (("reply",), 2, "Give a TEXT to answer"),
        (("reply", "Hi"), 2, "Name the file to write with -o"),
        (("reply", "Hi", "--text-only", "-o", "x.clip"), 2, "leave -o out"),
        (("reply", "Hi", "--text-only", "--stream"), 2, "leave --stream out"),
        (("reply", "Hi", "-o", "x.clip", "--engine", "embedded"), 2, "use --engine omni"),
        (("reply", "Hi", "--text-only", "--engine", "embedded"), 2, "use --engine omni"),
        (("reply", "Hi", "-o", "x.clip", "--history", __file__), 2, "is not a JSON file"),
        (("render", __file__, "-o", "x.mp4"), 2, "not a clip"),
        (("info", __file__), 2, "not a clip"),
        (("batch", "nowhere.jsonl"), 2, "does not exist"),
    ],
)
def test_errors_are_one_sentence(
    arguments: tuple[str, ...], code: int, says: str, tmp_path: Path
) -> None:
    placed = [str(tmp_path / a) if a.startswith("x.") else a for a in arguments]
    done = exorender(*placed)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("say", "Hi", "-o", "x.avi"), ("say", "Hi"), ("info", "nowhere.clip")]
)
def test_errors_as_json(arguments: tuple[str, ...]) -> None:
    done = exorender(*arguments, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == answer["exit_code"] == 2
    assert answer["error"]


def test_an_unwritable_place_is_told_before_the_work(tmp_path: Path) -> None:
    done = exorender("say", "Hi", "-o", "/proc/x.mp4")
    assert done.returncode == 2
    assert "can't be written" in done.stderr


def test_a_program_that_is_not_blender_is_named(tmp_path: Path) -> None:
    done = exorender("say", "Hi", "-o", tmp_path / "x.mp4", "--blender", "/bin/true")
    assert done.returncode == 3
    assert "check that /bin/true is the right program" in done.stderr


def test_a_wrong_transcript_is_noted(hello: Path, tmp_path: Path) -> None:
    clip = load_clip(hello)
    sound = tmp_path / "speech.wav"
    soundfile.write(sound, np.tile(clip.audio, 4), clip.sample_rate_hz)
    done = exorender("lipsync", sound, "--transcript", "No.", "-o", tmp_path / "x.clip")
    assert done.returncode == 0, done.stderr
    assert "the transcript was not used" in done.stderr


def test_templates_lists_the_built_in_head() -> None:
    names = [t["name"] for t in json.loads(exorender("templates", "--json").stdout)["templates"]]
    assert "head" in names
    assert "emotalk" in names


def test_doctor_examines_this_machine() -> None:
    done = exorender("doctor", "--json")
    report = json.loads(done.stdout)
    states = {finding["what"]: finding["state"] for finding in report["findings"]}
    assert done.returncode == (0 if report["healthy"] else 3)
    for needed in ("numpy", "speech", "ffmpeg", "rendering", "template"):
        assert states[needed] == "ok", report
