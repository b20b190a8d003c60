# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded engine as callers see it: `say`, streaming, errors, seeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exomni_core.clip import Clip, clip_to_bytes, frame_count
from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.embedded.opening import lip_opening
from exomni_core.engine import Engine, Progress, load_engine
from exomni_core.errors import Cancelled, InputError
from exomni_core.prompt import Prompt
from exomni_core.voices import espeak

TEXT = "My mother bakes plum pies, and Bob is happy. Are you?"


@pytest.fixture(scope="module")
def clip() -> Clip:
    return EmbeddedEngine().generate(Prompt(id="a", text=TEXT))


def test_it_is_an_engine() -> None:
    engine = load_engine("embedded")
    assert isinstance(engine, Engine)
    can = engine.capabilities()
    assert can.modes == ("say", "lipsync")
    assert can.fps == 30.0
    assert {"en", "zh", "en-gb"} <= set(can.languages)
    assert engine.version() == EmbeddedEngine().version()
    assert engine.version() != EmbeddedEngine(default_seed=1).version()
    engine.close()


def test_a_said_clip_keeps_every_promise(clip: Clip) -> None:
    assert (clip.route, clip.confidence, clip.engine) == ("tts_events", 1.0, "embedded")
    assert (clip.sample_rate_hz, clip.fps, clip.seed) == (22050, 30.0, 0)
    assert (clip.text, clip.language) == (TEXT, "en")
    assert clip.weights.shape == (frame_count(clip.duration_s, 30), 52)
    assert np.array_equal(clip.audio * 32768, np.round(clip.audio * 32768))
    assert " ".join(w.text for w in clip.words) == TEXT.translate(str.maketrans("", "", ",.?"))
    assert np.abs(np.diff(clip.weights, axis=0)).max() <= 0.35
    assert set(clip.provenance) >= {"engine", "exomni", "espeak_ng", "visemes_sha256", "voice"}


def test_audio_is_what_espeak_said(clip: Clip) -> None:
    pcm = espeak.speak(TEXT, "en-us").pcm
    whole = (clip.audio * 32768).astype(np.int16)
    lead = 2205
    assert np.array_equal(whole[lead : lead + len(pcm)], pcm)
    assert not whole[:lead].any()
    assert not whole[lead + len(pcm) :].any()


def test_the_face_starts_and_ends_at_rest(clip: Clip) -> None:
    mouth = [k for k, name in enumerate(clip.channels) if name.startswith(("jaw", "mouth"))]
    assert clip.weights[0, mouth].max() < 0.1
    assert clip.weights[-1, mouth].max() < 0.1


def test_a_fresh_process_gives_the_same_bytes(clip: Clip, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from exomni_core.clip import save_clip;"
        "from exomni_core.embedded.engine import EmbeddedEngine;"
        "from exomni_core.prompt import Prompt;"
        "save_clip(EmbeddedEngine().generate(Prompt(id='a', text=sys.argv[1])), sys.argv[2])"
    )
    path = tmp_path / "fresh.clip"
    subprocess.run([sys.executable, "-c", code, TEXT, str(path)], check=True)
    assert path.read_bytes() == clip_to_bytes(clip)


def test_say_never_loads_the_recogniser() -> None:
    code = (
        "import sys; from exomni_core.embedded.engine import EmbeddedEngine;"
        "from exomni_core.prompt import Prompt;"
        "EmbeddedEngine().generate(Prompt(id='a', text='hello'));"
        "print([m for m in ('pocketsphinx', 'soxr', 'scipy', 'sounddevice') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_seed_moves_only_what_does_not_speak(clip: Clip) -> None:
    other = EmbeddedEngine(default_seed=7).generate(Prompt(id="a", text=TEXT))
    assert other.seed == 7
    assert np.array_equal(other.audio, clip.audio)
    assert np.array_equal(other.channel("mouthClose"), clip.channel("mouthClose"))
    assert not np.array_equal(other.channel("eyeBlinkLeft"), clip.channel("eyeBlinkLeft"))
    explicit = EmbeddedEngine(default_seed=7).generate(Prompt(id="a", text=TEXT, seed=0))
    assert np.array_equal(explicit.weights, clip.weights), "seed 0 is a seed"


def test_style_voice_and_rate_are_heard_and_seen(clip: Clip) -> None:
    engine = EmbeddedEngine()
    quiet = engine.generate(Prompt(id="a", text=TEXT, style="quiet"))
    lively = engine.generate(Prompt(id="a", text=TEXT, style="lively"))
    means = [c.channel("jawOpen").mean() for c in (quiet, clip, lively)]
    assert means == sorted(means)
    calm, wide = (lip_opening(c.weights) for c in (clip, lively))
    assert wide.mean() >= 1.25 * calm.mean()
    assert np.diff(wide).max() <= np.diff(calm).max() + 0.01, "wider, but no faster"
    assert np.array_equal(quiet.audio, clip.audio)
    other = engine.generate(Prompt(id="a", text=TEXT, voice="f2", rate=1.5))
    assert other.duration_s < clip.duration_s
    assert other.provenance["voice"] == "en-us+f2"


def test_chunks_joined_are_the_clip(clip: Clip) -> None:
    chunks = list(EmbeddedEngine().stream(Prompt(id="a", text=TEXT)))
    assert np.array_equal(np.concatenate([c.audio for c in chunks]), clip.audio)
    assert np.array_equal(np.concatenate([c.weights for c in chunks]), clip.weights)
    assert [c.clip is None for c in chunks] == [True] * (len(chunks) - 1) + [False]
    assert [c.start_s for c in chunks] == [0.5 * k for k in range(len(chunks))]
    assert all(len(c.audio) for c in chunks)
    assert " ".join(c.text for c in chunks if c.text) == " ".join(w.text for w in clip.words)


@pytest.mark.parametrize(
    ("prompt", "field"),
    [
        (Prompt(id="a", text="hi", mode="reply"), "mode"),
        (Prompt(id="a", text="..."), "text"),
        (Prompt(id="a", text="hi", language="tlh"), "language"),
        (Prompt(id="a", text="hi", voice="f99"), "voice"),
        (Prompt(id="a", text="日本語だよ", language="ja"), "text"),
        (Prompt(id="a", mode="lipsync", audio=Path("/nowhere/none.wav")), "audio"),
    ],
)
def test_a_prompt_that_cannot_be_served_says_why(prompt: Prompt, field: str) -> None:
    with pytest.raises(InputError) as caught:
        EmbeddedEngine().generate(prompt)
    assert caught.value.field == field
    assert len(str(caught.value)) > 15


def test_cancel_and_progress() -> None:
    seen: list[Progress] = []
    EmbeddedEngine().generate(Prompt(id="a", text="hello"), progress=seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == 1.0
    with pytest.raises(Cancelled):
        EmbeddedEngine().generate(Prompt(id="a", text="hello"), cancel=lambda: True)


def test_chinese_is_spoken_sign_by_sign() -> None:
    clip = EmbeddedEngine().generate(Prompt(id="a", text="你好，妈妈。"))
    assert clip.language == "zh"
    assert [w.text for w in clip.words] == list("你好妈妈")
