# SPDX-License-Identifier: GPL-3.0-or-later
"""A function of tensors in, the same function out, replayed as a CUDA graph where there is CUDA.

A decode step launches hundreds of small kernels; recorded once per input shape and replayed, they
cost the host one call. On the CPU the function is simply called.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

_WARM_UPS: Final = 2
_Key = tuple[tuple[torch.Size, torch.dtype], ...]


def may_look(tensor: Tensor) -> bool:
    """Whether a step may read values: always on the CPU, never inside a graph."""
    return tensor.device.type == "cpu"


class GraphCache:
    """Calls `function(*inputs) -> Tensor`; on CUDA as a graph, one for each set of input shapes.

    function: must not synchronise with the host, and may write only to tensors that live as long
    as this cache (such as a KV cache). The result is overwritten by the next call, whatever its
    shapes: copy it to keep it. enabled: False calls the function as it is, always.
    most: graphs kept; the one used least recently goes first. state: gives the tensors that the
    function changes; recording, which runs the function a few times, puts them back.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        *,
        enabled: bool = True,
        most: int = 16,
        state: Callable[[], Sequence[Tensor]] = tuple,
    ) -> None:
        self._function = function
        self._enabled = enabled
        self._state = state
        self._most = most
        self._graphs: OrderedDict[_Key, _Recorded] = OrderedDict()
        self._pool: Any = None  # one memory for all graphs, which never overlap

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result for `inputs`, whose shapes choose the graph."""
        if not (self._enabled and inputs[0].is_cuda):
            return self._function(*inputs)
        key = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        recorded = self._graphs.get(key)
        if recorded is None:
            while len(self._graphs) >= self._most:
                self._graphs.popitem(last=False)
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            before = [tensor.clone() for tensor in self._state()]
            recorded = self._graphs[key] = _Recorded(self._function, inputs, self._pool)
            for tensor, value in zip(self._state(), before, strict=True):
                tensor.copy_(value)
        self._graphs.move_to_end(key)
        return recorded.replay(inputs)

    def clear(self) -> None:
        """Forget all graphs and the memory that they hold."""
        self._graphs.clear()
        self._pool = None


class _Recorded:
    """One graph with its own copies of the inputs and its output."""

    def __init__(
        self,
        function: Callable[..., Tensor],
        inputs: tuple[Tensor, ...],
        pool: Any,
    ) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):  # libraries choose their kernels before the recording
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may go on using the device meanwhile.
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._output = function(*self._inputs)

    def replay(self, inputs: tuple[Tensor, ...]) -> Tensor:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._output
