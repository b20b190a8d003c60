# SPDX-License-Identifier: GPL-3.0-or-later
"""A part with its weights in, the same part in its fastest form out.

On CPUs all linear layers hand their weights to oneDNN: a product with one row, which is what a
decode step is made of, then runs at the memory's speed, twice as fast as PyTorch's own in float32
and in bfloat16 (AMD EPYC; `benchmarks/omni_cpu.py`).
"""

from __future__ import annotations

from torch import Tensor, nn

from exomni_core.omni.nets.backbone import Backbone, is_plain
from exomni_core.omni.nets.dense import Fusable, Product, can_pack


class PackedLinear(nn.Module):
    """What `pack` puts in the place of an nn.Linear."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.product = Product(linear.weight, linear.bias)
        self.product.pack()

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.product(x)


def pack(part: nn.Module) -> None:
    """Give all products in `part` their fastest form. Final: no state dict fits afterwards.

    Call it after loading, moving and quantizing. A weight that serves twice (a tied head) is then
    there twice.
    """
    for module in list(part.modules()):
        if isinstance(module, (Backbone, Fusable)):
            module.fuse()
    for module in list(part.modules()):
        for name, child in list(module.named_children()):
            if is_plain(child) and can_pack(child.weight):
                setattr(module, name, PackedLinear(child))
