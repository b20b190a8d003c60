# SPDX-License-Identifier: GPL-3.0-or-later
"""A package that is only installed adds an engine, a voice, a listener and a format everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_package import BROKEN_POINTS, environment_with, install_points, install_tiny

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.clip import load_clip
from exomni_core.engine import ENGINE_KINDS
from exomni_core.server.launch import start_service

JAW = CHANNEL_INDEX["jawOpen"]
OURS = ", ".join(ENGINE_KINDS.built_in)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path with the tiny package and one whose entry points are all wrong."""
    folder = install_tiny(tmp_path_factory.mktemp("site"))
    install_points(folder, "broken-face", BROKEN_POINTS)
    torn = folder / "torn_face-1.0.dist-info"
    install_points(folder, "torn-face", "[exomni.voices]\nno equals sign here\n")
    assert torn.is_dir()
    return folder


def exorender(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "render_jobs.cli", *map(str, arguments)]
    return subprocess.run(
        command, env=environment_with(site), capture_output=True, text=True, timeout=300
    )


def facts(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_help_lists_the_engine_and_its_options(site: Path) -> None:
    assert f"Engines: {OURS}, tiny." in exorender(site, "--help").stdout
    text = exorender(site, "say", "--help").stdout
    assert f"[{OURS.replace(', ', '|')}|tiny]" in text
    assert "Tiny engine (--engine tiny):" in text
    assert "How far the jaw opens." in text
    assert ".jaw" in exorender(site, "convert", "--help").stdout


def test_say_with_the_engine(site: Path, tmp_path: Path) -> None:
    clip = tmp_path / "a.clip"
    told = facts(
        exorender(site, "say", "abcd", "--engine", "tiny", "--width", 0.25, "-o", clip, "--json")
    )
    assert (told["engine"], told["frames"]) == ("tiny", 4)
    assert load_clip(clip).weights[:, JAW].tolist() == [0.25, 0.0, 0.25, 0.0]
    wide = exorender(site, "say", "a", "--engine", "tiny", "--width", 7, "-o", clip)
    assert wide.returncode == 2
    assert "width must be at least 0 and at most 1" in wide.stderr
    beside = exorender(site, "say", "a", "--width", 0.5, "-o", clip)
    assert "--width is an option of the Tiny engine; add --engine tiny" in beside.stderr
    answer = exorender(site, "reply", "a", "--engine", "tiny", "--text-only")
    assert answer.returncode == 2
    assert "the tiny engine can't answer" in answer.stderr


def test_a_batch_with_the_engine(site: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"id": "a", "text": "abc"}\n{"id": "b", "text": "abcdef"}\n')
    arguments = ("batch", prompts, "--engine", "tiny", "--no-video", "--json", "--out", tmp_path)
    told = facts(exorender(site, *arguments))
    assert (told["done"], told["skipped"]) == (2, 0)
    told = facts(exorender(site, *arguments))
    assert (told["done"], told["skipped"]) == (0, 2)


def test_a_voice_without_times_is_aligned(site: Path, tmp_path: Path) -> None:
    text = "Bob may pay for the map."
    told = facts(
        exorender(site, "say", text, "--voice", "parrot:grey", "-o", tmp_path / "a.clip", "--json")
    )
    assert told["route"] == "transcript"
    clip = load_clip(tmp_path / "a.clip")
    assert clip.text == text
    assert " ".join(word.text for word in clip.words) == "Bob may pay for the map"
    known = {"voice": "parrot:grey", "synthesiser": "parrot-1", "bird": "grey"}
    assert known.items() <= clip.provenance.items()
    assert clip.provenance["voice_licence"] == "for parrots only"
    facts(exorender(site, "say", text, "-o", tmp_path / "b.clip", "--json"))
    exact = load_clip(tmp_path / "b.clip")
    assert np.array_equal(clip.audio, exact.audio)
    bilabials = [p for p in exact.phones if p.symbol and p.symbol[-1] in "bmp"]
    shut = clip.channel("mouthClose") >= 0.9 * clip.weights[:, JAW]
    for phone in bilabials:
        first, last = round(phone.start_s * 30) - 2, round(phone.end_s * 30) + 2
        assert shut[max(first, 0) : last + 1].any(), phone


def test_a_batch_notices_another_version_of_the_voice(site: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"id": "a", "text": "Hello.", "voice": "parrot:grey"}\n')
    arguments = ("batch", prompts, "--no-video", "--json", "--out", tmp_path)
    assert facts(exorender(site, *arguments))["done"] == 1
    assert facts(exorender(site, *arguments))["skipped"] == 1
    voice = site / "tiny_face" / "voice.py"
    text = voice.read_text(encoding="utf-8")
    try:
        voice.write_text(text.replace("parrot-1", "parrot-two"), encoding="utf-8")
        assert facts(exorender(site, *arguments))["done"] == 1
    finally:
        voice.write_text(text, encoding="utf-8")


def test_an_unknown_synthesiser_is_a_sentence(site: Path, tmp_path: Path) -> None:
    done = exorender(site, "say", "Hi", "--voice", "cuckoo:x", "-o", tmp_path / "a.clip")
    assert done.returncode == 2
    assert "there is no voice 'cuckoo' in this version; the choice is espeak, " in done.stderr


def test_another_listener(site: Path, tmp_path: Path) -> None:
    facts(exorender(site, "say", "Hello.", "-o", tmp_path / "a.clip", "--json"))
    facts(exorender(site, "convert", tmp_path / "a.clip", tmp_path / "a.wav", "--json"))
    told = facts(
        exorender(site, "lipsync", tmp_path / "a.wav", "--listener", "owl",
                  "-o", tmp_path / "b.clip", "--json")
    )  # fmt: skip
    assert (told["route"], told["confidence"]) == ("owl", 0.1)
    assert [p.symbol for p in load_clip(tmp_path / "b.clip").phones] == ["ɑ"]


def test_convert_to_the_format_and_back(site: Path, tmp_path: Path) -> None:
    clip, jaw, back = tmp_path / "a.clip", tmp_path / "a.jaw", tmp_path / "back.clip"
    facts(exorender(site, "say", "Hello.", "-o", clip, "--json"))
    facts(exorender(site, "convert", clip, jaw, "--json"))
    facts(exorender(site, "convert", jaw, back, "--json"))
    assert np.array_equal(load_clip(back).weights[:, JAW], load_clip(clip).weights[:, JAW])
    unknown = exorender(site, "convert", clip, tmp_path / "a.xyz")
    assert unknown.returncode == 2
    assert ".jaw" in unknown.stderr


def test_doctor_lists_what_is_there_and_why_others_are_not(site: Path) -> None:
    done = exorender(site, "doctor", "--json")
    findings = json.loads(done.stdout)["findings"]
    found = {finding["what"]: finding for finding in findings}
    assert found["engines"]["detail"] == f"{OURS}, tiny"
    assert {"espeak", "parrot"} <= set(found["voices"]["detail"].split(", "))
    assert {"sphinx", "owl"} <= set(found["listeners"]["detail"].split(", "))
    assert found["formats"]["detail"].endswith(", jaw")
    for what, words in {
        "engines: lost": "No module named 'no_such_module'",
        "engines: embedded": "is built in",
        "voices: mute": "can't be used",
        "voices: torn-face": "unreadable entry points",
        "formats: wrong": "names no Format",
    }.items():
        assert found[what]["state"] == "note"
        assert words in found[what]["detail"], found[what]
        assert "\n" not in found[what]["detail"]


def test_the_engine_service_lists_and_runs_it(site: Path, tmp_path: Path) -> None:
    service = start_service(log=tmp_path / "log", extra_paths=[site])
    try:
        client = service.client()
        engines = client.health()["engines"]
        assert list(engines) == [*ENGINE_KINDS.built_in, "tiny"]
        tiny = engines["tiny"]
        assert (tiny["ready"], tiny["modes"], tiny["title"]) == (True, ["say"], "Tiny")
        assert [option["name"] for option in tiny["options"]] == ["width"]
        assert "parrot:grey" in engines["embedded"]["voices"]
        made = client.generate({"text": "abcd"}, "tiny", options={"width": 1.0}, stream=True)
        assert made.weights[:, JAW].tolist() == [1.0, 0.0, 1.0, 0.0]
        assert client.health()["engines"]["tiny"]["loaded"]
    finally:
        service.stop()
