# SPDX-License-Identifier: GPL-3.0-or-later
"""Units to speech: golden arrays, streams of all splits, lengths, batches, files that don't fit."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch
from decoder_models import VOCAB, small_flow, small_vocoder, units

from exomni_core.errors import InputError
from exomni_core.omni.speech import speech_stream
from exomni_core.omni.speech.flow_encoder import frames_of
from exomni_core.omni.speech.speech_decoder import SpeechDecoder
from exomni_core.omni.speech.speech_noise import CHUNK_FRAMES, DrawnNoise, NoiseBank
from exomni_core.omni.speech.speech_reference import faded, reference_block
from exomni_core.omni.speech.speech_stream import blended

HOP = 256


@pytest.fixture(scope="module")
def decoder():
    return SpeechDecoder(small_flow(), small_vocoder())


@pytest.fixture(scope="module")
def release():
    return SpeechDecoder(small_flow(), small_vocoder(), compat="reference")


def streamed(decoder, numbers, split, *, seed=0, flush=False):
    """All samples of a stream to which `split` units are given at a time."""
    state = decoder.start(seed=seed)
    waves = []
    for begin in range(0, len(numbers), split):
        last = begin + split >= len(numbers) and not flush
        waves.append(decoder.push(state, numbers[begin : begin + split], final=last))
    if flush or not numbers:
        waves.append(decoder.push(state, [], final=True))
    return torch.cat(waves)


def close(found, wanted, atol=2e-5):
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol)


def misses(shared, repo, monkeypatch, part):
    monkeypatch.syspath_prepend(repo)
    from tests.golden.glm4voice_decoder import check

    results = list(check(shared / "golden" / "glm4voice", (part,)))
    assert len(results) > 40
    return [result for result in results if not result.ok]


def test_the_reduced_golden_set(shared, repo, monkeypatch):
    assert misses(shared, repo, monkeypatch, "reduced") == []


@pytest.mark.slow
def test_the_published_golden_set(shared, repo, monkeypatch):
    assert misses(shared, repo, monkeypatch, "published") == []


@pytest.mark.parametrize("count", [0, 1, 7, 35, 205])
def test_a_wave_is_256_samples_per_mel_frame_whole_or_streamed(decoder, count):
    numbers = units(count)
    wanted = HOP * frames_of(count)
    assert decoder.decode(numbers).shape == (wanted,)
    assert streamed(decoder, numbers, 9).shape == (wanted,)


def test_a_long_wave_is_decoded_in_blocks_and_as_long_as_it_should_be(decoder, monkeypatch):
    seen = []
    forward = type(decoder.flow).forward

    def counted(flow, numbers, **options):
        seen.append(numbers.shape[1])
        return forward(flow, numbers, **options)

    monkeypatch.setattr(type(decoder.flow), "forward", counted)
    wave = decoder.decode(units(1000))
    assert wave.shape == (HOP * frames_of(1000),)
    assert seen == [250, 300, 300, 300]
    assert wave.abs().max() > 1e-3


@pytest.mark.parametrize("count", [1, 10, 11, 35, 36, 85, 140])
def test_how_units_are_split_changes_nothing(decoder, count):
    numbers = units(count)
    wanted = streamed(decoder, numbers, count)
    assert torch.equal(streamed(decoder, numbers, 1, flush=True), wanted)
    for split in (7, 25):
        assert torch.equal(streamed(decoder, numbers, split), wanted)


def test_what_fits_into_the_first_block_is_as_if_whole(decoder):
    close(streamed(decoder, units(9), 1), decoder.decode(units(9)))


def test_a_last_call_without_units_speaks_what_was_held_back(decoder):
    state = decoder.start()
    first = decoder.push(state, units(35), final=False)
    rest = decoder.push(state, [], final=True)
    assert len(first) + len(rest) == HOP * frames_of(35)
    assert len(rest) >= HOP * 34


def test_sound_comes_with_the_first_block(decoder):
    state = decoder.start()
    assert len(decoder.push(state, units(9), final=False)) == 0
    first = decoder.push(state, units(1), final=False)
    # 68 frames, less those held back, those the vocoder looks ahead, and those its pitch does.
    assert len(first) == HOP * (68 - 34 - decoder.vocoder.reach - 5)


def test_the_flow_never_sees_more_than_a_window_and_a_block(decoder, monkeypatch):
    seen = []
    forward = type(decoder.flow).forward

    def counted(flow, numbers, **options):
        known = options["prompt_mel"]
        seen.append((numbers.shape[1], 0 if known is None else known.shape[2]))
        return forward(flow, numbers, **options)

    monkeypatch.setattr(type(decoder.flow), "forward", counted)
    state = decoder.start()
    decoder.push(state, units(300), final=False)
    blocks = [count for count, _ in seen]
    assert blocks == [10, 35, 85, 95, 95, 95, 95]
    # The known mel ends 34 frames before the units that it belongs to do.
    assert [known for _, known in seen[:3]] == [0, frames_of(10) - 34, frames_of(35) - 34]
    assert seen[3][1] == frames_of(85) - 34 - frames_of(40)
    assert len(state.units) <= 60
    assert state.mel.shape[2] <= frames_of(60)


def test_window_mel_lies_at_its_absolute_place(decoder, monkeypatch):
    """Blocks joined are as long as the whole although each length is rounded down."""
    monkeypatch.setattr(speech_stream, "WINDOW_UNITS", 20)
    state = decoder.start()
    waves = [decoder.push(state, units(333), final=False), decoder.push(state, [], final=True)]
    assert len(torch.cat(waves)) == HOP * frames_of(333)


def test_the_blend_adds_up_to_one_and_goes_from_old_to_new():
    same = torch.randn(1, 80, 40)
    close(blended(same[:, :, :34], same), same, atol=1e-6)
    mixed = blended(torch.zeros(1, 1, 34), torch.ones(1, 1, 40))[0, 0]
    assert (mixed.diff()[:33] > 0).all()
    assert mixed[0] < 0.01
    assert (mixed[34:] == 1).all()
    assert faded(torch.ones(1, 1, 34), torch.ones(1, 1, 40)).max() == pytest.approx(1.079, abs=1e-3)


def test_a_seed_is_a_voice_and_another_seed_another(decoder):
    numbers = units(20)
    assert torch.equal(decoder.decode(numbers, seed=4), decoder.decode(numbers, seed=4))
    assert (decoder.decode(numbers, seed=4) - decoder.decode(numbers, seed=5)).abs().max() > 1e-4
    other = streamed(decoder, numbers, 5, seed=5)
    assert (streamed(decoder, numbers, 5, seed=4) - other).abs().max() > 1e-4


@pytest.mark.parametrize("compat", ["fixed", "reference"])
def test_the_hosts_random_numbers_stay_as_they_are(compat):
    decoder = SpeechDecoder(small_flow(), small_vocoder(), compat=compat)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = decoder.decode(units(12))
    streamed(decoder, units(24), 12)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    assert torch.equal(decoder.decode(units(12)), first)


def test_training_mode_changes_nothing(decoder):
    wanted = decoder.decode(units(12))
    decoder.train()
    assert torch.equal(decoder.decode(units(12)), wanted)
    decoder.eval()


@pytest.mark.parametrize("at_once", [0, 1, 3])
def test_many_rows_are_what_each_is_alone(decoder, at_once):
    rows = [units(n) for n in (7, 35, 0, 60, 1, 36)]
    seeds = [3, 1, 4, 1, 5, 9]
    for row, seed, wave in zip(
        rows, seeds, decoder.decode_many(rows, seeds, at_once=at_once), strict=True
    ):
        # The pitch rounds otherwise in a batch, and a phase is the sum of all pitch so far.
        close(wave, decoder.decode(row, seed=seed), atol=1e-3)


def test_many_rows_with_a_long_one(decoder, monkeypatch):
    monkeypatch.setattr("exomni_core.omni.speech.speech_decoder.WHOLE_UNITS", 30)
    rows = [units(31), units(12), units(13)]
    waves = decoder.decode_many(rows, at_once=2)
    assert [len(wave) for wave in waves] == [HOP * frames_of(n) for n in (31, 12, 13)]
    close(waves[0], decoder.decode(rows[0]))


def test_units_may_be_a_tensor(decoder):
    numbers = units(12)
    assert torch.equal(decoder.decode(torch.tensor([numbers])), decoder.decode(numbers))


def test_an_unknown_unit_is_named(decoder):
    with pytest.raises(InputError, match=f"speech unit {VOCAB} is unknown.*has {VOCAB}"):
        decoder.decode([1, VOCAB])
    with pytest.raises(InputError, match="unit 99"):
        decoder.push(decoder.start(), [99], final=False)


@pytest.mark.parametrize("which", ["decoder", "release"])
def test_an_utterance_ends_once(which, request):
    decoder = request.getfixturevalue(which)
    state = decoder.start()
    decoder.push(state, units(12), final=True)
    with pytest.raises(ValueError, match="has ended"):
        decoder.push(state, [], final=True)


def test_the_release_streams_as_its_worked_examples_say(release):
    numbers = units(35)
    assert len(release.decode(numbers)) == 61_696
    assert len(streamed(release, numbers, 10)) == 61_184
    state = release.start()
    lengths = [len(release.push(state, numbers[:25], final=False))]
    lengths.append(len(release.push(state, numbers[25:], final=True)))
    assert lengths == [137 * HOP, 104 * HOP]


def test_a_push_is_a_block_of_the_release(release):
    numbers = units(25)
    state = release.start()
    wave = torch.cat(
        (
            release.push(state, numbers[:12], final=False),
            release.push(state, numbers[12:], final=True),
        )
    )
    other = release.start()
    first = reference_block(release.flow, release.vocoder, other, numbers[:12], final=False)
    second = reference_block(release.flow, release.vocoder, other, numbers[12:], final=True)
    assert torch.equal(torch.cat((first.wave, second.wave), 1)[0], wave)


def test_the_release_never_speaks_the_end_if_no_unit_comes_with_it(release):
    state = release.start()
    first = release.push(state, units(20), final=False)
    assert len(release.push(state, [], final=True)) == 0
    assert len(first) == HOP * (frames_of(20) - 34 - 1)


def test_blocks_too_short_for_the_release_are_refused(release):
    state = release.start()
    with pytest.raises(InputError, match="a block of 3 units is too short"):
        release.push(state, units(3), final=False)


def test_noise_lies_at_its_place_whatever_is_asked_first():
    bank = NoiseBank(7, mel=80, harmonics=9, hop=HOP)
    whole = bank.mel(0, 200)
    assert torch.equal(bank.mel(50, 100), whole[:, :, 50:150])
    assert torch.equal(bank.mel(CHUNK_FRAMES, 3), whole[:, :, CHUNK_FRAMES : CHUNK_FRAMES + 3])
    samples = bank.samples(0, 3 * CHUNK_FRAMES * HOP)
    assert torch.equal(bank.samples(20_000, 9_000), samples[:, :, 20_000:29_000])
    assert bank.mel(10, 0).shape == (1, 80, 0)
    assert abs(whole.mean()) < 0.03
    assert abs(whole.std() - 1) < 0.03
    assert (NoiseBank(8, mel=80, harmonics=9, hop=HOP).mel(0, 9) - whole[:, :, :9]).abs().min() > 0
    phases = bank.phases()
    assert phases.shape == (1, 9, 1)
    assert phases.abs().max() <= math.pi


def test_the_release_draws_with_42():
    torch.manual_seed(42)
    wanted = (torch.randn(1, 80, 241), -math.pi + 2 * math.pi * torch.rand(1, 9, 1))
    wanted = (*wanted, torch.randn(1, 9, 512))
    noise = DrawnNoise(80, 9)
    found = (noise.mel(241), noise.phases(), noise.samples(512))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert found[0].flatten()[:2].tolist() == pytest.approx([1.926915, 1.487284])


@pytest.fixture(scope="module")
def states():
    return small_flow(fused=False).state_dict(), small_vocoder(fused=False).state_dict()


@pytest.fixture
def files(tmp_path, states):
    """A function that writes both files, with changes, and gives their paths."""

    def write(flow=None, hift=None, **options):
        paths = (tmp_path / "flow.pt", tmp_path / "hift.pt")
        for path, state, changed in zip(paths, states, (flow, hift), strict=True):
            torch.save(state if changed is None else changed, path, **options)
        return paths

    return write


@pytest.mark.parametrize("legacy", [False, True])
def test_files_load_and_speak(files, decoder, legacy):
    paths = files(_use_new_zipfile_serialization=not legacy)
    loaded = SpeechDecoder.load(*paths)
    for path in paths:
        path.write_bytes(b"gone")  # nothing may still be read from the files
    close(loaded.decode(units(15)), decoder.decode(units(15)))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training


def test_bfloat16_loads_and_speaks(files, decoder):
    loaded = SpeechDecoder.load(*files(), dtype=torch.bfloat16, compat="reference")
    assert loaded.compat == "reference"
    assert loaded.flow.input_embedding.weight.dtype == torch.bfloat16
    assert loaded.vocoder.conv_pre.weight.dtype == torch.float32
    wave = loaded.decode(units(15))
    assert wave.dtype == torch.float32
    assert wave.isfinite().all()


NAME = "decoder.estimator.mid_blocks.0.1.0.attn1.to_k.weight"


def test_a_missing_tensor_is_named(files, states):
    short = {name: t for name, t in states[0].items() if name != NAME}
    with pytest.raises(InputError, match=r"flow\.pt lacks 1 tensor \(.*to_k\.weight\).*again"):
        SpeechDecoder.load(*files(flow=short))


def test_a_renamed_tensor_is_named(files, states):
    renamed = {name.replace("conv_post", "conv_last"): t for name, t in states[1].items()}
    with pytest.raises(InputError, match=r"hift\.pt lacks 3 tensors \(conv_post"):
        SpeechDecoder.load(*files(hift=renamed))


def test_an_unknown_tensor_is_named(files, states):
    with pytest.raises(InputError, match=r"flow\.pt holds.*1 tensor \(ema\.step\)"):
        SpeechDecoder.load(*files(flow={**states[0], "ema.step": torch.zeros(1)}))


def test_a_misshapen_tensor_is_named_with_both_shapes(files, states):
    with pytest.raises(InputError, match=r"to_k\.weight of shape \[32, 8\] instead of \[32, 16\]"):
        SpeechDecoder.load(*files(flow={**states[0], NAME: torch.zeros(32, 8)}))


@pytest.mark.parametrize("shape", [(), (64,), (2, 3, 4)])
def test_a_tensor_that_tells_the_sizes_but_is_misshapen_is_an_error_too(files, states, shape):
    odd = {**states[0], "input_embedding.weight": torch.zeros(shape)}
    with pytest.raises(InputError, match=r"flow\.pt"):
        SpeechDecoder.load(*files(flow=odd))


def test_many_bad_tensors_are_counted(files, states):
    with pytest.raises(InputError, match=r"flow\.pt lacks 1185 tensors \(.*, \.\.\.\)"):
        SpeechDecoder.load(*files(flow=states[1]))


def test_quantised_weights_are_refused(files, states):
    odd = {**states[1], "conv_pre.bias": torch.zeros(16, dtype=torch.int8)}
    with pytest.raises(InputError, match=r"hift\.pt holds quantised"):
        SpeechDecoder.load(*files(hift=odd))


def test_files_that_are_none_are_named(files, tmp_path):
    flow, hift = files()
    with pytest.raises(InputError, match=r"there is no file .*none\.pt"):
        SpeechDecoder.load(tmp_path / "none.pt", hift)
    hift.write_bytes(hift.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"hift\.pt is damaged"):
        SpeechDecoder.load(flow, hift)
    torch.save([1, 2], flow)
    with pytest.raises(InputError, match=r"flow\.pt holds no tensors"):
        SpeechDecoder.load(flow, hift)
