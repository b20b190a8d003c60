# SPDX-License-Identifier: GPL-3.0-or-later
"""Mel to wave: spectra and layers against PyTorch's own, pieces against the whole, reach."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

pytest.importorskip("torch")

import torch
from decoder_models import VOCODER, small_vocoder, with_weights
from torch import nn

from exomni_core.omni.speech import vocoder as vocoder_module
from exomni_core.omni.speech.vocoder import ResBlock, Snake, Vocoder, VocoderConfig
from exomni_core.omni.speech.vocoder_source import HarmonicSource, NormConv, Spectrum, image

HOP = 256


pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated")


@pytest.fixture(scope="module")
def vocoder():
    return small_vocoder()


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def whole(vocoder, mel):
    noise = draw(1, 9, HOP * mel.shape[2], seed=5)
    return vocoder(mel, phases=draw(1, 9, 1, seed=6), noise=noise)


def in_pieces(vocoder, mel, cuts):
    noise = draw(1, 9, HOP * mel.shape[2], seed=5)
    state = vocoder.start(
        draw(1, 9, 1, seed=6), lambda first, count: noise[:, :, first : first + count]
    )
    bounds = [0, *cuts, mel.shape[2]]
    waves = [
        vocoder.push(state, mel[:, :, begin:end], final=end == mel.shape[2])
        for begin, end in pairwise(bounds)
    ]
    return torch.cat(waves, 1), state


@pytest.mark.parametrize("samples", [16, 64, 256])
def test_spectra_are_pytorchs(samples):
    spectrum, window = Spectrum(16), torch.hann_window(16)
    wave = draw(2, 1, samples)
    found = spectrum.analyse(wave).transpose(1, 2)
    wanted = torch.stft(wave[:, 0], 16, 4, 16, window, return_complex=True)
    torch.testing.assert_close(found, torch.cat((wanted.real, wanted.imag), 1), rtol=0, atol=2e-6)
    mixed = draw(2, samples // 4 + 1, 18, seed=1)
    complex_ = torch.complex(*mixed.transpose(1, 2).contiguous().chunk(2, 1))
    wanted = torch.istft(complex_, 16, 4, 16, window)
    torch.testing.assert_close(spectrum.combine(mixed), wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (7, 1), (11, 5)])
def test_a_normed_convolution_is_pytorchs(fused, kernel, dilation):
    ours = with_weights(NormConv(16, 24, kernel, dilation))
    padding = dilation * (kernel - 1) // 2
    theirs = nn.utils.weight_norm(nn.Conv1d(16, 24, kernel, 1, padding, dilation))
    theirs.load_state_dict(ours.state_dict())
    x = draw(1, 16, 40)
    with torch.inference_mode():
        if fused:
            ours.fuse()
            assert set(dict(ours.named_parameters())) == {"bias", "weight"}
        torch.testing.assert_close(ours(image(x)).squeeze(2), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_a_normed_transposed_convolution_is_pytorchs(fused):
    ours = with_weights(NormConv(16, 24, 16, transposed=True))
    theirs = nn.utils.weight_norm(nn.ConvTranspose1d(16, 24, 16, 8, 4))
    theirs.load_state_dict(ours.state_dict())
    x = draw(1, 16, 10)
    with torch.inference_mode():
        if fused:
            ours.fuse()
        torch.testing.assert_close(ours(image(x)).squeeze(2), theirs(x), rtol=1e-4, atol=1e-5)


def test_snake_is_its_formula_also_where_alpha_is_tiny():
    snake = Snake(3)
    snake.alpha.data = torch.tensor([1.5, 1e-4, -0.7])
    x = draw(1, 3, 1, 50)
    alpha = snake.alpha.double().view(3, 1, 1)
    wanted = x.double() + torch.sin(alpha * x.double()) ** 2 / (alpha + 1e-9)
    torch.testing.assert_close(snake(x).double(), wanted, rtol=1e-5, atol=1e-6)


def test_a_residual_block_is_its_formula():
    block = with_weights(ResBlock(8, 3, (1, 3)))
    x = wanted = image(draw(1, 8, 30))
    with torch.inference_mode():
        for number in range(2):
            y = block.convs1[number](block.activations1[number](wanted))
            wanted = wanted + block.convs2[number](block.activations2[number](y))
        torch.testing.assert_close(block(x), wanted)


def source_of(hz, harmonics=9, compat="fixed", state=None, noise=None):
    source = with_weights(HarmonicSource(harmonics, 22_050, HOP))
    count = HOP * hz.shape[1]
    noise = torch.zeros(1, harmonics, count) if noise is None else noise
    state = state or source.begin(draw(1, harmonics, 1))
    with torch.inference_mode():
        return source(hz, state, noise, compat)


def test_the_source_sings_at_the_pitch():
    source = HarmonicSource(1, 22_050, HOP)
    source.l_linear.weight.data.fill_(1.0)
    source.l_linear.bias.data.zero_()
    hz = torch.full((1, 40), 220.0)
    with torch.inference_mode():
        wave, _ = source(hz, source.begin(torch.ones(1, 1, 1)), torch.zeros(1, 1, 40 * HOP))
    time_s = torch.arange(1, 40 * HOP + 1, dtype=torch.float64) / 22_050
    wanted = torch.tanh(0.1 * torch.sin(2 * math.pi * 220.0 * time_s))
    torch.testing.assert_close(wave[0, 0].double(), wanted, rtol=0, atol=1e-5)


def test_below_ten_hertz_there_is_only_noise():
    quiet, _ = source_of(torch.tensor([[10.0, 3.0]]))
    assert quiet[0, 0].unique().numel() == 1
    loud, _ = source_of(torch.tensor([[10.1, 30.0]]))
    assert loud[0, 0].unique().numel() > 100


def test_the_source_in_two_parts_is_the_source():
    hz = draw(1, 30, seed=3).abs() * 200
    noise = draw(1, 9, 30 * HOP, seed=4)
    wanted, after = source_of(hz, noise=noise)
    first, state = source_of(hz[:, :11], noise=noise[:, :, : 11 * HOP])
    second, end = source_of(hz[:, 11:], state=state, noise=noise[:, :, 11 * HOP :])
    torch.testing.assert_close(torch.cat((first, second), 2), wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(end.cycles, after.cycles)


def test_a_long_voice_keeps_its_phase_only_in_the_fixed_way():
    hz = torch.full((1, 20 * 86), 440.0)  # twenty seconds: 79,000 cycles of the ninth sine
    exact = source_of(hz)[0]
    time = torch.arange(1, hz.shape[1] * HOP + 1, dtype=torch.float64)
    source = with_weights(HarmonicSource(9, 22_050, HOP))
    step = (torch.tensor(440.0) * torch.arange(1, 10) / 22_050).double()[:, None]
    sine = 0.1 * torch.sin(
        2 * math.pi * (step * time) % (2 * math.pi) + source.begin(draw(1, 9, 1)).start[0]
    )
    with torch.inference_mode():
        wanted = torch.tanh(source.l_linear(sine.float().T)).T
    assert (exact[0] - wanted).abs().max() < 1e-5
    assert (source_of(hz, compat="reference")[0][0] - wanted).abs().max() > 1e-4


@pytest.mark.parametrize("frames", [1, 2, 5, 30])
def test_a_frame_is_256_samples(vocoder, frames):
    wave, source = whole(vocoder, draw(1, 80, frames))
    assert wave.shape == (1, frames * HOP)
    assert source.shape == (1, 1, frames * HOP)
    assert wave.abs().max() <= 0.99


@pytest.mark.parametrize("piece", [17, 256])
@pytest.mark.parametrize("cuts", [[], [1], [5, 6, 40], [19, 20, 21], list(range(1, 90)), [89]])
def test_pieces_are_the_whole(vocoder, monkeypatch, cuts, piece):
    monkeypatch.setattr(vocoder_module, "PIECE_FRAMES", piece)
    mel = draw(1, 80, 90, seed=2) * 2
    wanted, _ = whole(vocoder, mel)
    found, state = in_pieces(vocoder, mel, cuts)
    assert wanted.std() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)
    assert state.mel.shape[2] <= vocoder.reach + 90 * (not cuts)


def test_what_is_kept_of_a_stream_does_not_grow(vocoder):
    mel = draw(1, 80, 300)
    state = vocoder.start(draw(1, 9, 1), lambda first, count: torch.zeros(1, 9, count))
    for begin in range(0, 300, 20):
        vocoder.push(state, mel[:, :, begin : begin + 20], final=False)
        assert state.mel.shape[2] <= 2 * vocoder.reach + 5
        assert state.source.shape[2] <= 2 * vocoder.reach * HOP


def test_nothing_in_nothing_out(vocoder):
    state = vocoder.start(torch.zeros(1, 9, 1), lambda first, count: torch.zeros(1, 9, count))
    assert vocoder.push(state, torch.zeros(1, 80, 0), final=True).shape == (1, 0)


def test_the_wave_sees_exactly_as_far_as_it_says(vocoder):
    frames, place = 80, 40
    mel, source = draw(1, 80, frames), draw(1, 1, frames * HOP, seed=1) * 0.1
    wanted = vocoder.wave(mel, source, clamp=False)
    for what in ("mel", "source"):
        other_mel, other_source = mel.clone(), source.clone()
        if what == "mel":
            other_mel[:, :, place] += 5
        else:
            other_source[:, :, place * HOP : (place + 1) * HOP] += 0.5
        changed = vocoder.wave(other_mel, other_source, clamp=False) - wanted
        seen = changed[0].view(frames, HOP).abs().amax(1).nonzero().flatten()
        assert place - vocoder.reach <= seen.min() < place
        assert place < seen.max() <= place + vocoder.reach
    assert VOCODER.kernels == VocoderConfig().kernels
    assert vocoder.reach == 14


def test_fusing_changes_nothing(vocoder):
    mel = draw(1, 80, 20)
    wanted, _ = whole(small_vocoder(fused=False), mel)
    torch.testing.assert_close(whole(vocoder, mel)[0], wanted, rtol=0, atol=1e-5)


def test_bfloat16_is_near_and_keeps_pitch_and_phase():
    rough = with_weights(Vocoder(VOCODER), seed=1)
    for part in (rough.conv_pre, rough.ups, rough.source_downs, rough.resblocks):
        part.to(torch.bfloat16)
    rough.fuse_weight_norm()
    mel = draw(1, 80, 40)
    wave, source = whole(rough, mel)
    wanted, wanted_source = whole(small_vocoder(), mel)
    assert (source == wanted_source).all()
    assert 0 < (wave - wanted).square().mean().sqrt() < 0.02 * wanted.std()


def test_sizes_follow_from_the_names_and_shapes():
    state = with_weights(Vocoder(VOCODER)).state_dict()
    assert VocoderConfig.from_state_dict({n: tuple(t.shape) for n, t in state.items()}) == VOCODER


def test_published_sizes_give_the_published_tensors():
    with torch.device("meta"):
        state = Vocoder(VocoderConfig()).state_dict()
    assert len(state) == 227
    assert sum(tensor.numel() for tensor in state.values()) == 20_460_591
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert VocoderConfig.from_state_dict(shapes) == VocoderConfig()
    assert shapes["source_downs.0.weight"] == (256, 18, 16)
    assert shapes["ups.1.weight_g"] == (256, 1, 1)
    assert shapes["f0_predictor.condnet.8.weight_v"] == (512, 512, 3)
    assert shapes["resblocks.5.activations2.2.alpha"] == (128,)
