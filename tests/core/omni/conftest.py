# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny random model, made once: 160 MB in the published layout."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder of a tiny random Ex-Omni."""
    pytest.importorskip("torch")
    from exomni_core.omni.weights.tiny import make_tiny

    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_tiny(folder, seed=1)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _give_back_memory() -> Iterator[None]:
    """Models of one file of tests are gone before the next: in cycles, or in pages kept by libc."""
    yield
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # not on this system
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny matrices gain nothing from threads, and lose much where the cores are busy."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
