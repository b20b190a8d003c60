# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint's config.json in, the sizes of every part out; and back again.

Field names and defaults are the published ones. The language model and the unit
language model are Qwen3, the speech encoder is Whisper: their sizes stay plain dictionaries that
`transformers` reads, so that a later Qwen3 field needs no change here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from exomni_core.errors import InputError

# Whose behaviour: the release's to the letter, or the same with its mistakes mended.
Compat = Literal["fixed", "reference"]

MODEL_TYPE: Final = "llava_her_qwen3"
ARCHITECTURE: Final = "LlavaHerQwen3ForCausalLM"
SPEECH_MARKER_ID: Final = -300  # stands for a block of speech features among the token ids
IGNORE_ID: Final = -100
UNIT_RATE_HZ: Final = 12.5
FACE_FPS: Final = 30.0

# Built-in sizes for the two side folders, which the published checkpoint may not contain (2.5).
WHISPER_LARGE_V3: Final[dict[str, Any]] = {
    "num_mel_bins": 128, "d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120, "max_source_positions": 1500, "activation_function": "gelu",
    "scale_embedding": False,
}  # fmt: skip
QWEN3_06B: Final[dict[str, Any]] = {
    "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151936,
    "rope_theta": 1_000_000.0, "rms_norm_eps": 1e-6, "max_position_embeddings": 40960,
    "tie_word_embeddings": True, "attention_bias": False, "hidden_act": "silu",
}  # fmt: skip

_REQUIRED: Final = (
    "unit_vocab_size", "speech_encoder_ds_rate", "bs_decoder_dimension", "speech_vocab_size",
    "speech_embed_dim", "nhead", "num_bs_decoder_layers", "out_dim",
)  # fmt: skip


# The most that any model of these kinds may plausibly have; beyond it a file is damaged or hostile.
_WIDEST: Final = 1 << 16
_DEEPEST: Final = 1 << 10
_LONGEST: Final = 1 << 24
_MOST: Final[dict[str, int]] = {
    "hidden_size": _WIDEST, "num_hidden_layers": _DEEPEST, "num_attention_heads": _WIDEST,
    "num_key_value_heads": _WIDEST, "head_dim": _WIDEST, "intermediate_size": _LONGEST,
    "vocab_size": _LONGEST, "max_position_embeddings": 1 << 30,
    "num_mel_bins": _WIDEST, "d_model": _WIDEST, "encoder_layers": _DEEPEST,
    "encoder_attention_heads": _WIDEST, "encoder_ffn_dim": _LONGEST,
    "max_source_positions": _LONGEST,
    "unit_vocab_size": _LONGEST, "speech_encoder_ds_rate": _DEEPEST,
    "bs_decoder_dimension": _WIDEST, "speech_vocab_size": _LONGEST, "speech_embed_dim": _WIDEST,
    "nhead": _WIDEST, "num_bs_decoder_layers": _DEEPEST, "out_dim": _WIDEST,
}  # fmt: skip
_OR_DEFAULT: Final[dict[str, int]] = {  # 0 and null mean the default
    "bs_tqgf_depth": _DEEPEST, "bs_tqgf_heads": _WIDEST, "bs_tqgf_dim_head": _WIDEST,
    "period": _LONGEST,
}  # fmt: skip


@dataclass(frozen=True)
class FaceConfig:
    """Sizes of the face decoder. width: D. unit_vocab: rows of its unit table. outputs: 51 or 52.

    period: of the periodic rotary positions; the release falls back to 30 (the paper says 25).
    """

    width: int
    unit_vocab: int
    unit_width: int
    heads: int
    layers: int
    outputs: int
    fusion_depth: int = 2
    fusion_heads: int = 8
    fusion_head_width: int = 64
    period: int = 30
    memory_width: int = 1024


@dataclass(frozen=True)
class OmniConfig:
    """All sizes of a checkpoint.

    llm, unit_lm: Qwen3 fields. whisper: Whisper encoder fields. stack: encoder frames that the
    projector joins. units: U_v, the number of speech units; the end has the id U_v.
    max_prompt: spliced prompts longer than this are cut (None: never). extra: everything else that
    config.json held, kept for `to_json`.
    """

    llm: Mapping[str, Any]
    unit_lm: Mapping[str, Any]
    whisper: Mapping[str, Any]
    stack: int
    units: int
    face: FaceConfig
    padding_side: str = "right"
    max_prompt: int | None = None
    dtype: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """H, the width of the language model."""
        return int(self.llm["hidden_size"])


def parse_config(
    data: Mapping[str, Any],
    *,
    whisper: Mapping[str, Any] | None = None,
    unit_lm: Mapping[str, Any] | None = None,
    where: str = "config.json",
) -> OmniConfig:
    """The contents of config.json (and of the two side folders', if there) -> sizes.

    Raises InputError that names the field for anything missing or of a kind that we don't know.
    """
    missing = [name for name in (*_REQUIRED, "hidden_size", "vocab_size") if data.get(name) is None]
    if missing:
        raise InputError(
            f"{where} lacks {', '.join(missing)}; it is not the config of an Ex-Omni checkpoint",
            field=missing[0],
        )
    for name, known in (
        ("speech_projector_type", ("linear",)),
        ("speech_generator_type", ("ar", "ctc")),
        ("speech_encoder_type", ("whisper",)),
    ):
        if data.get(name, known[0]) not in known:
            raise InputError(
                f"{where}: {name} is {data[name]!r}, but only {' or '.join(known)} is known",
                field=name,
            )
    _check_sizes(data, where)
    unit_lm = dict(unit_lm or QWEN3_06B)
    whisper = dict(whisper or WHISPER_LARGE_V3)
    _check_sizes(unit_lm, "the unit language model's config.json")
    _check_sizes(whisper, "the speech encoder's config.json")
    if unit_lm.get("hidden_size") != 1024:
        raise InputError(
            f"the unit language model is {unit_lm.get('hidden_size')} wide; Ex-Omni's is always "
            "1024",
            field="hidden_size",
        )
    extra = {name: value for name, value in data.items() if name not in _LLM_FIELDS}
    return OmniConfig(
        llm={name: data[name] for name in _LLM_FIELDS if name in data},
        unit_lm=unit_lm,
        whisper=whisper,
        stack=int(data["speech_encoder_ds_rate"]),
        units=int(data["unit_vocab_size"]),
        face=_face_config(data),
        padding_side=data.get("tokenizer_padding_side") or "right",
        max_prompt=data.get("tokenizer_model_max_length"),
        dtype=data.get("torch_dtype") or data.get("dtype") or data.get("model_torch_dtype"),
        extra=extra,
    )


def _check_sizes(data: Mapping[str, Any], where: str) -> None:
    """InputError for a size that is no whole number from 1 to what such a model may have."""
    for name, most in (_MOST | _OR_DEFAULT).items():
        value = data.get(name)
        if value is None or (name in _OR_DEFAULT and value == 0):
            continue
        if type(value) is not int or not 1 <= value <= most:
            shown = f"{value!r:.30}" if isinstance(value, (int, float, str)) else "no number"
            raise InputError(
                f"{where}: {name} is {shown}; it must be a whole number from 1 to {most}; get the "
                "file again",
                field=name,
            )


def to_json(config: OmniConfig) -> dict[str, Any]:
    """The config.json that `parse_config` reads back to the same sizes."""
    face = config.face
    return {
        **config.extra,
        **config.llm,
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "speech_encoder_type": "whisper",
        "speech_projector_type": "linear",
        "speech_generator_type": config.extra.get("speech_generator_type", "ar"),
        "speech_encoder_hidden_size": config.whisper["d_model"],
        "speech_encoder_ds_rate": config.stack,
        "unit_vocab_size": config.units,
        "speech_gen_hidden_size": face.memory_width,
        "bs_decoder_dimension": face.width,
        "speech_vocab_size": face.unit_vocab,
        "speech_embed_dim": face.unit_width,
        "nhead": face.heads,
        "num_bs_decoder_layers": face.layers,
        "out_dim": face.outputs,
        "bs_tqgf_depth": face.fusion_depth,
        "bs_tqgf_heads": face.fusion_heads,
        "bs_tqgf_dim_head": face.fusion_head_width,
        "period": face.period,
        "tokenizer_padding_side": config.padding_side,
        "tokenizer_model_max_length": config.max_prompt,
    }


def _face_config(data: Mapping[str, Any]) -> FaceConfig:
    face = FaceConfig(
        width=int(data["bs_decoder_dimension"]),
        unit_vocab=int(data["speech_vocab_size"]),
        unit_width=int(data["speech_embed_dim"]),
        heads=int(data["nhead"]),
        layers=int(data["num_bs_decoder_layers"]),
        outputs=int(data["out_dim"]),
        # null and 0 mean the default here, as in the release
        fusion_depth=int(data.get("bs_tqgf_depth") or 2),
        fusion_heads=int(data.get("bs_tqgf_heads") or 8),
        fusion_head_width=int(data.get("bs_tqgf_dim_head") or 64),
        period=int(data.get("period") or 30),
    )
    if face.width % 2 or face.width % face.heads:
        raise InputError(
            f"bs_decoder_dimension is {face.width}; it must be even and a multiple of nhead "
            f"({face.heads})",
            field="bs_decoder_dimension",
        )
    if face.outputs not in (51, 52):
        raise InputError(f"out_dim is {face.outputs}; it must be 51 or 52", field="out_dim")
    return face


_LLM_FIELDS: Final = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "vocab_size", "rms_norm_eps", "rope_theta", "rope_parameters",
    "rope_scaling", "max_position_embeddings", "tie_word_embeddings", "attention_bias",
    "attention_dropout", "hidden_act", "sliding_window", "use_sliding_window",
    "max_window_layers", "layer_types", "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip
