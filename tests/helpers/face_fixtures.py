# SPDX-License-Identifier: GPL-3.0-or-later
"""A small head of random offsets, and the comparison of two JSON trees leaf by leaf."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from exomni_core.metrics.faces.basis import FaceBasis, Regions, make_basis


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}/{key}")
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from leaves(value, f"{path}/{number}")
    else:
        yield path, tree


@pytest.fixture(scope="session")
def differences() -> Callable[[Any, Any, float], list[str]]:
    """A function: two trees and a relative tolerance in, the paths of leaves that differ out."""

    def compare(expected: Any, found: Any, tolerance: float = 1e-9) -> list[str]:
        a, b = dict(leaves(expected)), dict(leaves(found))
        wrong = list(a.keys() ^ b.keys())
        for path in a.keys() & b.keys():
            x, y = a[path], b[path]
            if isinstance(x, int) or x is None or y is None:
                same = x == y and type(x) is type(y)
            else:
                same = abs(x - y) <= tolerance * max(abs(x), 1e-12)
            if not same:
                wrong.append(path)
        return sorted(wrong)

    return compare


@pytest.fixture
def small_head() -> Callable[..., FaceBasis]:
    """A function that makes the basis of a 60-vertex head in any unit, the same head in each."""

    def make(unit_to_mm: float = 1000.0) -> FaceBasis:
        rng = np.random.default_rng(5)
        neutral = rng.normal(0, 0.05, (60, 3)) * 1000.0 / unit_to_mm
        offsets = rng.normal(0, 0.003, (52, 60, 3)) * 1000.0 / unit_to_mm
        ids = np.arange(60)
        regions = Regions(ids[:20], ids[30:50], np.array([[0, 1], [2, 3]]))
        return make_basis(neutral, offsets, regions, unit_to_mm)

    return make


@pytest.fixture
def curves() -> Callable[..., Any]:
    """A function that makes (frames, 52) smooth weights from a seed."""

    def make(frames: int, seed: int = 0) -> Any:
        rng = np.random.default_rng(seed)
        noise = rng.normal(0.4, 0.5, (frames + 8, 52))
        kernel = np.hanning(9) / np.hanning(9).sum()
        return np.column_stack([np.convolve(c, kernel, "valid") for c in noise.T])[:frames]

    return make
