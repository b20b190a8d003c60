# SPDX-License-Identifier: GPL-3.0-or-later
"""(B, T, C) arrays in, layers' outputs out, by matrix products in the machine's fastest form.

Everything heavy in the speech decoder is a matrix product here: a convolution over time is one over
a sliding window, a transposed one too. On CPUs `pack` converts the weights for oneDNN once,
which is twice as fast as PyTorch's own float32 product where that is MKL on an AMD CPU.
Products run in the weights' type; norms, sums and what passes between layers are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["", "gelu", "swish"]
_ACTIVATIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {"gelu": F.gelu, "swish": F.silu}
_ALGORITHM: Final = {"": "", "gelu": "none", "swish": ""}


class Product:
    """x -> act(x W^T + b) with weights that don't change; `pack` gives it its fastest form."""

    def __init__(self, weight: Tensor, bias: Tensor | None, act: Activation = "") -> None:
        self.weight = weight  # (out, in)
        self.bias = bias
        self.act: Activation = act
        self.dtype = weight.dtype
        self.packed = False

    def pack(self) -> None:
        """Copy the weights: into oneDNN's own order, where that is the machine's best.

        What they were made from, a file mapped into memory perhaps, may go afterwards.
        """
        if self.packed:
            return
        self.bias = None if self.bias is None else self.bias.clone()
        if can_pack(self.weight):
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous())
            self.packed = True
        else:
            self.weight = self.weight.clone()

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """act(x W^T + b) + add; x: (..., in), add: (..., out) or what broadcasts to it."""
        x = x.to(self.dtype)
        if not self.packed:
            y = F.linear(x, self.weight, self.bias)
            y = _ACTIVATIONS[self.act](y) if self.act else y
        elif add is not None and not self.act and add.dtype == self.dtype:
            rows = add.expand(*x.shape[:-1], -1).contiguous()
            joined: Tensor = _linear().binary(x, rows, self.weight, self.bias, "add")
            return joined
        else:
            y = _linear()(x, self.weight, self.bias, self.act or "none", [], _ALGORITHM[self.act])
        return y if add is None else y + add


def can_pack(weight: Tensor) -> bool:
    """Whether oneDNN can take this weight."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


def product_once(x: Tensor, weight: Tensor) -> Tensor:
    """x W^T by oneDNN, for a weight that `can_pack` takes but that isn't used again."""
    y: Tensor = _linear()(x, weight, None, "none", [], "")
    return y


def _linear() -> Any:
    return torch.ops.mkldnn._linear_pointwise


class Fusable(nn.Module):
    """A layer whose weights can be turned into products, after which no state dict fits it."""

    _product: Product | None = None

    def product(self) -> Product:
        """The layer as a product, from its parameters as they are now."""
        raise NotImplementedError

    def fuse(self) -> None:
        """Keep only the packed product; the parameters are freed."""
        if self._product is None:
            product = self.product()
            product.pack()
            self._product = product
            for name in list(self._parameters):
                self._parameters[name] = None

    def now(self) -> Product:
        """The product to use: the packed one, or one made on the spot."""
        return self._product or self.product()


def fuse_layers(module: nn.Module) -> None:
    """Fuse every layer in `module` that can be."""
    for layer in module.modules():
        if isinstance(layer, Fusable):
            layer.fuse()


class Dense(Fusable):
    """A linear layer and its activation, with parameters named as in nn.Linear."""

    def __init__(
        self, inputs: int, outputs: int, *, bias: bool = True, act: Activation = ""
    ) -> None:
        super().__init__()
        self.act: Activation = act
        self.weight = nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)
        values = torch.empty(outputs) if bias else None
        self.bias = None if values is None else nn.Parameter(values, requires_grad=False)

    def product(self) -> Product:
        """As a product."""
        return Product(self.weight, self.bias, self.act)

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """(..., inputs) -> (..., outputs); add: summed onto the result."""
        return self.now()(x, add)


class TimeConv(Fusable):
    """A convolution over time with zero padding of kernel // 2; named as in nn.Conv1d.

    Maps (B, T, in) to (B, ceil(T / stride), out).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False)

    def product(self) -> Product:
        """As a product over windows."""
        return Product(taps(self.weight), self.bias)

    def split(self, inputs: int) -> Product:
        """The part of the product that sees only the first `inputs` channels, without bias."""
        return Product(taps(self.weight[:, :inputs]), None)

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """add: (B, ceil(T / stride), out), summed onto the result."""
        return self.now()(windows(x, self.kernel, self.stride), add)


class TimeUpsample(Fusable):
    """A transposed convolution, kernel 4, stride 2, padding 1: (B, T, in) -> (B, 2T, out).

    Output 2i sees inputs i - 1 and i, output 2i + 1 sees i and i + 1: one product over windows of
    three frames with twice the outputs. Named as in nn.ConvTranspose1d.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, 4), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False)

    def product(self) -> Product:
        """As a product over windows of three frames, with the outputs of both places."""
        before, here, after, back = (self.weight[:, :, k].T for k in (3, 1, 0, 2))  # (out, in)
        none = torch.zeros_like(before)
        even = torch.cat((before, here, none), 1)
        odd = torch.cat((none, back, after), 1)
        return Product(torch.cat((even, odd)), self.bias.repeat(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) -> (B, 2T, out)."""
        y = self.now()(windows(x, 3))  # (B, T, 2 * out)
        return y.view(x.shape[0], 2 * x.shape[1], -1)


def taps(weight: Tensor) -> Tensor:
    """(out, in, kernel) of a convolution -> (out, kernel * in), as `windows` orders its columns."""
    return weight.permute(0, 2, 1).reshape(weight.shape[0], -1)


def windows(x: Tensor, kernel: int, stride: int = 1) -> Tensor:
    """(B, T, C) -> (B, ceil(T / stride), kernel * C): what each output of a convolution sees."""
    if kernel == 1 and stride == 1:
        return x
    batch, frames, width = x.shape
    padded = F.pad(x, (0, 0, kernel // 2, kernel // 2)).contiguous()
    shape = (batch, (frames - 1) // stride + 1, kernel * width)
    return padded.as_strided(shape, (padded.stride(0), stride * width, 1))


class Norm(nn.LayerNorm):
    """A layer norm in float32, whatever the type of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) of any type -> (..., C) float32."""
        return F.layer_norm(
            x.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps
        )


class TimeGroupNorm(nn.GroupNorm):
    """A group norm of (B, T, C) over time and the channels of a group, in float32.

    mask: (B, T, 1), 1 for frames that count; None: all do.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, C) of any type -> (B, T, C) float32."""
        weight, bias = self.weight.float(), self.bias.float()
        x = x.float()
        if mask is None:  # as an image in channels-last order, which needs no copy
            image = x.transpose(1, 2).unsqueeze(3)
            y = F.group_norm(image, self.num_groups, weight, bias, self.eps)
            return y.squeeze(3).transpose(1, 2)
        grouped = x.view(*x.shape[:2], self.num_groups, -1)  # (B, T, G, C / G)
        valid = mask.unsqueeze(3)
        count = mask.sum((1, 2)).view(-1, 1, 1, 1) * grouped.shape[3]
        mean = (grouped * valid).sum((1, 3), keepdim=True) / count
        centred = (grouped - mean) * valid
        variance = centred.square().sum((1, 3), keepdim=True) / count
        normal = centred * (variance + self.eps).rsqrt()
        return torch.addcmul(bias, normal.flatten(2), weight)


def mish(x: Tensor) -> Tensor:
    """x tanh(softplus(x)) = x n / (n + 2) with n = e^x (e^x + 2); one exponential, no logarithm."""
    if x.is_cuda:
        return F.mish(x)
    e = x.clamp(max=20.0).exp_()  # beyond 20 the quotient is 1 in float32
    n = torch.addcmul(2 * e, e, e)
    return x * n.div_(n + 2)


def length_mask(lengths: Tensor, longest: int) -> Tensor:
    """(B, longest, 1) float32: 1 for the first lengths[b] frames of row b, 0 behind them."""
    places = torch.arange(longest, device=lengths.device)
    return (places < lengths[:, None]).float().unsqueeze(2)
