# SPDX-License-Identifier: GPL-3.0-or-later
"""Packed parts against the golden arrays: what speeds a part up must not change what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from exomni_core.omni.nets.backbone import is_plain  # noqa: E402
from exomni_core.omni.nets.packing import PackedLinear, pack  # noqa: E402


@pytest.fixture(scope="module")
def golden(repo):
    sys.path.insert(0, str(repo / "tests" / "golden"))
    import exomni

    yield exomni
    sys.path.pop(0)


@pytest.fixture(scope="module")
def packed(golden, shared, tmp_path_factory):
    """The golden fixtures, their parts packed."""
    folder = tmp_path_factory.mktemp("checkpoint")
    fixtures = golden.Fixtures(shared / "golden" / "exomni", Path(folder))
    for part in ("llm", "encoder", "projector", "generator", "face"):
        pack(getattr(fixtures, part))
    return fixtures


@pytest.mark.parametrize(
    "name", ["02_speech_encoder", "05_generator_prefix", "06_ar", "08_face", "11_end_to_end"]
)
def test_packed_parts_match_the_golden_arrays(golden, packed, name):
    with torch.inference_mode():
        results = list(golden.CHECKS[name](packed))
    assert results
    assert not [f"{r.name}: {r.error:.2e}" for r in results if not r.ok]


def test_all_linear_layers_are_packed(packed):
    for part in (packed.llm, packed.encoder, packed.projector, packed.generator, packed.face):
        assert not any(is_plain(module) for module in part.modules())


def test_quantized_layers_are_left_alone():
    class Coarse(torch.Tensor):
        """Stands for a quantizer's own kind of tensor."""

    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).requires_grad_(False)
    model[0].weight = nn.Parameter(model[0].weight.as_subclass(Coarse), requires_grad=False)
    pack(model)
    assert type(model[0]) is nn.Linear
    assert type(model[1]) is PackedLinear
