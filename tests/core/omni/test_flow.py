# SPDX-License-Identifier: GPL-3.0-or-later
"""Units to mel: layers against PyTorch's own, lengths, ragged batches, fusing, bfloat16."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from decoder_models import FLOW, small_flow, units, with_weights
from torch import nn
from torch.nn import functional as F  # noqa: N812

from exomni_core.omni.nets.dense import (
    Dense,
    Norm,
    TimeConv,
    TimeGroupNorm,
    TimeUpsample,
    length_mask,
    mish,
)
from exomni_core.omni.speech import flow_estimator
from exomni_core.omni.speech.flow import Flow, FlowConfig, time_grid
from exomni_core.omni.speech.flow_encoder import (
    block_mask,
    frames_of,
    position_table,
    shifted,
    stretch_places,
)
from exomni_core.omni.speech.flow_estimator import attended


@pytest.fixture(scope="module")
def flow():
    return small_flow()


def noise_for(count, rows=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 80, frames_of(count), generator=generator)


def close(found, wanted, atol=2e-5):
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=atol)


def test_frames_per_unit_are_those_of_the_release():
    known = {1: 6, 2: 13, 5: 34, 10: 68, 20: 137, 25: 172, 35: 241, 50: 344, 100: 689}
    assert {n: frames_of(n) for n in known} == known
    lower = [n for n in range(1, 6001) if frames_of(n) != n * 441 // 64]
    assert lower == [3392, 3776, 4160]
    assert frames_of(0) == 0


@pytest.mark.parametrize("count", [1, 2, 16, 35, 100, 333])
def test_units_are_stretched_as_pytorch_interpolates(count):
    frames = frames_of(count)
    row = torch.arange(count, dtype=torch.float32)[None, None]
    wanted = F.interpolate(row, size=frames, mode="nearest")[0, 0].long()
    assert (stretch_places(count, frames) == wanted).all()
    if count == 16:
        assert stretch_places(16, 110)[55] == 7  # exact integers say 8


def test_times_are_the_cosine_grid():
    times, lasts = time_grid()
    assert times[:3] == pytest.approx([0.0, 0.01231164, 0.04894346])
    assert times[9] + lasts[9] == pytest.approx(1.0)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("frames", [1, 8, 13])
def test_a_convolution_over_time_is_pytorchs(fused, kernel, stride, frames):
    ours = with_weights(TimeConv(24, 32, kernel, stride))
    theirs = nn.Conv1d(24, 32, kernel, stride, kernel // 2)
    theirs.load_state_dict(ours.state_dict())
    x, more = torch.randn(2, frames, 24), torch.randn(2, -(-frames // stride), 32)
    with torch.inference_mode():
        wanted = theirs(x.transpose(1, 2)).transpose(1, 2)
        part = ours.split(16)
        if fused:
            ours.fuse()
        close(ours(x), wanted)
        close(ours(x, more), wanted + more)
        alone = F.conv1d(x[:, :, :16].transpose(1, 2), theirs.weight[:, :16], None, 1, kernel // 2)
    if stride == 1:
        shown = F.pad(x[:, :, :16], (0, 0, kernel // 2, kernel // 2))
        columns = torch.cat([shown[:, k : k + frames] for k in range(kernel)], 2)
        close(part(columns), alone.transpose(1, 2))


@pytest.mark.parametrize("fused", [False, True])
def test_a_transposed_convolution_is_pytorchs(fused):
    ours = with_weights(TimeUpsample(16, 24))
    theirs = nn.ConvTranspose1d(16, 24, 4, 2, 1)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 7, 16)
    with torch.inference_mode():
        wanted = theirs(x.transpose(1, 2)).transpose(1, 2)
        if fused:
            ours.fuse()
        close(ours(x), wanted)


@pytest.mark.parametrize("act", ["", "gelu", "swish"])
def test_a_fused_layer_gives_what_it_gave_and_frees_its_parameters(act):
    layer = with_weights(Dense(40, 24, act=act))
    x, more = torch.randn(3, 5, 40), torch.randn(3, 5, 24)
    with torch.inference_mode():
        before, before_sum = layer(x), layer(x, more)
        layer.fuse()
        close(layer(x), before)
        close(layer(x, more), before_sum)
        close(layer(x, more[:, :1]), before - 0 + more[:, :1])  # broadcast
    assert not list(layer.parameters())


def test_mish_is_pytorchs_everywhere():
    x = torch.cat((torch.linspace(-110, 110, 4001), torch.randn(1000)))
    torch.testing.assert_close(mish(x), F.mish(x), rtol=2e-6, atol=1e-7)


def test_group_norm_over_time_is_pytorchs_and_its_mask_makes_rows_alone():
    norm = with_weights(TimeGroupNorm(4, 16))
    x = torch.randn(2, 9, 16) + 3
    with torch.inference_mode():
        wanted = F.group_norm(x.transpose(1, 2), 4, norm.weight, norm.bias).transpose(1, 2)
        close(norm(x), wanted)
        mask = length_mask(torch.tensor([9, 5]), 9)
        close(norm(x, mask)[0], wanted[0])
        close(norm(x, mask)[1, :5], norm(x[1:, :5])[0])


def test_norms_count_in_float32():
    norm = with_weights(Norm(16)).to(torch.bfloat16)
    assert norm(torch.randn(2, 16)).dtype == torch.float32


def test_scores_are_shifted_to_their_distance():
    scores = torch.randn(2, 3, 6, 11)
    found = shifted(scores)
    for i in range(6):
        for j in range(6):
            assert (found[:, :, i, j] == scores[:, :, i, 5 - i + j]).all()


def test_the_position_table_goes_from_far_before_to_far_behind():
    table = position_table(4, 8, torch.device("cpu"))
    assert table.shape == (7, 8)
    angle = torch.tensor(3.0)
    close(table[0, :2], torch.stack((angle.sin(), angle.cos())))
    assert table[3].tolist() == [0.0, 1.0] * 4


def test_blocks_see_themselves_and_all_before():
    mask = block_mask(25, 10, torch.device("cpu"))
    assert (mask[3, :10] == 0).all()
    assert (mask[3, 10:] < -1e30).all()
    assert (mask[24] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_ignores_what_is_not_seen(dtype):
    q, k, v = torch.randn(3, 2, 2, 12, 16).to(dtype)
    seen = torch.arange(12)[None, None, None] < torch.tensor([12, 7])[:, None, None, None]
    found = attended(q, k, v, seen).float()
    short = attended(q[1:, :, :7], k[1:, :, :7], v[1:, :, :7], None).float()
    torch.testing.assert_close(found[1:, :, :7], short, rtol=2e-2, atol=2e-2)
    wanted = (q.float() @ k.float().transpose(2, 3)).softmax(3) @ v.float()
    torch.testing.assert_close(found[0], wanted[0], rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_over_long_rows_in_parts_is_the_same(monkeypatch, dtype):
    monkeypatch.setattr(flow_estimator, "QUERIES", 16)
    monkeypatch.setattr(flow_estimator, "FRAMES_PER_THREAD", 1)
    q, k, v = (torch.randn(3, 2, 4, 70, 16) / 2).to(dtype)
    with torch.inference_mode():
        found = attended(q, k, v, None).float()
    wanted = (q.float() @ k.float().transpose(2, 3)).softmax(3) @ v.float()
    rough = 2e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found, wanted, rtol=rough, atol=rough)


def test_a_completed_block_of_the_encoder_never_changes(flow):
    with torch.inference_mode():
        embedded = flow.input_embedding(torch.tensor([units(34)]))
        whole, begun = flow.encoder(embedded), flow.encoder(embedded[:, :27])
    close(whole[:, :20], begun[:, :20])
    assert (whole[:, 20:27] - begun[:, 20:]).abs().max() > 1e-3


def test_negative_units_count_as_zero(flow):
    assert (flow.encode(torch.tensor([[-1, 3]])) == flow.encode(torch.tensor([[0, 3]]))).all()


def test_fusing_changes_nothing(flow):
    plain = small_flow(fused=False)
    row = torch.tensor([units(12)])
    close(flow(row, noise=noise_for(12)), plain(row, noise=noise_for(12)), atol=1e-4)


def test_a_known_mel_is_taken_off_the_result(flow):
    row, known = torch.tensor([units(12)]), torch.randn(1, 80, 30)
    mel = flow(row, noise=noise_for(12), prompt_mel=known)
    assert mel.shape == (1, 80, frames_of(12) - 30)
    assert flow(row, prompt_mel=known).shape == mel.shape  # with noise of its own
    free = flow(row, noise=noise_for(12))
    assert (mel - free[:, :, 30:]).abs().max() > 1e-3


def test_the_speaker_is_heard(flow):
    row = torch.tensor([units(5)])
    told = flow(row, noise=noise_for(5), speaker=torch.randn(1, 192))
    assert (told - flow(row, noise=noise_for(5))).abs().max() > 1e-4


def test_each_row_of_a_ragged_batch_is_as_it_is_alone(flow):
    lengths = [7, 1, 35, 34, 20]
    noise = noise_for(35, rows=5)
    batch = torch.zeros(5, 35, dtype=torch.int64)
    for row, count in enumerate(lengths):
        batch[row, :count] = torch.tensor(units(count))
    mels = flow(batch, noise=noise, lengths=lengths)
    for row, count in enumerate(lengths):
        frames = frames_of(count)
        alone = flow(torch.tensor([units(count)]), noise=noise[row : row + 1, :, :frames])
        close(mels[row : row + 1, :, :frames], alone, atol=1e-4)
        assert not mels[row, :, frames:].any()


@pytest.mark.parametrize("count", [1, 9, 30])
def test_padding_to_a_bucket_changes_nothing(flow, monkeypatch, count):
    """What CUDA does with every row, here on the CPU."""
    row, noise, known = torch.tensor([units(count)]), noise_for(count), torch.randn(1, 80, 4)
    alone = flow(row, noise=noise, prompt_mel=known)
    monkeypatch.setattr(flow, "bucket_frames", 64)
    close(flow(row, noise=noise, prompt_mel=known), alone, atol=1e-4)


def test_bfloat16_is_near():
    exact, rough = small_flow(), with_weights(Flow(FLOW)).to(torch.bfloat16)
    rough.fuse()
    row = torch.tensor([units(20)])
    mel = rough(row, noise=noise_for(20))
    assert mel.dtype == torch.float32
    difference = (mel - exact(row, noise=noise_for(20))).abs()
    assert 0 < difference.mean() < 0.02


def test_training_mode_changes_nothing_as_there_is_no_dropout(flow):
    row = torch.tensor([units(12)])
    wanted = flow(row, noise=noise_for(12))
    flow.train()
    found = flow(row, noise=noise_for(12))
    flow.eval()
    assert (found == wanted).all()
    assert not any("dropout" in type(module).__name__.lower() for module in flow.modules())


def test_sizes_follow_from_the_names_and_shapes():
    shapes = {name: tuple(t.shape) for name, t in with_weights(Flow(FLOW)).state_dict().items()}
    assert FlowConfig.from_state_dict(shapes) == FLOW
    other = FlowConfig.from_state_dict(shapes, heads=4).estimator
    assert (other.heads, other.head_width) == (4, 8)


def test_published_sizes_give_the_published_tensors():
    with torch.device("meta"):
        state = Flow(FlowConfig()).state_dict()
    assert len(state) == 1185
    assert sum(tensor.numel() for tensor in state.values()) == 111_166_208
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert FlowConfig.from_state_dict(shapes) == FlowConfig()
    prefix = "decoder.estimator"
    assert shapes[f"{prefix}.up_blocks.0.2.conv.weight"] == (256, 256, 4)
    assert shapes[f"{prefix}.down_blocks.1.2.weight"] == (256, 256, 3)
    assert shapes[f"{prefix}.mid_blocks.11.1.3.ff.net.0.proj.weight"] == (1024, 256)
    assert shapes["encoder.embed.out.1.bias"] == (512,)
    assert shapes["length_regulator.model.12.weight"] == (80, 80, 1)
