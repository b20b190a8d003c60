# SPDX-License-Identifier: GPL-3.0-or-later
"""FLAC from numpy alone: libFLAC reads it back, sample for sample."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from exomni_core.clip import clip_from_bytes, clip_to_bytes
from exomni_core.storage.codecs import flac_bytes, flac_length
from exomni_core.storage.flac import BLOCK, encode


def signals():
    rng = np.random.default_rng(3)
    time = np.arange(3 * BLOCK + 77)
    top = 32767
    yield "sine", np.round(20000 * np.sin(time * 0.05))
    yield "noise", rng.integers(-32768, 32768, 2 * BLOCK)
    yield "silence", np.zeros(BLOCK + 1)
    yield "steps", np.where(time // 300 % 2, top, -32768)
    yield "click", np.where(time == 5000, -32768, rng.integers(-2, 3, len(time)))
    yield "speech", np.round(np.cumsum(rng.normal(0, 40, 5 * BLOCK)) % 30000 - 15000)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 4095, 4096, 4097, 8192, 20_000])
@pytest.mark.parametrize("bits", [16, 24])
def test_every_length(length, bits):
    check(np.random.default_rng(length).integers(-(1 << 12), 1 << 12, length), 22_050, bits)


@pytest.mark.parametrize(
    ("name", "values"), list(signals()), ids=lambda v: v if isinstance(v, str) else ""
)
@pytest.mark.parametrize(("bits", "rate"), [(16, 22_050), (24, 48_000), (16, 96_000), (24, 8000)])
def test_every_sound(name, values, bits, rate):
    scale = 1 if bits == 16 else 256
    check(values.astype(np.int64) * scale, rate, bits)


def check(values, rate, bits):
    soundfile = pytest.importorskip("soundfile")
    data = encode(values, rate, bits)
    assert flac_length(data) == (rate, len(values))
    with soundfile.SoundFile(io.BytesIO(data)) as source:
        assert source.subtype == f"PCM_{bits}"
        read = source.read(dtype="int32")
    assert np.array_equal(read >> (32 - bits), values)


def test_frame_numbers_of_all_lengths():
    values = np.zeros(BLOCK * 2100, np.int64)
    values[:: BLOCK // 2] = 1
    check(values, 48_000, 16)


def test_it_packs(tone):
    plain = encode(np.round(tone * 32768), 16_000, 16)
    assert len(flac_bytes(tone, 16_000)) < len(plain) < 0.4 * 2 * len(tone)


def test_clips_are_written_without_soundfile(make_clip, monkeypatch):
    clip = make_clip(3.0)
    usual = clip_to_bytes(clip)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    plain = clip_to_bytes(clip)
    monkeypatch.undo()
    assert plain != usual
    read, expected = clip_from_bytes(plain), clip_from_bytes(usual)
    assert np.array_equal(read.audio, expected.audio)
    assert np.array_equal(read.weights, expected.weights)
