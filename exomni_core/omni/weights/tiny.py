# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder in, a tiny random model in the exact published layout out: for tests and demos.

Its output is noise, but every file, tensor name and shape rule is the published model's. The format
fixes the generator's widths, so "tiny" is still about 160 MB.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from exomni_core.errors import InputError
from exomni_core.omni.config import OmniConfig, parse_config, to_json
from exomni_core.omni.nets.sampling import mixed_seed
from exomni_core.omni.speech.flow import Flow, FlowConfig
from exomni_core.omni.speech.flow_encoder import EncoderConfig
from exomni_core.omni.speech.flow_estimator import EstimatorConfig
from exomni_core.omni.speech.speech_tokenizer import SpeechTokenizer, TokenizerConfig
from exomni_core.omni.speech.vocoder import Vocoder, VocoderConfig
from exomni_core.omni.weights.checkpoint import build
from exomni_core.omni.weights.parts import CHECKPOINT, DECODER, PARTS, TOKENIZER
from exomni_core.omni.weights.store import TINY_KEY
from exomni_core.storage.files import replacing, write_text

UNITS: Final = 64
_WORDS: Final = (
    "hello", "good", "morning", "the", "sun", "is", "warm", "and", "we", "are", "here", "to",
    "talk", "with", "you", "about", "a", "small", "blue", "river", "that", "never", "ends", "maybe",
    "people", "move", "from", "place", "home", "my", "best", "friend", "will", "come", "back",
    "before", "noon", "please", "open", "window",
)  # fmt: skip
_CONTROL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def make_tiny(folder: Path, seed: int = 0) -> dict[str, Any]:
    """Write the three model folders into `folder`; returns what was made, for `--json`.

    Raises InputError if `folder` holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; name a new folder", field="folder")
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _write_text_tokenizer(folder / CHECKPOINT)
    config = _config(len(vocabulary), vocabulary)
    _write_checkpoint(folder / CHECKPOINT, config, vocabulary, seed)
    _write_decoder(folder / DECODER, seed)
    _write_speech_tokenizer(folder / TOKENIZER, seed)
    sizes = {p.name: sum(f.stat().st_size for f in p.rglob("*")) for p in folder.iterdir()}
    return {"folder": str(folder), "seed": seed, "bytes": sizes}


def _config(words: int, vocabulary: Mapping[str, int]) -> OmniConfig:
    """Sizes of the tiny checkpoint."""
    data: dict[str, Any] = {
        "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "vocab_size": words,
        "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 4096,
        "tie_word_embeddings": False, "attention_bias": False, "hidden_act": "silu",
        "eos_token_id": vocabulary["<|im_end|>"], "pad_token_id": vocabulary["<|endoftext|>"],
        "speech_encoder_type": "whisper", "speech_encoder_ds_rate": 5,
        "speech_projector_type": "linear", "speech_generator_type": "ar",
        "pretrain_speech_encoder_weights": "ckpt/whisper",
        "pretrain_speech_generator_weights": "ckpt/qwen_gen",
        "ctc_decoder_config": "(2,896,32,11008)", "ctc_upsample_factor": 12,
        "unit_vocab_size": UNITS, "bs_decoder_dimension": 64, "speech_vocab_size": UNITS + 8,
        "speech_embed_dim": 32, "nhead": 4, "num_bs_decoder_layers": 2, "out_dim": 52,
        "dropout_rate": 0.1, "period": 25, "torch_dtype": "bfloat16", TINY_KEY: True,
    }  # fmt: skip
    unit_lm = {
        "hidden_size": 1024, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 32, "intermediate_size": 64, "vocab_size": words,
        "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 40960,
        "tie_word_embeddings": True, "attention_bias": False, "hidden_act": "silu",
    }  # fmt: skip
    whisper = {
        "num_mel_bins": 128, "d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2,
        "encoder_ffn_dim": 64, "max_source_positions": 1500, "activation_function": "gelu",
        "scale_embedding": False,
    }  # fmt: skip
    return parse_config(data, whisper=whisper, unit_lm=unit_lm)


def _write_checkpoint(
    folder: Path, config: OmniConfig, vocabulary: Mapping[str, int], seed: int
) -> None:
    tensors: dict[str, Tensor] = {}
    for name, spec in PARTS.items():
        prefix = f"model.{spec.prefix}" if spec.prefix else ""
        for ours, value in random_tensors(build(spec.make, config), f"{seed}|{name}").items():
            tensors[prefix + spec.rename(ours)] = value.to(torch.bfloat16)
    _tame(tensors, config, vocabulary)
    names = sorted(tensors)
    total = sum(t.nbytes for t in tensors.values())
    shards: list[dict[str, Tensor]] = [{}, {}]
    for name in names:
        full = sum(t.nbytes for t in shards[0].values()) > total // 2
        shards[full][name] = tensors[name]
    files = [f"model-{n}-of-00002.safetensors" for n in ("00001", "00002")]
    for file, shard in zip(files, shards, strict=True):
        with replacing(folder / file) as unfinished:
            save_file(shard, unfinished, metadata={"format": "pt"})
            unfinished.chmod(0o644)  # like the others; safetensors makes its files private
    index = {n: f for f, shard in zip(files, shards, strict=True) for n in shard}
    _write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": index},
    )
    _write_json(folder / "config.json", to_json(config))
    _write_json(
        folder / "generation_config.json",
        {"eos_token_id": vocabulary["<|im_end|>"], "top_k": 20, "max_new_tokens": 24},
    )
    _write_json(folder / "whisper" / "config.json", {"model_type": "whisper", **config.whisper})
    _write_json(
        folder / "whisper" / "preprocessor_config.json",
        {
            "feature_size": 128,
            "sampling_rate": 16000,
            "hop_length": 160,
            "chunk_length": 30,
            "n_fft": 400,
            "feature_extractor_type": "WhisperFeatureExtractor",
        },
    )
    _write_json(folder / "qwen_gen" / "config.json", {"model_type": "qwen3", **config.unit_lm})


def random_tensors(module: nn.Module, seed: str) -> dict[str, Tensor]:
    """Random values for the parameters of a module from `build`, small enough to stay stable."""
    found = {}
    for name, empty in module.named_parameters():
        generator = torch.Generator().manual_seed(mixed_seed(0, f"{seed}|{name}"))
        values = torch.randn(empty.shape, generator=generator)
        if empty.dim() == 1:
            centre = 1.0 if name.endswith(("weight", "alpha")) else 0.0
            found[name] = values * 0.05 + centre
        elif name.endswith("weight_g"):
            found[name] = values.abs() * 0.05 + 0.6
        else:
            found[name] = values / math.sqrt(empty[0].numel())
    return found


def _tame(tensors: dict[str, Tensor], config: OmniConfig, vocabulary: Mapping[str, int]) -> None:
    """Adjust the random tensors: words as output, replies that end, and limited face motion."""
    head = tensors["lm_head.weight"]
    head.mul_(0.02)  # bytes and control tokens hardly ever come
    generator = torch.Generator().manual_seed(0)
    spoken = [vocabulary[f"Ġ{word}"] for word in _WORDS] + [vocabulary["."], vocabulary[","]]
    head[spoken] = (torch.randn(len(spoken), head.shape[1], generator=generator) * 0.1).to(head)
    tensors["model.speech_generator.llm_decoder.bias"][config.units] = 2.0
    out = "model.blendshape_generator.out_head.4"
    tensors[f"{out}.weight"].mul_(0.3)
    tensors[f"{out}.bias"].add_(0.15)


def _write_decoder(folder: Path, seed: int) -> None:
    flow = FlowConfig(
        vocab=UNITS + 8,
        encoder=EncoderConfig(inputs=32, width=32, heads=2, feed_forward=64, layers=1),
        estimator=EstimatorConfig(
            channels=(32, 32),
            blocks=1,
            middle=1,
            heads=2,
            head_width=16,
            feed_forward=64,
            time_inner=64,
        ),
    )
    vocoder = VocoderConfig(channels=32, pitch_width=16)
    with torch.device("meta"):
        parts = {"flow": Flow(flow), "hift": Vocoder(vocoder)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        with replacing(folder / f"{name}.pt") as unfinished:
            torch.save(random_tensors(part, f"{seed}|{name}"), unfinished)
    write_text(folder / "config.yaml", "# sizes are read from the tensors\n")


def _write_speech_tokenizer(folder: Path, seed: int) -> None:
    data = {
        "d_model": 32, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "encoder_layers": 2,
        "num_mel_bins": 128, "max_source_positions": 1500, "pooling_kernel_size": 4,
        "pooling_position": 1, "pooling_type": "avg", "quantize_position": 1,
        "quantize_vocab_size": UNITS, "quantize_causal_block_size": 200,
        "quantize_encoder_only": True, "encoder_causal_convolution": True,
        "encoder_causal_attention": False, "quantize_causal_encoder": False,
        "activation_function": "gelu", "scale_embedding": False,
    }  # fmt: skip
    with torch.device("meta"):
        tokenizer = SpeechTokenizer(TokenizerConfig.from_dict(data))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "model.safetensors") as unfinished:
        save_file(random_tensors(tokenizer, f"{seed}|tokenizer"), unfinished)
        unfinished.chmod(0o644)
    _write_json(folder / "config.json", data)


def _write_text_tokenizer(folder: Path) -> dict[str, int]:
    """A byte-level tokenizer of Qwen's kind with some whole words; returns its vocabulary."""
    from tokenizers.pre_tokenizers import ByteLevel

    vocabulary = {character: i for i, character in enumerate(sorted(ByteLevel.alphabet()))}
    merges = []
    for word in _WORDS:
        left = "Ġ"
        for letter in word:
            if left + letter not in vocabulary:
                vocabulary[left + letter] = len(vocabulary)
                merges.append(f"{left} {letter}")
            left += letter
    control = {token: len(vocabulary) + i for i, token in enumerate(_CONTROL)}
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "vocab.json", vocabulary)
    write_text(folder / "merges.txt", "#version: 0.2\n" + "\n".join(merges) + "\n")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "added_tokens_decoder": {
                str(i): {
                    "content": token,
                    "special": True,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "single_word": False,
                }
                for token, i in control.items()
            },
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": 32768,
        },
    )
    return vocabulary | control


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")
