# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in -> speech units out, 12.5 a second: the Whisper-VQ encoder of GLM-4-Voice.

The way: 30 s segments, log-mel, two causal convolutions, block-causal transformer layers, pooling
by four, the nearest code. These are the units that the speech decoder speaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from exomni_core.omni.nets.audio_features import MelExtractor, checked
from exomni_core.omni.tensor_files import read_json, tensors_in, weight_files

# The reference pads up to so many segments to the longest of them; the units depend on it.
_PADDED_TOGETHER: Final = 128
_PREFIX: Final = "model.encoder."
_IGNORED: Final = re.compile(r"ema_|model\.decoder\.|proj_out|layer_norm\.")
_MEND: Final = "get it again with: exorender models pull glm-4-voice-tokenizer"

Device = torch.device | str


@dataclass(frozen=True)
class TokenizerConfig:
    """The fields of `config.json` that matter; names are the file's own.

    pooling_kernel_size: 50 Hz frames per unit. quantize_position: transformer layers that are run.
    quantize_causal_block_size: frames per attention block.
    """

    d_model: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    num_mel_bins: int
    max_source_positions: int
    pooling_kernel_size: int
    pooling_position: int
    quantize_position: int
    quantize_vocab_size: int
    quantize_causal_block_size: int
    encoder_causal_convolution: bool = True
    encoder_causal_attention: bool = False
    activation_function: str = "gelu"
    pooling_type: Literal["avg", "max"] = "max"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "config.json") -> Self:
        """Take what matters from `data`, ignore the rest; InputError if it can't be used."""
        values = {}
        for field in fields(cls):
            value = data.get(field.name, field.default)
            if value is MISSING or value is None:
                raise InputError(f"{source} lacks {field.name}; {_MEND}")
            whole = field.default is MISSING
            if whole and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InputError(f"{source} has {field.name} {value!r}, no whole number; {_MEND}")
            values[field.name] = value
        config = cls(**values)
        config._check(source)
        return config

    def _check(self, source: str) -> None:
        needed = {
            "encoder_causal_convolution": True,
            "encoder_causal_attention": False,
            "activation_function": "gelu",
            "pooling_position": self.quantize_position,
        }
        for name, value in needed.items():
            if getattr(self, name) != value:
                raise InputError(
                    f"{source} has {name} {getattr(self, name)!r}; only {value!r} is supported"
                )
        if self.pooling_type not in ("avg", "max"):
            raise InputError(f"{source} has pooling_type {self.pooling_type!r}, not avg or max")
        if self.d_model % self.encoder_attention_heads:
            raise InputError(
                f"{source}: d_model {self.d_model} can't be shared by "
                f"{self.encoder_attention_heads} heads; {_MEND}"
            )


class _SelfAttention(nn.Module):
    """Each block of frames attends to itself and to all earlier blocks."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        width = config.d_model
        self._heads = config.encoder_attention_heads
        self._block = config.quantize_causal_block_size
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """(B, T, d) -> (B, T, d). bias: (B, 1, 1, T), added to the scores of each key."""
        q, k, v = (
            project(x).unflatten(2, (self._heads, -1)).transpose(1, 2)  # (B, heads, T, d / heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        # Block by block: no (T, T) mask to build and read, and half the work for long sound.
        blocks = []
        for start in range(0, x.shape[1], self._block):
            stop = min(start + self._block, x.shape[1])
            blocks.append(
                functional.scaled_dot_product_attention(
                    q[:, :, start:stop],
                    k[:, :, :stop],
                    v[:, :, :stop],
                    attn_mask=None if bias is None else bias[..., :stop],
                )
            )
        heard = torch.cat(blocks, dim=2)  # (B, heads, T, d / heads)
        out: Tensor = self.out_proj(heard.transpose(1, 2).flatten(2))  # (B, T, d)
        return out


class _Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.d_model)
        self.fc1 = nn.Linear(config.d_model, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, config.d_model)
        self.final_layer_norm = nn.LayerNorm(config.d_model)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """(B, T, d) -> (B, T, d)."""
        x = x + self.self_attn(self.self_attn_layer_norm(x), bias)
        out: Tensor = x + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(x))))
        return out


class SpeechTokenizer(nn.Module):
    """The encoder and its code book; state-dict names as in the checkpoint.

    Make one with `load` (a folder) or `from_tensors` (tensors by name). preprocessor: a
    `preprocessor_config.json`, by default Whisper large v3's with the config's mel bins.
    """

    def __init__(
        self, config: TokenizerConfig, preprocessor: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        width = config.d_model
        self.config = config
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, 3)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2)
        self.embed_positions = nn.Embedding(config.max_source_positions, width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.quantize_position))
        self.codebook = nn.Embedding(config.quantize_vocab_size, width)
        self.embed_positions2 = nn.Embedding(
            config.max_source_positions // config.pooling_kernel_size, width
        )
        self._mel = MelExtractor({"feature_size": config.num_mel_bins, **(preprocessor or {})})
        self._frame = 2 * self._mel.hop  # samples per frame: the second convolution's stride
        self.unit_samples = self._frame * config.pooling_kernel_size
        self._check_mel()

    def _check_mel(self) -> None:
        if self._mel.n_mels != self.config.num_mel_bins:
            raise InputError(
                f"preprocessor_config.json makes {self._mel.n_mels} mel bins, but config.json "
                f"expects {self.config.num_mel_bins}; {_MEND}"
            )
        if self._mel.chunk > self._frame * self.config.max_source_positions:
            raise InputError(
                f"segments of {self._mel.chunk} samples don't fit into the "
                f"{self.config.max_source_positions} positions of config.json; {_MEND}"
            )

    @classmethod
    def load(
        cls, folder: Path | str, device: Device = "cpu", dtype: torch.dtype = torch.float32
    ) -> Self:
        """Read config.json and the weights in `folder` (safetensors, else pytorch .bin).

        Weights go straight from the mapped files to `device` and `dtype`; the code book stays
        float32. Raises InputError naming the file, and the tensor that is missing, unexpected or
        of another shape.
        """
        folder = Path(folder)
        config = TokenizerConfig.from_dict(read_json(folder / "config.json"))
        extra = folder / "preprocessor_config.json"
        preprocessor = read_json(extra) if extra.is_file() else None
        tensors = (
            (str(file), name, tensor)
            for file in weight_files(folder)
            for name, tensor in tensors_in(file, device)
        )
        return cls.from_tensors(config, tensors, dtype, preprocessor, str(folder))

    @classmethod
    def from_tensors(
        cls,
        config: TokenizerConfig,
        tensors: Iterable[tuple[str, str, Tensor]],
        dtype: torch.dtype = torch.float32,
        preprocessor: Mapping[str, Any] | None = None,
        source: str = "the checkpoint",
    ) -> Self:
        """Build it around (file, name, tensor) triples; see `load`."""
        with torch.device("meta"):
            model = cls(config, preprocessor)
        wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
        state = {}
        for file, key, tensor in tensors:
            name = key.removeprefix(_PREFIX)
            if not _is_ignored(name, config.quantize_position):
                _check_tensor(file, key, tensor, wanted.get(name))
                state[name] = tensor.to(torch.float32 if name == "codebook.weight" else dtype)
        for name in (name for name in wanted if name not in state):
            raise InputError(
                f"{source} lacks the tensor {name} of shape {list(wanted[name])}; {_MEND}"
            )
        model.load_state_dict(state, assign=True)
        return model.requires_grad_(False).eval()

    @torch.inference_mode()
    def encode(
        self, recordings: Sequence[FloatArray], segments_per_batch: int = 8
    ) -> list[list[int]]:
        """(S_i,) float32 recordings at 16 kHz -> their units, ceil(S / 1280) per 30 s segment.

        segments_per_batch: segments computed at once; less takes less memory (about 80 MB each at
        the published size), the units stay the same. As in the reference, the last unit of a
        recording may depend a little on whether a longer one stands beside it. Raises
        InputError(field="audio") for samples that are not finite.
        """
        size = self._mel.chunk
        segments = [
            (number, samples[start : start + size])
            for number, samples in enumerate(map(checked, recordings))
            for start in range(0, len(samples), size)
        ]
        units: list[list[int]] = [[] for _ in recordings]
        for first in range(0, len(segments), _PADDED_TOGETHER):
            group = segments[first : first + _PADDED_TOGETHER]
            encoded = self._encode_group([samples for _, samples in group], segments_per_batch)
            for (number, _), found in zip(group, encoded, strict=True):
                units[number] += found
        return units

    def _encode_group(self, rows: list[FloatArray], at_once: int) -> list[list[int]]:
        """The units of each row, as if all were padded to the longest.

        Padding beyond one unit's worth changes nothing that is kept: rows of like length go
        together, and only so far.
        """
        lengths = [-(-len(row) // self.unit_samples) * self.unit_samples for row in rows]
        order = sorted(range(len(rows)), key=lambda i: -lengths[i])
        units: list[list[int]] = [[] for _ in rows]
        for first in range(0, len(order), at_once):
            batch = order[first : first + at_once]
            length = min(lengths[order[0]], lengths[batch[0]] + self.unit_samples)
            device = self.conv1.weight.device
            features = self._mel.padded_features([rows[i] for i in batch], length, device)
            frames = [-(-len(rows[i]) // self._frame) for i in batch]
            ids = self.quantise(self.pooled(features, frames)).tolist()
            for i, found in zip(batch, ids, strict=True):
                units[i] = found[: -(-len(rows[i]) // self.unit_samples)]
        return units

    def pooled(self, features: Tensor, frames: Sequence[int]) -> Tensor:
        """(B, n_mels, F) features -> (B, F / 8, d) vectors that enter the quantiser.

        frames: of the F / 2 frames of each row, how many are sound; the rest is padding, which no
        frame attends to.
        """
        x = features.to(self.conv1.weight.dtype)
        x = functional.gelu(self.conv1(functional.pad(x, (2, 0))))  # (B, d, F)
        x = functional.gelu(self.conv2(functional.pad(x, (2, 0))))  # (B, d, T), T = F / 2
        x = x.transpose(1, 2) + self.embed_positions.weight[: x.shape[2]]  # (B, T, d)
        bias = _padding_bias(frames, x)
        for layer in self.layers:
            x = layer(x, bias)
        kernel = self.config.pooling_kernel_size
        x = functional.pad(x, (0, 0, 0, -x.shape[1] % kernel))
        groups = x.reshape(len(x), -1, kernel, x.shape[2])  # (B, T / 4, 4, d)
        return groups.mean(2) if self.config.pooling_type == "avg" else groups.amax(2)

    def quantise(self, pooled: Tensor) -> Tensor:
        """(B, N, d) vectors -> (B, N) ids of the nearest codes; the lowest of equally near ones."""
        x = pooled.float().flatten(0, 1)
        codes = self.codebook.weight
        squares = x.square().sum(1, keepdim=True) + codes.square().sum(1)  # (B * N, codes)
        distances = torch.addmm(squares, x, codes.t(), alpha=-2)
        return distances.argmin(1).view(pooled.shape[:2])

    def hidden(self, ids: Tensor) -> Tensor:
        """(B, N) ids -> (B, N, d): the encoder's hidden output, codes plus positions."""
        return self.codebook.weight[ids] + self.embed_positions2.weight[: ids.shape[1]]


def _padding_bias(frames: Sequence[int], x: Tensor) -> Tensor | None:
    """(B, 1, 1, T): most negative where a row of `x` (B, T, d) is padding; None without any."""
    if min(frames) >= x.shape[1]:
        return None
    counts = torch.tensor(frames, device=x.device)
    is_padding = torch.arange(x.shape[1], device=x.device) >= counts[:, None]  # (B, T)
    # Finite, so that a row without any sound stays finite too.
    bias = torch.zeros(is_padding.shape, dtype=x.dtype, device=x.device)
    return bias.masked_fill(is_padding, torch.finfo(x.dtype).min)[:, None, None]


def _is_ignored(name: str, layers: int) -> bool:
    """Tensors of training, and of layers after the quantiser."""
    layer = re.match(r"layers\.(\d+)\.", name)
    return bool(_IGNORED.match(name)) or (layer is not None and int(layer[1]) >= layers)


def _check_tensor(file: str, key: str, tensor: Tensor, shape: torch.Size | None) -> None:
    if shape is None:
        raise InputError(
            f"{file} holds the tensor {key} of shape {list(tensor.shape)}, which a speech "
            "tokenizer of this config.json doesn't have; check that both come from one checkpoint"
        )
    if tensor.shape != shape or not tensor.is_floating_point():
        raise InputError(
            f"{file} holds {key} as {tensor.dtype} of shape {list(tensor.shape)}, but config.json "
            f"asks for floats of shape {list(shape)}; check that both come from one checkpoint"
        )
