# SPDX-License-Identifier: GPL-3.0-or-later
"""Streaming gives what offline gives, to the bounds that docs/omni.md states, and stops at once."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from exomni_core.errors import Cancelled  # noqa: E402 (after the check for torch)
from exomni_core.omni import generation as make  # noqa: E402
from exomni_core.omni.decoding.segments import STREAMING, Segmenter, SegmentRule, cut  # noqa: E402
from exomni_core.omni.engine import OmniEngine  # noqa: E402
from exomni_core.omni.generation import Asked  # noqa: E402
from exomni_core.omni.model import OmniModel  # noqa: E402
from exomni_core.omni.nets.face_decoder import arkit_weights, frames_of  # noqa: E402
from exomni_core.omni.nets.sampling import TextSampling  # noqa: E402
from exomni_core.omni.prompting import recent, user_turn  # noqa: E402
from exomni_core.omni.streaming import stream_reply, stream_text  # noqa: E402
from exomni_core.prompt import Prompt  # noqa: E402

LENGTHS = (1, 7, 35, 205, 1000)
WEIGHT_BOUND = 1e-5  # largest difference of a weight
MEL_DISTANCE = 0.25  # mean difference of log10 mel, with random weights; 0 up to 10 units


def nothing() -> None:
    """Never stops the work."""


@pytest.fixture(scope="module")
def model(tiny_model):
    return OmniModel.from_pretrained(tiny_model)


@pytest.fixture
def engine(tiny_model):
    engine = OmniEngine(model=tiny_model)
    yield engine
    engine.close()


def speech(model, count):
    """Random units, and the hidden states that the generator has for them."""
    random = torch.Generator().manual_seed(count)
    units = torch.randint(0, model.config.units, (count,), generator=random)
    ids = torch.randint(0, 250, (max(1, count // 5),), generator=random)
    hidden = torch.randn(1, len(ids) + 1, model.config.width, generator=random)
    with torch.inference_mode():
        prompt = model.generator.prompt(hidden, ids[None])
        return units, model.generator.teach(prompt, units[None])


def streamed_face(model, units, hidden, step):
    """One segment, pushed `step` units at a time."""
    state, frames = model.face.start(), []
    with torch.inference_mode():
        for begin in range(0, len(units), step):
            last = begin + step >= len(units)
            rows = hidden[:, begin : None if last else begin + step]
            part = units[begin : begin + step].tolist()
            frames.append(model.face.push(state, rows, part, segment_ends=last, final=last))
    return arkit_weights(torch.cat(frames, dim=1)[0])


class TestFace:
    @pytest.mark.parametrize("count", LENGTHS)
    @pytest.mark.parametrize("step", [1, 10])
    def test_equals_offline(self, model, count, step):
        units, hidden = speech(model, count)
        with torch.inference_mode():
            offline = arkit_weights(model.face(hidden, units[None])[0])
        streamed = streamed_face(model, units, hidden, step)
        assert streamed.shape == offline.shape == (frames_of(count), 52)
        assert float((streamed - offline).abs().max()) <= WEIGHT_BOUND

    def test_segments_come_as_they_end(self, model):
        units, hidden = speech(model, 40)
        state, made = model.face.start(), []
        with torch.inference_mode():
            for begin, end in ((0, 7), (7, 20), (20, 40)):
                early = model.face.push(state, hidden[:, begin:end], units[begin:end].tolist())
                assert early.shape[1] == 0
                made.append(
                    model.face.push(
                        state, hidden[:, :0], [], segment_ends=True, final=end == 40
                    ).shape[1]
                )
        assert made == [17, 31, 48]  # frames until each end: 7, 20 and 40 units
        assert sum(made) == frames_of(40)

    def test_memory_is_bounded(self, model):
        units, hidden = speech(model, 1000)
        state = model.face.start()
        with torch.inference_mode():
            for _ in range(3):
                model.face.push(state, hidden[:, :1000], units.tolist(), segment_ends=True)
        assert not state.rows
        assert not state.units
        assert state.past[0][0].shape[2] == 1800


class TestSound:
    @pytest.mark.parametrize("count", LENGTHS)
    def test_lengths_are_equal_and_mels_near(self, model, count):
        units = speech(model, count)[0].tolist()
        with torch.inference_mode():
            whole = model.decoder.decode(units, seed=3)
            state = model.decoder.start(seed=3)
            parts = [
                model.decoder.push(state, units[i : i + 10], final=i + 10 >= count)
                for i in range(0, count, 10)
            ]
        streamed = torch.cat(parts)
        assert streamed.shape == whole.shape
        length = -(-len(whole) // 160) * 160
        mels = model.mel.padded_features([whole.numpy(), streamed.numpy()], length) * 4 - 4
        distance = float((mels[0] - mels[1]).abs().mean())
        assert distance <= (MEL_DISTANCE if count > 10 else 1e-4)


def asked(text="Hello there", **changes):
    turns = tuple(recent([user_turn(text, speaks=False)], None))
    fields = {"seed": 5, "sampling": TextSampling(top_k=20), "most_tokens": 40}
    return Asked(turns, **(fields | changes))


class TestReply:
    def test_text_is_that_of_offline(self, model):
        told = []
        pieces = list(stream_reply(model, asked(), nothing, done=lambda w, s: told.append((w, s))))
        written, spoken = told[0]
        offline = make.write(model, [asked()], nothing)[0]
        assert written.text == offline.text
        assert torch.equal(written.ids, offline.ids)
        assert "".join(p.text for p in pieces).strip() == written.text
        assert len(spoken.segments) > 1
        assert all(segment.hidden.shape[1] == 0 for segment in spoken.segments)

    def test_speech_begins_before_the_text_ends(self, model):
        pieces = list(stream_reply(model, asked(), nothing))
        first_sound = next(i for i, p in enumerate(pieces) if len(p.audio))
        assert any(p.text for p in pieces[first_sound + 1 :])

    def test_one_clock(self, model):
        samples = frames = 0
        for piece in stream_reply(model, asked(), nothing):
            assert piece.start_s == pytest.approx(samples / 22050)
            samples += len(piece.audio)
            frames += len(piece.weights)
            assert abs(samples / 22050 - frames / 30) <= 1 / 30 + 1e-9
        assert frames == -(-samples * 30 // 22050)

    def test_same_seed_same_bytes(self, model):
        runs = [list(stream_reply(model, asked(), nothing)) for _ in range(2)]
        for name in ("audio", "weights"):
            first, second = (np.concatenate([getattr(p, name) for p in run]) for run in runs)
            assert np.array_equal(first, second)

    def test_units_are_those_of_offline_with_the_same_segments(self, model):
        told = []
        list(stream_reply(model, asked(), nothing, done=lambda w, s: told.append((w, s))))
        written, streamed = told[0]
        offline = make.speak(model, [written], [5], nothing, rule=STREAMING)[0]
        assert [s.ids.tolist() for s in streamed.segments] == [
            s.ids.tolist() for s in offline.segments
        ]

    def test_face_is_that_of_offline_with_the_same_segments(self, model):
        told = []
        pieces = list(stream_reply(model, asked(), nothing, done=lambda w, s: told.append((w, s))))
        streamed = np.concatenate([p.weights for p in pieces])
        spoken = make.speak(model, [told[0][0]], [5], nothing, rule=STREAMING)[0]
        offline = make.fit_frames(
            make.animate(model, spoken), sum(len(p.audio) for p in pieces), 22050
        )
        assert np.abs(streamed - offline).max() <= WEIGHT_BOUND

    def test_a_given_text_streams_too(self, model):
        written = make.recite(model, asked(), "Good morning, my best friend. The sun is warm.")
        pieces = list(stream_text(model, written, 0, nothing))
        assert sum(len(p.audio) for p in pieces) > 22050
        assert "".join(p.text for p in pieces) == written.text


class TestSegments:
    def text_of(self, ids):
        return "".join(map(chr, ids))

    def test_cut_at_clause_then_sentences(self):
        text = "Well now, this is one sentence. And here is the next one. End"
        ends = cut([ord(c) for c in text], SegmentRule(5, 12, 100), self.text_of)
        pieces = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        assert pieces == [
            "Well now,",
            " this is one sentence.",
            " And here is the next one.",
            " End",
        ]

    def test_never_longer_than_most(self):
        ends = cut([ord("x")] * 100, SegmentRule(5, 12, 30), self.text_of)
        assert ends == [30, 60, 90, 100]

    def test_chinese(self):
        segmenter = Segmenter(SegmentRule(3, 5, 50), self.text_of)
        cuts = [c for c in "你好啊，今天天气很好。" if segmenter.push(ord(c))]
        assert cuts == ["，", "。"]


class TestCancel:
    @pytest.mark.parametrize("after", [1, 3, 20, 60])
    def test_within_one_step_and_the_caches_are_freed(self, engine, after):
        prompt = Prompt("a", mode="reply", text="Hello", max_tokens=40)
        asks = 0

        def cancel():
            nonlocal asks
            asks += 1
            return asks > after

        steps = count_steps(engine)
        with pytest.raises(Cancelled):
            for _ in engine.stream(prompt, cancel=cancel):
                pass
        assert asks == after + 1
        assert steps() <= after
        assert not engine.model._loops

    def test_offline_too(self, engine):
        prompt = Prompt("a", mode="reply", text="Hello", max_tokens=40)
        asks = 0

        def cancel():
            nonlocal asks
            asks += 1
            return asks > 12

        with pytest.raises(Cancelled):
            engine.generate(prompt, cancel=cancel)
        assert asks == 13
        assert not engine.model._loops
        assert engine.generate(prompt).duration_s > 0  # and it can go on

    def test_an_abandoned_stream_frees_its_caches(self, engine):
        stream = engine.stream(Prompt("a", mode="reply", text="Hello", max_tokens=40))
        next(stream)
        cache = weakref.ref(engine.model._loops["text", 1].cache)
        stream.close()
        gc.collect()
        assert cache() is None


def count_steps(engine):
    """Counts the steps of all decode loops from now on."""
    from exomni_core.omni.decoding.decode_loop import DecodeLoop

    counted = 0
    make_loop = engine.model.loop

    def loop(*args, **named):
        made: DecodeLoop = make_loop(*args, **named)
        step = made.step

        def counting():
            nonlocal counted
            counted += 1
            step()

        made.step = counting
        return made

    engine.model.loop = loop
    return lambda: counted


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def grown_bytes(tiny_model, units=1900):
    """How much memory grows after the first minute of an endless reply, and its seconds."""
    model = OmniModel.from_pretrained(tiny_model)
    ends, scores = list(model.end_ids), model.language_model.logits

    def endless(hidden):  # it talks until it is cut
        logits = scores(hidden)
        logits[..., ends] = -torch.inf
        return logits

    model.language_model.logits = endless

    def resident():
        with open("/proc/self/statm") as handle:
            return int(handle.read().split()[1]) * resource.getpagesize()

    seconds, early, late = 0.0, 0, 0
    for piece in stream_reply(model, asked(most_tokens=units), nothing):
        seconds = piece.start_s + len(piece.audio) / 22050
        if not early and seconds > 60:
            gc.collect()
            early = resident()
        late = max(late, resident()) if early else 0
    return late - early, seconds


@pytest.mark.slow
def test_five_minutes_of_reply_take_flat_memory(tiny_model):
    """300 s of speech: after the first minute memory grows by 0.6 MB a second at the most.

    It grows by the clip, and by the caches of attention, whose pages are touched as they fill.
    """
    # In a process of its own: what other tests have freed would hide what grows. oneDNN keeps up to
    # 1,024 compiled operations, one for each new size; here 20, because that is no leak of ours.
    code = (
        "import sys, torch; torch.set_num_threads(1); sys.path.insert(0, sys.argv[1]); "
        "import test_omni_streaming as here; print(*here.grown_bytes(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tiny_model)],
        capture_output=True, text=True, timeout=600,
        env={**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "20"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    grown, seconds = map(float, done.stdout.split())
    assert seconds >= 300
    assert grown < 0.6e6 * (seconds - 60)
