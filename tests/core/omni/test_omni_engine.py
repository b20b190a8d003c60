# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine omni as others use it: prompts of every mode in, clips out, with a tiny random model."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from exomni_core.clip import frame_count, load_clip, save_clip  # noqa: E402 (after the check)
from exomni_core.conversation import Message  # noqa: E402
from exomni_core.engine import Engine, load_engine  # noqa: E402
from exomni_core.errors import InputError  # noqa: E402
from exomni_core.omni.engine import OmniEngine  # noqa: E402
from exomni_core.prompt import Prompt, parse_prompt  # noqa: E402


@pytest.fixture(scope="module")
def engine(tiny_model):
    engine = load_engine("omni", model=tiny_model)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def recording(repo):
    return repo / "examples" / "recording.flac"


REPLY = Prompt("a", mode="reply", text="Hello", seed=3)


class TestModes:
    def test_reply(self, engine, tmp_path):
        clip = engine.generate(REPLY)
        assert isinstance(engine, Engine)
        assert clip.text
        assert clip.engine == "omni"
        assert clip.seed == 3
        assert len(clip.weights) == frame_count(clip.duration_s, 30.0)
        save_clip(clip, tmp_path / "a.clip")
        assert load_clip(tmp_path / "a.clip").text == clip.text

    def test_reply_to_a_recording_with_history(self, engine, recording):
        history = (Message("user", "Hi", recording), Message("assistant", "Hello."))
        prompt = Prompt(
            "a",
            mode="reply",
            text="Short, please.",
            audio=recording,
            history=history,
            system="You are brief.",
        )
        with_history = engine.generate(prompt)
        without = engine.generate(Prompt("a", mode="reply", text="Short, please.", audio=recording))
        assert with_history.text != without.text  # random weights: anything changes the answer

    def test_say_keeps_every_word(self, engine):
        text = "Good morning, my friend. The sun is warm."
        clip = engine.generate(Prompt("a", text=text))
        assert clip.text == text
        tokens = clip.provenance["text_tokens"]
        assert 2 * tokens <= clip.provenance["units"] <= 20 * tokens

    def test_lipsync_keeps_the_recording(self, engine, recording):
        from exomni_core.audio import read_audio

        clip = engine.generate(
            Prompt("a", mode="lipsync", audio=recording, transcript="And we are what has a face.")
        )
        audio = read_audio(recording)
        assert np.array_equal(clip.audio, audio.samples)
        assert clip.sample_rate_hz == audio.sample_rate_hz
        assert clip.provenance["units"] == -(
            -len(audio.samples) * 16_000 // audio.sample_rate_hz // 1280
        )
        assert clip.text == "And we are what has a face."

    def test_lipsync_without_transcript(self, engine, recording):
        clip = engine.generate(Prompt("a", mode="lipsync", audio=recording))
        assert clip.text  # recognised
        assert clip.words

    def test_stream_ends_with_the_clip(self, engine):
        chunks = list(engine.stream(REPLY))
        clip = chunks[-1].clip
        assert all(chunk.clip is None for chunk in chunks[:-1])
        assert np.array_equal(np.concatenate([c.audio for c in chunks]), clip.audio)
        assert np.array_equal(np.concatenate([c.weights for c in chunks]), clip.weights)
        assert "".join(c.text for c in chunks).strip() == clip.text == engine.generate(REPLY).text

    def test_styles_scale_the_face(self, engine):
        quiet, lively = (
            engine.generate(Prompt("a", text="Good morning.", style=style))
            for style in ("quiet", "lively")
        )
        jaw = quiet.channels.index("jawOpen")
        assert quiet.weights[:, jaw].mean() < lively.weights[:, jaw].mean()


class TestManyAtOnce:
    def test_each_is_what_it_is_alone(self, engine, recording):
        prompts = [
            REPLY,
            Prompt("b", text="The sun is warm."),
            Prompt("c", mode="lipsync", audio=recording, transcript="And we are here."),
            Prompt("d", mode="reply", text="Tell me more about rivers.", seed=9, temperature=0.0),
            Prompt("e", mode="reply", text="And you?", seed=4, max_tokens=5),
        ]
        together = engine.generate_many(prompts)
        for prompt, clip in zip(prompts, together, strict=True):
            alone = engine.generate(prompt)
            assert clip.text == alone.text
            assert clip.provenance["units"] == alone.provenance["units"]
            assert np.abs(clip.weights - alone.weights).max() < 1e-4

    def test_same_seed_same_bytes(self, engine):
        first, second = engine.generate(REPLY), engine.generate(REPLY)
        assert np.array_equal(first.audio, second.audio)
        assert np.array_equal(first.weights, second.weights)

    def test_another_seed_another_answer(self, engine):
        warm = {"mode": "reply", "text": "Hello", "temperature": 2.0}
        texts = {engine.generate(Prompt("a", seed=s, **warm)).text for s in range(4)}
        assert len(texts) > 1


class TestSettings:
    @pytest.mark.parametrize("field", ["voice", "rate"])
    def test_what_it_has_not(self, engine, field):
        prompt = Prompt("a", text="Hello", **{field: {"voice": "f2", "rate": 2.0}[field]})
        with pytest.raises(InputError) as caught:
            engine.generate(prompt)
        assert caught.value.field == field

    def test_provenance_names_the_weights(self, engine):
        provenance = engine.generate(REPLY).provenance
        assert provenance["weights"] == "tiny random"
        assert provenance["compat"] == "fixed"

    def test_real_weights_carry_their_licence(self, tiny_model, tmp_path):
        shutil.copytree(tiny_model, tmp_path / "m", copy_function=os.link)
        config = tmp_path / "m" / "ex-omni" / "config.json"
        text = config.read_text().replace('"exomni_tiny": true', '"exomni_tiny": false')
        config.unlink()
        config.write_text(text)
        provenance = OmniEngine(model=tmp_path / "m").generate(REPLY).provenance
        assert provenance["weights"] == "Tencent/Ex-Omni"
        assert "academic" in provenance["weights_licence"]
        assert "weights_consent" in provenance

    def test_version_tells_what_changes_a_clip(self, tiny_model):
        versions = {
            OmniEngine(model=tiny_model, **options).version()
            for options in (
                {},
                {"compat": "reference"},
                {"dtype": "bfloat16"},
                {"align": True},
                {"default_seed": 1},
            )
        }
        assert len(versions) == 5
        same = {OmniEngine(model=tiny_model, **o).version() for o in ({}, {"rows": 2})}
        assert len(same) == 1

    def test_words_are_timed_when_asked(self, tiny_model, engine):
        clip = OmniEngine(model=tiny_model, align=True).generate(Prompt("a", text="Good morning."))
        assert not engine.generate(Prompt("a", text="Good morning.")).words
        # Random weights speak no words; the aligner says what it could make of them.
        assert clip.words or "could not be timed" in clip.provenance["note"]

    def test_bfloat16(self, tiny_model):
        clip = OmniEngine(model=tiny_model, dtype="bfloat16").generate(REPLY)
        assert clip.provenance["dtype"] == "bfloat16"

    def test_the_release_as_it_is(self, tiny_model, recording):
        engine = OmniEngine(model=tiny_model, compat="reference")
        for prompt in (REPLY, Prompt("a", mode="lipsync", audio=recording, transcript="Hello.")):
            assert engine.generate(prompt).provenance["compat"] == "reference"

    def test_idle_unload(self, tiny_model):
        engine = OmniEngine(model=tiny_model, idle_unload_s=0.2)
        engine.generate(REPLY)
        assert engine.model.loaded
        deadline = time.monotonic() + 20
        while engine.model.loaded and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not engine.model.loaded
        assert engine.generate(REPLY).text  # and back again

    def test_text_requests_never_load_the_ears(self, tiny_model):
        engine = OmniEngine(model=tiny_model)
        engine.generate(REPLY)
        assert "speech_encoder" not in engine.model.loaded
        assert "speech_tokenizer" not in engine.model.loaded

    def test_no_weights(self, tmp_path):
        with pytest.raises(Exception, match="exorender models pull"):
            load_engine("omni", model=tmp_path)


class TestPromptFields:
    def good(self, **changes):
        data = {"id": "a", "mode": "reply", "text": "Hello", "system": "Be brief.",
                "temperature": 0, "top_p": 0.9, "max_tokens": 50,
                "history": [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Hm."},
                            {"role": "user", "audio": "x.wav"}]}  # fmt: skip
        return parse_prompt(data | changes, Path("/tmp/in"))

    def test_round_trip(self):
        prompt = self.good()
        assert prompt.temperature == 0
        assert prompt.max_tokens == 50
        assert prompt.history[2].audio == Path("/tmp/in/x.wav")
        data = prompt.to_json()
        assert data["history"][2] == {"role": "user", "audio": "x.wav"}
        assert parse_prompt(data, Path("/tmp/in")) == prompt

    def test_an_embedded_prompts_json_is_what_it_was(self):
        assert set(Prompt("a", text="x").to_json()) == {
            "id",
            "mode",
            "text",
            "rate",
            "style",
            "meta",
        }

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"temperature": -1}, "temperature"), ({"temperature": True}, "temperature"),
            ({"temperature": float("nan")}, "temperature"), ({"top_p": 0}, "top_p"),
            ({"top_p": 2}, "top_p"), ({"max_tokens": 0}, "max_tokens"),
            ({"max_tokens": 2.5}, "max_tokens"), ({"system": ""}, "system"),
            ({"history": "hm"}, "history"), ({"history": [1]}, "history"),
            ({"history": [{"role": "system", "text": "x"}]}, "history"),
            ({"history": [{"role": "user"}]}, "history"),
            ({"history": [{"role": "assistant", "text": "x", "audio": "a.wav"}]}, "history"),
            ({"history": [{"role": "user", "text": "x", "mood": 1}]}, "history"),
            ({"history": [{"role": "user", "text": ""}]}, "history"),
            ({"mode": "say"}, "system"),
        ],
    )  # fmt: skip
    def test_bad(self, changes, field):
        with pytest.raises(InputError) as caught:
            self.good(**changes)
        assert caught.value.field == field


@pytest.mark.slow
def test_eight_bits_through_torchao(tiny_model, tmp_path):
    """In a process of its own: torchao is optional, and not part of the test environment."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path]
    subprocess.run([*pip, "torchao"], check=True, timeout=300)
    code = (
        "import sys; from exomni_core.engine import load_engine; from exomni_core.prompt import "
        "Prompt; clip = load_engine('omni', model=sys.argv[1], quantize='int8').generate("
        "Prompt('a', text='Good morning.')); print(clip.provenance['quantize'], clip.duration_s)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_model)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert done.stdout.startswith("int8 "), done.stderr


def test_quantising_without_torchao_is_one_sentence(tiny_model):
    if __import__("importlib.util").util.find_spec("torchao"):
        pytest.skip("torchao is installed here")
    with pytest.raises(Exception, match="quantize"):
        load_engine("omni", model=tiny_model, quantize="int8").generate(REPLY)


class TestPromptsFromPython:
    """What Python code puts together is checked as a prompts file is."""

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"text": ""}, "text"), ({}, "text"), ({"audio": "a.wav"}, "text"),
            ({"mode": "replay", "text": "x"}, "mode"), ({"mode": "reply"}, "text"),
            ({"mode": "reply", "text": "x", "temperature": -3}, "temperature"),
            ({"mode": "reply", "text": "x", "max_tokens": 0}, "max_tokens"),
            ({"mode": "reply", "text": "x", "history": ({"role": "user"},)}, "history"),
        ],
    )  # fmt: skip
    def test_bad(self, engine, fields, field):
        for make in (engine.generate, lambda prompt: next(engine.stream(prompt))):
            with pytest.raises(InputError) as caught:
                make(Prompt("a", **fields))
            assert caught.value.field == field

    def test_no_prompt_at_all(self, engine):
        with pytest.raises(InputError, match="takes a Prompt"):
            engine.generate("Hello")

    def test_a_path_as_text(self, engine, recording):
        clip = engine.generate(
            Prompt("a", mode="lipsync", audio=str(recording), transcript="And we are here.")
        )
        assert clip.prompt["audio"] == recording.name

    def test_an_unknown_option(self, tiny_model):
        with pytest.raises(InputError, match="no option 'foo'"):
            OmniEngine(model=tiny_model, foo=1)

    def test_one_part(self, tiny_model):
        from exomni_core.omni.weights.parts import PartLoader

        loader = PartLoader.open(tiny_model / "ex-omni")
        assert loader.load("blendshape_generator").config.outputs == 52
        with pytest.raises(InputError, match="the choice is language_model"):
            loader.load("face")
