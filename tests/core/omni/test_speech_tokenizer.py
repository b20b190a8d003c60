# SPDX-License-Identifier: GPL-3.0-or-later
"""The speech tokenizer: golden units, segments and batches, and checkpoints of all layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from safetensors.torch import save_file

from exomni_core.errors import InputError
from exomni_core.omni.speech.speech_tokenizer import SpeechTokenizer, TokenizerConfig

CONFIG = {
    "d_model": 32,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "encoder_layers": 4,
    "num_mel_bins": 128,
    "max_source_positions": 1500,
    "pooling_kernel_size": 4,
    "pooling_position": 2,
    "pooling_type": "avg",
    "quantize_position": 2,
    "quantize_vocab_size": 64,
    "quantize_causal_block_size": 40,
    "vocab_size": 51866,
}


def noise(count, seed=0):
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.uniform(0.01, 0.3, count // 400 + 1), 400)[:count]
    return (loudness * rng.standard_normal(count)).astype(np.float32)


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(5)
    model = SpeechTokenizer(TokenizerConfig.from_dict(CONFIG))
    return {
        name: torch.randn(tensor.shape)
        * (2.0 if "emb" in name or "codebook" in name else tensor[0].numel() ** -0.5 / 2)
        for name, tensor in model.state_dict().items()
    }


@pytest.fixture
def folder(tmp_path, weights):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    save_file(weights, tmp_path / "model.safetensors")
    return tmp_path


@pytest.fixture(scope="module")
def model(weights):
    config = TokenizerConfig.from_dict(CONFIG)
    return SpeechTokenizer.from_tensors(config, [("file", n, t) for n, t in weights.items()])


@pytest.fixture
def misses(repo, monkeypatch):
    """A function that checks the golden arrays in a folder and returns those that are missed."""
    monkeypatch.syspath_prepend(repo)
    from tests.golden.glm4voice_tokenizer import check

    def misses(folder: Path, part: str) -> list:
        results = [r for r in check(folder) if part in r.name]
        assert len(results) > 5
        return [r for r in results if not r.ok]

    return misses


def test_the_reduced_golden_set(shared, tmp_path, misses):
    for file in (shared / "golden" / "glm4voice").iterdir():
        if file.name == "README.md" or file.name.startswith("tokenizer_reduced"):
            (tmp_path / file.name).symlink_to(file)
    assert misses(tmp_path, "reduced") == []


@pytest.mark.slow
def test_the_published_golden_set(shared, misses):
    assert misses(shared / "golden" / "glm4voice", "published") == []


def test_names_are_those_of_the_checkpoint(weights):
    assert {name for name in weights if not name.startswith("layers.1")} == {
        *(f"conv{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")),
        *(f"{name}.weight" for name in ("embed_positions", "embed_positions2", "codebook")),
        *(
            f"layers.0.{part}.{kind}"
            for part in (
                "self_attn.q_proj",
                "self_attn.v_proj",
                "self_attn.out_proj",
                "self_attn_layer_norm",
                "final_layer_norm",
                "fc1",
                "fc2",
            )
            for kind in ("weight", "bias")
        ),
        "layers.0.self_attn.k_proj.weight",
    }


@pytest.mark.parametrize("count", [1, 1280, 1281, 480_000, 480_001, 500_000])
def test_a_unit_stands_for_1280_samples_of_a_segment(model, count):
    full, rest = divmod(count, 480_000)
    assert len(model.encode([noise(count)])[0]) == 375 * full + -(-rest // 1280)


def test_nothing_gives_nothing(model):
    assert model.encode([]) == []
    assert model.encode([noise(0), noise(2_000)])[0] == []


def test_units_vary(model):
    assert len(set(model.encode([noise(160_000)])[0])) >= 10


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_small_batches_give_the_units_of_one_padded_batch(model, at_once):
    rows = [noise(n, seed=n) for n in (3_000, 490_123, 20_480, 20_481, 1_281, 19_999)]
    segments = [rows[0], rows[1][:480_000], rows[1][480_000:], *rows[2:]]
    features = model._mel.padded_features(segments, 480_000)
    pooled = model.pooled(features, [-(-len(s) // 320) for s in segments])
    naive = [
        ids[: -(-len(s) // 1280)].tolist()
        for ids, s in zip(model.quantise(pooled), segments, strict=True)
    ]
    wanted = [naive[0], naive[1] + naive[2], *naive[3:]]
    assert model.encode(rows, segments_per_batch=at_once) == wanted


def test_later_blocks_do_not_change_earlier_units(model):
    sound = noise(64_000)
    block = 40 * 320  # samples
    changed = sound.copy()
    changed[3 * block :] = noise(len(sound) - 3 * block, seed=9)
    before, after = model.encode([sound, changed])
    # The features look 200 samples ahead, so the frame at the border may differ.
    assert before[: 2 * 10] == after[: 2 * 10]
    assert before[30:] != after[30:]


def test_attention_is_that_of_the_additive_mask(model):
    """The formula as the specification writes it, against blocks of queries."""
    attention = model.layers[0].self_attn
    x = torch.randn(2, 100, 32)
    padding = torch.tensor([[0.0] * 100, [0.0] * 63 + [torch.finfo(torch.float32).min] * 37])
    q, k, v = (
        p(x).view(2, 100, 2, 16).transpose(1, 2)
        for p in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    block = torch.arange(100) // 40
    mask = torch.where(block[None] <= block[:, None], 0.0, torch.finfo(torch.float32).min)
    bias = torch.maximum(mask + padding[:, None, None], torch.tensor(torch.finfo(x.dtype).min))
    scores = q @ k.transpose(2, 3) / 4 + bias
    wanted = attention.out_proj((scores.softmax(3) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, padding[:, None, None]), wanted)


def test_the_lowest_of_equal_codes_wins(model):
    codes = model.codebook.weight
    doubled = SpeechTokenizer(model.config)
    with torch.no_grad():
        doubled.codebook.weight.copy_(codes)
        doubled.codebook.weight[40] = codes[3]
    assert doubled.quantise(codes[None, [3, 40, 7]])[0, 0] == 3
    assert doubled.quantise(codes[None, [3]]).tolist() == [[3]]


def test_maximum_pooling_is_the_default_of_the_configuration():
    config = TokenizerConfig.from_dict({k: v for k, v in CONFIG.items() if k != "pooling_type"})
    assert config.pooling_type == "max"
    model = SpeechTokenizer(config)
    assert len(model.encode([noise(4_000)])[0]) == 4


def test_half_precision_gives_mostly_the_same_units(folder, model):
    small = SpeechTokenizer.load(folder, dtype=torch.bfloat16)
    assert small.layers[0].fc1.weight.dtype == torch.bfloat16
    assert small.codebook.weight.dtype == torch.float32
    sound = noise(100_000)
    same = np.array(small.encode([sound])[0]) == np.array(model.encode([sound])[0])
    assert same.mean() > 0.5


def test_sound_that_is_no_number_is_refused(model):
    with pytest.raises(InputError, match="not numbers") as caught:
        model.encode([np.full(500, np.nan, np.float32)])
    assert caught.value.field == "audio"


def prefixed(weights):
    return {f"model.encoder.{name}": tensor for name, tensor in weights.items()}


LEFTOVERS = {
    "ema_count": (64,),
    "ema_weight": (64, 32),
    "layer_norm.weight": (32,),
    "layers.2.fc1.weight": (48, 32),
    "layers.13.fc1.bias": (48,),
}


@pytest.mark.parametrize("layout", ["bare", "prefixed", "leftovers", "shards", "loose", "pytorch"])
def test_every_layout_loads(tmp_path, weights, model, layout):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    stored = dict(weights)
    if layout == "prefixed":
        stored = prefixed(stored) | {
            "model.decoder.embed_tokens.weight": torch.zeros(3, 3),
            "proj_out.weight": torch.zeros(2),
            **prefixed({name: torch.zeros(shape) for name, shape in LEFTOVERS.items()}),
        }
    elif layout == "leftovers":
        stored |= {name: torch.zeros(shape) for name, shape in LEFTOVERS.items()}
    names = sorted(stored)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    if layout in ("shards", "loose"):
        for file, held in parts.items():
            save_file({name: stored[name] for name in held}, tmp_path / file)
    elif layout == "pytorch":
        torch.save(stored, tmp_path / "pytorch_model.bin")
    else:
        save_file(stored, tmp_path / "model.safetensors")
    if layout == "shards":
        index = {"weight_map": {name: file for file, held in parts.items() for name in held}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    sound = noise(30_000)
    loaded = SpeechTokenizer.load(tmp_path)
    assert loaded.encode([sound]) == model.encode([sound])
    assert loaded.state_dict().keys() == weights.keys()


def rewrite(folder, weights):
    save_file({n: t.contiguous() for n, t in weights.items()}, folder / "model.safetensors")


def test_a_missing_tensor_is_named(folder, weights):
    rewrite(folder, {n: t for n, t in weights.items() if n != "layers.1.fc2.bias"})
    with pytest.raises(InputError, match=r"lacks the tensor layers\.1\.fc2\.bias of shape \[32\]"):
        SpeechTokenizer.load(folder)


def test_an_unexpected_tensor_is_named(folder, weights):
    rewrite(folder, weights | {"layers.0.self_attn.k_proj.bias": torch.zeros(32)})
    with pytest.raises(InputError, match=r"model\.safetensors.*k_proj\.bias of shape \[32\]"):
        SpeechTokenizer.load(folder)


def test_a_misshapen_tensor_is_named_with_both_shapes(folder, weights):
    rewrite(folder, weights | {"conv2.weight": torch.zeros(32, 32, 5)})
    with pytest.raises(InputError, match=r"conv2\.weight.*\[32, 32, 5\].*\[32, 32, 3\]"):
        SpeechTokenizer.load(folder)


def test_quantised_weights_are_refused(folder, weights):
    rewrite(folder, weights | {"conv2.bias": torch.zeros(32, dtype=torch.int8)})
    with pytest.raises(InputError, match=r"conv2\.bias as torch\.int8"):
        SpeechTokenizer.load(folder)


def test_a_truncated_file_is_named(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        SpeechTokenizer.load(folder)


def test_a_pickle_with_code_inside_is_refused(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"conv1.weight": Path("x")}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="more than weights"):
        SpeechTokenizer.load(folder)


def test_a_missing_shard_is_named(folder):
    index = {"weight_map": {"conv1.weight": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"model-2\.safetensors.*is missing"):
        SpeechTokenizer.load(folder)


def test_a_folder_without_weights_or_configuration_is_named(tmp_path):
    with pytest.raises(InputError, match=r"config\.json can't be read"):
        SpeechTokenizer.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(InputError, match="holds no weights"):
        SpeechTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"d_model": None}, "lacks d_model"),
        ({"d_model": 33}, "33 can't be shared by 2 heads"),
        ({"quantize_vocab_size": "64"}, "quantize_vocab_size '64'"),
        ({"encoder_causal_convolution": False}, "only True is supported"),
        ({"pooling_position": 1}, "only 2 is supported"),
        ({"pooling_type": "median"}, "not avg or max"),
        ({"max_source_positions": 1000}, "1000 positions"),
        ({"num_mel_bins": 80}, r"conv1\.weight.*\[32, 128, 3\].*\[32, 80, 3\]"),
    ],
)
def test_a_bad_configuration_is_refused(folder, change, says):
    (folder / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(InputError, match=says):
        SpeechTokenizer.load(folder)


def test_a_preprocessor_of_another_model_is_refused(folder):
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 80}))
    with pytest.raises(InputError, match="makes 80 mel bins"):
        SpeechTokenizer.load(folder)
