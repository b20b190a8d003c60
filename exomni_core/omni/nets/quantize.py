# SPDX-License-Identifier: GPL-3.0-or-later
"""A language model's weights in, the same in 8 or 4 bits out: torchao's weight-only quantisation.

Only the layers' matrices are stored coarser; embeddings, norms and heads stay as they are. It saves
memory; whether it saves time depends on torchao's kernels for the device.
"""

from __future__ import annotations

import importlib
from typing import Final, Literal

import torch
from torch import nn

from exomni_core.errors import EnvironmentProblem
from exomni_core.omni.nets.backbone import Backbone

GROUP: Final = 128  # weights that share a scale in 4 bits


def quantize_backbone(backbone: Backbone, kind: Literal["int8", "int4"]) -> None:
    """Quantise the layers of `backbone` in place.

    Raises EnvironmentProblem if torchao is missing or can't do this on the device.
    """
    on_gpu = backbone.device.type == "cuda" and backbone.dtype == torch.bfloat16
    if kind == "int4" and not on_gpu:
        raise EnvironmentProblem("4-bit weights need a CUDA GPU and bfloat16; use --quantize int8")
    try:
        torchao = importlib.import_module("torchao.quantization")
    except ImportError as error:
        raise EnvironmentProblem(
            "--quantize needs torchao; in this project's folder: pip install '.[omni,quantize]'"
        ) from error
    layers = backbone.body.layers
    if kind == "int8":
        config = torchao.Int8WeightOnlyConfig()
    else:
        config = torchao.Int4WeightOnlyConfig(
            group_size=GROUP, int4_packing_format="tile_packed_to_4d"
        )
    try:
        torchao.quantize_(layers, config, filter_fn=_is_matrix)
    except (RuntimeError, ImportError, NotImplementedError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise EnvironmentProblem(
            f"torchao can't make {kind} weights on this device ({reason}); use --quantize none"
        ) from error


def _is_matrix(module: nn.Module, name: str) -> bool:
    return isinstance(module, nn.Linear) and name.rpartition(".")[2].endswith("_proj")
