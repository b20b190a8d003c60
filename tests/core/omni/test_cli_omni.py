# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender reply`, and the other verbs with the neural engine, as a person types them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import soundfile  # noqa: E402
from click.testing import CliRunner, Result  # noqa: E402

from exomni_core.clip import load_clip  # noqa: E402
from exomni_core.conversation import Message  # noqa: E402
from exomni_core.engine import load_engine  # noqa: E402
from exomni_core.errors import InputError  # noqa: E402
from exomni_core.omni.weights.store import KNOWN  # noqa: E402
from exomni_core.prompt import Prompt  # noqa: E402
from render_jobs.cli.commands import main  # noqa: E402
from render_jobs.cli.doctor import _neural  # noqa: E402
from render_jobs.video.mux import probe  # noqa: E402

CLI = [sys.executable, "-m", "render_jobs.cli"]


def exorender(*arguments: object, code: int = 0) -> Result:
    """The command in this process, where torch is loaded already."""
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


@pytest.fixture
def recording(repo: Path, tmp_path: Path) -> Path:
    """Two seconds of speech."""
    samples, rate_hz = soundfile.read(repo / "examples" / "recording.flac")
    soundfile.write(tmp_path / "asked.wav", samples[: 2 * rate_hz], rate_hz)
    return tmp_path / "asked.wav"


def test_reply_streams_a_clip(tiny_model: Path, recording: Path, tmp_path: Path) -> None:
    history = tmp_path / "before.json"
    history.write_text(
        json.dumps([{"role": "user", "audio": recording.name}, {"role": "assistant", "text": "Hm"}])
    )
    target = tmp_path / "answer.clip"
    done = exorender(
        "reply",
        "And now?",
        "--audio",
        recording,
        "--history",
        history,
        "--system",
        "Be kind.",
        "--temperature",
        1.2,
        "--top-p",
        0.9,
        "--max-tokens",
        12,
        "--seed",
        4,
        "--stream",
        "--model",
        tiny_model,
        "-o",
        target,
    )
    clip = load_clip(target)
    assert done.stdout == f"{clip.text}\nwrote {target} (en, units)\n"
    assert done.stderr.startswith(f"{clip.text}\n")  # as it grew
    prompt = clip.prompt
    assert [prompt[n] for n in ("temperature", "top_p", "max_tokens", "seed")] == [1.2, 0.9, 12, 4]
    assert prompt["history"] == [
        {"role": "user", "audio": recording.name},
        {"role": "assistant", "text": "Hm"},
    ]
    assert str(tmp_path) not in str(prompt)
    assert clip.provenance["weights"] == "tiny random"


def test_reply_makes_a_video(tiny_model: Path, tmp_path: Path) -> None:
    video = tmp_path / "answer.mp4"
    done = exorender(
        "reply",
        "Who are you?",
        "--max-tokens",
        8,
        "--model",
        tiny_model / "ex-omni",
        "-o",
        video,
        "--size",
        "64x96",
        "--fps",
        "5",
        "--json",
    )
    facts = json.loads(done.stdout)
    assert facts["engine"] == "omni"
    assert facts["text"]
    assert probe(video).frames == facts["frames"] > 0
    assert [p.name for p in tmp_path.iterdir()] == [video.name]


def test_an_answer_in_writing_loads_nothing_that_speaks(tiny_model: Path) -> None:
    engine = load_engine("omni", model=tiny_model)
    prompt = Prompt(id="line", mode="reply", text="Who are you?", seed=0, max_tokens=10)
    text = engine.answer(prompt)  # type: ignore[attr-defined]
    assert engine.model.loaded == ("language_model",)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="only mode 'reply'"):
        engine.answer(Prompt(id="line", text="Hi."))  # type: ignore[attr-defined]
    assert engine.generate(prompt).text == text
    engine.close()
    command = ("reply", "Who are you?", "--text-only", "--max-tokens", 10, "--model", tiny_model)
    assert exorender(*command).stdout == f"{text}\n"


def test_say_takes_the_engines_options(tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "hello.clip"
    exorender(
        "say",
        "Good morning.",
        "--engine",
        "omni",
        "--model",
        tiny_model,
        "--device",
        "cpu",
        "--dtype",
        "bfloat16",
        "--compat",
        "reference",
        "--max-memory",
        "2GB",
        "--align",
        "-o",
        target,
    )
    clip = load_clip(target)
    assert (clip.text, clip.engine) == ("Good morning.", "omni")
    assert clip.provenance["dtype"] == "bfloat16"
    assert clip.provenance["compat"] == "reference"
    # Its babble may fit no words; that somebody looked for them can be told all the same.
    assert clip.words or "could not be timed" in clip.provenance["note"]


@pytest.mark.parametrize("name", ["answer.clip", "answer.mp4"])
def test_ctrl_c_leaves_nothing(tiny_model: Path, tmp_path: Path, name: str) -> None:
    command = [
        *CLI, "reply", "Go on.", "--stream", "--max-tokens", "4000", "--temperature", "5",
        "--model", str(tiny_model), "-o", str(tmp_path / name), "--size", "64x96",
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stderr is not None
    assert len(process.stderr.read(40)) == 40  # it speaks
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == b""
    assert told.endswith(b"Stopped.\n")
    assert b"Traceback" not in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--model", "nowhere"), 3, r"exorender models pull --models .*nowhere \(to test .*tiny"),
        (("--model", "TINY", "--max-memory", "1MB"), 3, "more than the 0.001 GB that --max-memory"),
        (("--model", "TINY", "--device", "gpu"), 2, "device: 'gpu' is not a device"),
        (("--model", "TINY", "--audio", "silence.wav"), 2, "audio: .*holds no sound"),
    ],
)
def test_errors_are_one_sentence(
    tiny_model: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    soundfile.write(tmp_path / "silence.wav", [], 16_000)
    places = {"TINY": str(tiny_model), "silence.wav": str(tmp_path / "silence.wav")}
    placed = [places.get(a, a) for a in arguments]
    done = exorender("reply", "Hi", "-o", tmp_path / "x.clip", *placed, code=code)
    assert re.search(says, done.stderr)
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x.clip").exists()


def test_a_missing_recording_of_the_past_is_named(tiny_model: Path, tmp_path: Path) -> None:
    engine = load_engine("omni", model=tiny_model)
    past = (Message("user", audio=tmp_path / "gone.wav"), Message("assistant", "Hm."))
    with pytest.raises(InputError, match=r"gone\.wav does not exist"):
        engine.generate(Prompt(id="line", mode="reply", text="Hi", history=past))
    engine.close()


def test_doctor_tells_what_is_here(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXOMNI_MODELS", str(tmp_path))
    found = {finding.what: finding for finding in _neural()}
    assert found["gpu"].state == ("ok" if torch.cuda.is_available() else "note")
    for model in KNOWN:
        assert found[model.name].state == "note"
        assert f"exorender models pull {model.name}" in found[model.name].detail
    monkeypatch.setenv("EXOMNI_MODELS", str(tiny_model))
    found = {finding.what: finding for finding in _neural()}
    assert all(found[model.name].state == "ok" for model in KNOWN)
    assert "tiny random" in found["ex-omni"].detail
