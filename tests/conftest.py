# SPDX-License-Identifier: GPL-3.0-or-later
"""What several tests need: sounds and clips made in place, and the shared golden data."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.clip import Clip, Phone, Word, frame_count

pytest_plugins = ["face_fixtures", "study_fixtures"]  # of tests/helpers

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's root folder."""
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the repository (golden data, specifications)."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the golden data in {folder}")
    return folder


@pytest.fixture(scope="session")
def bench() -> ModuleType:
    """benchmarks/embedded.py, which knows how to measure a mouth."""
    return _benchmark("embedded")


@pytest.fixture(scope="session")
def word_loss() -> ModuleType:
    """benchmarks/word_loss.py, which knows how to find words that are not spoken."""
    return _benchmark("word_loss")


def _benchmark(name: str) -> ModuleType:
    path = REPO / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"bench_{name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def make_tone(duration_s: float = 1.0, rate_hz: int = 16_000, pitch_hz: float = 220.0) -> Any:
    """(S,) float32 sine whose samples lie on the 16-bit grid."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    wave = 0.5 * np.sin(2 * np.pi * pitch_hz * time_s)
    return (np.round(wave * 32768) / 32768).astype(np.float32)


@pytest.fixture
def tone() -> Any:
    """One second of a 220 Hz sine at 16 kHz, exact in 16 bits."""
    return make_tone()


@pytest.fixture
def make_clip() -> Callable[..., Clip]:
    """A function that makes a small valid clip; keyword arguments replace its fields."""

    def make(duration_s: float = 1.0, rate_hz: int = 16_000, **changes: Any) -> Clip:
        rng = np.random.default_rng(7)
        fps = changes.get("fps", 30.0)
        usable = isinstance(fps, float) and 1 <= fps <= 240
        frames = frame_count(duration_s, fps if usable else 30.0)
        fields: dict[str, Any] = {
            "audio": make_tone(duration_s, rate_hz),
            "sample_rate_hz": rate_hz,
            "weights": rng.random((frames, 52)).astype(np.float32),
            "fps": 30.0,
            "words": (Word("hello", 0.0, 0.4), Word("世界", 0.4, 0.9)),
            "phones": (Phone("h", 0.0, 0.1), Phone("", 0.1, 0.2)),
            "text": "hello 世界",
            "language": "en",
            "prompt": {"id": "one", "meta": {"deep": [1, 2.5, None, "ü"]}},
            "engine": "test",
            "seed": 0,
            "route": "tts_events",
            "provenance": {"engine": "1"},
        }
        return Clip(**(fields | changes))

    return make


@pytest.fixture
def talking() -> Callable[..., Any]:
    """A function that makes (T, 52) weights at `fps` whose lips close at the given seconds."""

    def make(fps: float, duration_s: float, closures_s: list[float], rows: int = 1) -> Any:
        weights = np.zeros((round(duration_s * fps), len(ARKIT_52)), np.float32)
        time_s = np.arange(len(weights)) / fps
        weights[:, CHANNEL_INDEX["jawOpen"]] = 0.3 + 0.1 * np.sin(9 * time_s)
        weights[:, CHANNEL_INDEX["mouthFunnel"]] = 0.2 + 0.2 * np.sin(5 * time_s)
        weights[:, CHANNEL_INDEX["eyeBlinkLeft"]] = 0.5 + 0.5 * np.sin(3 * time_s)
        for moment in closures_s:
            row = round(moment * fps)
            weights[row : row + rows, CHANNEL_INDEX["mouthClose"]] = weights[
                row : row + rows, CHANNEL_INDEX["jawOpen"]
            ]
        return weights

    return make
