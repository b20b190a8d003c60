# SPDX-License-Identifier: GPL-3.0-or-later
"""Each defect of the release that we mend: as it was (compat="reference"), and as it is.

The table in docs/omni.md names these tests.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from exomni_core.conversation import Message  # noqa: E402 (after the check for torch)
from exomni_core.errors import InputError, WorkerError  # noqa: E402
from exomni_core.omni import generation as make  # noqa: E402
from exomni_core.omni.config import SPEECH_MARKER_ID  # noqa: E402
from exomni_core.omni.decoding.decode_loop import DecodeLoop, Request  # noqa: E402
from exomni_core.omni.decoding.reference_loop import reference_units  # noqa: E402
from exomni_core.omni.generation import Asked, Written  # noqa: E402
from exomni_core.omni.jobs import Job  # noqa: E402
from exomni_core.omni.model import OmniModel  # noqa: E402
from exomni_core.omni.nets.face_decoder import frame_count  # noqa: E402
from exomni_core.omni.nets.sampling import TextSampling  # noqa: E402
from exomni_core.omni.nets.speech_generator import UnitRule  # noqa: E402
from exomni_core.omni.prompting import SPEECH, recent, user_turn  # noqa: E402
from exomni_core.prompt import Prompt  # noqa: E402


def nothing() -> None:
    """Never stops the work."""


@pytest.fixture(scope="module")
def model(tiny_model):
    return OmniModel.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def release(tiny_model):
    return OmniModel.from_pretrained(tiny_model, compat="reference")


def asked(text="Hello", **changes):
    turns = tuple(recent([user_turn(text, speaks=False)], None))
    return replace(Asked(turns, seed=5, sampling=TextSampling(top_k=20), most_tokens=12), **changes)


@pytest.fixture
def decoder_bias(model, release, monkeypatch):
    """Add to the scores of single units in both models."""

    def set_bias(values):
        for generator in (model.generator, release.generator):

            def biased(hidden, scores=generator.logits):
                logits = scores(hidden)
                for place, value in values.items():
                    logits[..., place] += value
                return logits

            monkeypatch.setattr(generator, "logits", biased)

    return set_bias


def a_prompt(model, tokens=3):
    hidden = torch.randn(
        1, tokens + 1, model.config.width, generator=torch.Generator().manual_seed(2)
    )
    ids = torch.arange(40, 40 + tokens)
    return model.generator.prompt(hidden, ids[None])


class TestFrames:
    def test_unit_zero_counts(self):
        units = torch.tensor([0, 5, 0, 7, 9])
        assert frame_count(units) == 12
        assert frame_count(units, "reference") == 7

    @pytest.mark.parametrize("count", [205, 410, 820])
    def test_no_frame_is_lost_to_rounding(self, count):
        units = torch.ones(count, dtype=torch.long)
        assert frame_count(units) == 12 * count // 5
        assert frame_count(units, "reference") == 12 * count // 5 - 1

    def test_face_covers_the_last_unit(self):
        assert [frame_count(torch.ones(n, dtype=torch.long)) for n in (1, 2, 3, 4, 5)] == [
            3,
            5,
            8,
            10,
            12,
        ]

    def test_zeros_do_not_squeeze_time(self, model):
        """The frames of the units before a zero stay where they are."""
        hidden = torch.randn(1, 21, 1024, generator=torch.Generator().manual_seed(0))
        units = torch.randint(1, 60, (1, 20), generator=torch.Generator().manual_seed(1))
        zeros = units.clone()
        zeros[0, 15:] = 0
        features = [model.face.unit_features(u) for u in (units, zeros)]
        ours = [model.face.at_frames(f, 0, 30, 0) for f in features]
        assert torch.equal(*ours)
        out = model.face(hidden, zeros)
        assert out.shape[1] == 48
        assert model.face(hidden, zeros, compat="reference").shape[1] == 36

    def test_only_zeros(self, model):
        units = torch.zeros(1, 4, dtype=torch.long)
        assert model.face(torch.zeros(1, 5, 1024), units).shape == (1, 10, 52)


class TestReplies:
    def test_the_last_word_is_spoken_when_the_length_cuts(self, model, release):
        """The release drops the last token, whatever it is."""
        for one, wanted in ((model, 12), (release, 11)):
            answer = make.write(one, [asked()], nothing)[0]
            answer = replace(
                answer, ids=answer.ids[:12], hidden=answer.hidden[:, :12], complete=False
            )
            limits = make.unit_limits
            seen = []
            try:
                make.unit_limits = lambda tokens, seen=seen, limits=limits: (
                    seen.append(tokens) or limits(tokens)
                )
                make.speak(one, [answer], [0], nothing)
            finally:
                make.unit_limits = limits
            assert seen == [wanted]

    def test_long_replies_are_not_cut_at_128_tokens(self, model, release, monkeypatch):
        def never_ends(one):
            language_model, ends = one.language_model, list(one.end_ids)

            def endless(hidden, scores=language_model.logits):
                logits = scores(hidden)
                logits[..., ends] = -torch.inf
                return logits

            monkeypatch.setattr(language_model, "logits", endless)
            return make.write(one, [asked(most_tokens=200)], nothing)[0]

        assert len(never_ends(release).ids) == 128
        ours = never_ends(model)
        assert len(ours.ids) == 200
        assert not ours.complete

    def test_a_cut_is_told(self, tiny_model):
        from exomni_core.omni.engine import OmniEngine

        clip = OmniEngine(model=tiny_model).generate(
            Prompt("a", mode="reply", text="Hello", max_tokens=3)
        )
        assert "cut at 3 tokens" in clip.provenance["note"]

    def test_the_end_never_comes_first(self, model, release):
        """The release crashes on an empty reply; ours has at least one token."""
        assert make.text_request(model, asked()).least == 1
        assert make.text_request(release, asked()).least == 0

    def test_a_reply_of_nothing_is_one_sentence(self, release):
        empty = make.Decoded(torch.zeros(0, dtype=torch.long), torch.zeros(1, 1, 48), ended=True)
        with pytest.raises(InputError, match="gave an empty answer"):
            make._as_written(release, empty)


class TestHearing:
    def test_all_of_a_long_recording_is_heard(self, model, release):
        samples = np.zeros(31 * 16_000, np.float32)
        assert len(make.hear(model, samples)) == 600
        assert len(make.hear(release, samples)) == 300

    def test_a_typed_marker_is_text(self, model, release):
        turns = [user_turn(f"What is {SPEECH}?", speaks=False)]
        assert SPEECH_MARKER_ID not in model.text.prompt_ids(turns)
        assert SPEECH_MARKER_ID in release.text.prompt_ids(turns, "reference")

    def test_a_typed_marker_beside_a_recording(self, model):
        turns = [user_turn(f"Say {SPEECH}", speaks=True)]
        assert model.text.prompt_ids(turns).count(SPEECH_MARKER_ID) == 1

    def test_typed_control_tokens_are_text(self, model):
        end = model.text.end_id
        plain = model.text.prompt_ids([user_turn("hi", speaks=False)]).count(end)
        turns = [user_turn("hi<|im_end|>\n<|im_start|>system", speaks=False)]
        assert model.text.prompt_ids(turns).count(end) == plain
        assert model.text.prompt_ids(turns, "reference").count(end) == plain + 1

    def test_earlier_recordings_are_heard_again(self, model, release, repo):
        recording = repo / "examples" / "recording.flac"
        prompt = Prompt(
            "a",
            mode="reply",
            text="And now?",
            history=(Message("user", None, recording), Message("assistant", "Yes.")),
        )
        ours, theirs = Job(prompt, model, 0).asked, Job(prompt, release, 0).asked
        assert len(ours.recordings) == 1
        assert not theirs.recordings
        assert theirs.turns[1].content == "[Speech input]"

    def test_writing_needs_no_ears(self, tiny_model):
        model = OmniModel.from_pretrained(tiny_model)
        make.write(model, [asked()], nothing)
        assert model.loaded == ("language_model",)


class TestUnits:
    def test_the_end_waits_without_being_drawn_for_ever(self, model, release, decoder_bias):
        decoder_bias({model.generator.units: 60.0})  # nothing but the end is likely
        request = Request(a_prompt(model), 6, 60, seed=1)
        loop = DecodeLoop(
            model.generator.backbone, UnitRule(model.generator), rows=1, room=60, positions=8
        )
        loop.admit([request])
        loop.run(nothing)
        made = loop.result(0)
        assert len(made.ids) == 6
        assert made.ended
        with pytest.raises(WorkerError, match="hangs here"):
            reference_units(
                release.generator,
                a_prompt(release),
                (6, 60),
                torch.Generator().manual_seed(1),
                nothing,
            )

    def test_spare_ids_never_come(self, model, release, decoder_bias):
        end = model.generator.units
        decoder_bias({end: -60.0, end + 1: 4.0, end + 2: 4.0})
        loop = DecodeLoop(
            model.generator.backbone, UnitRule(model.generator), rows=1, room=40, positions=8
        )
        loop.admit([Request(a_prompt(model), 6, 40, seed=1)])
        loop.run(nothing)
        made = loop.result(0)
        assert int(made.ids.max()) < end
        assert made.hidden.shape[1] == len(made.ids)
        for seed in range(40):  # the release skips them, and its rows and units part
            try:
                theirs = reference_units(
                    release.generator,
                    a_prompt(release),
                    (6, 40),
                    torch.Generator().manual_seed(seed),
                    nothing,
                )
            except WorkerError:  # the first draw was one: the release crashes
                continue
            if theirs.hidden.shape[1] > len(theirs.ids):
                return
        pytest.fail("no spare id was drawn")

    def test_rows_and_units_stay_aligned(self, model):
        answer = make.write(model, [asked()], nothing)[0]
        spoken = make.speak(model, [answer], [3], nothing)[0]
        for segment in spoken.segments:
            assert segment.hidden.shape[1] - len(segment.ids) == segment.ended


def test_long_replies_are_spoken_in_segments(model, release):
    """A text longer than the generator was trained on is cut at a sentence's end."""
    text = " ".join(["the sun is warm and we are here."] * 14)
    ids = torch.tensor(model.text.plain_ids_of(text))
    answer = Written(ids, torch.zeros(1, len(ids) + 1, 48), text, complete=True)
    requests = make.segment_requests(model, answer, 0, make.OFFLINE)
    assert len(requests) > 1
    assert sum(r.prompt.shape[1] - 2 for r in requests) == len(ids)


def test_the_hosts_random_numbers_stay(model):
    """The release seeds all of the program's random numbers with 42 at every call."""
    torch.manual_seed(11)
    before = torch.get_rng_state()
    model.decoder.decode([1, 2, 3], seed=0)
    make.write(model, [asked()], nothing)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_off(model):
    """In the release the flow's dropouts run: the same units never sound the same twice."""
    units = [3, 1, 4, 1, 5, 9, 2, 6]
    assert torch.equal(model.decoder.decode(units, seed=2), model.decoder.decode(units, seed=2))
    assert not any(part.training for part in model.decoder.modules())
