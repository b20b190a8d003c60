# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random model, made once: 160 MB in the published layout."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder of a tiny random Ex-Omni."""
    pytest.importorskip("torch")
    from exomni_core.omni.weights.tiny import make_tiny

    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_tiny(folder, seed=1)
    return folder


_GROWTH_MB = 150  # an engine that a test dropped
_kept_mb = float("inf")


@pytest.fixture(autouse=True)
def _give_back_memory() -> Iterator[None]:
    """Engines that a test has dropped are gone soon: they lie in cycles, their pages in libc."""
    global _kept_mb
    yield
    process = psutil.Process()
    if process.memory_info().rss / 2**20 > _kept_mb + _GROWTH_MB:
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # not on this system
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        _kept_mb = process.memory_info().rss / 2**20
    _kept_mb = min(_kept_mb, process.memory_info().rss / 2**20)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny matrices gain nothing from threads, and lose much where the cores are busy."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
