# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples -> log-mel features: the golden arrays, the chunk, and sound that can't be used."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from exomni_core.errors import InputError
from exomni_core.omni.nets.audio_features import MelExtractor


def whisper_mel(samples, preprocessor=None):
    """What the speech encoder hears: one recording, padded or cut to the chunk."""
    return MelExtractor(preprocessor).chunk_features(samples, "cpu")


def noise(count, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def test_features_are_those_of_the_reference(shared):
    folder = shared / "golden" / "exomni"
    preprocessor = json.loads((folder / "whisper_preprocessor_config.json").read_text())
    golden = np.load(folder / "01_mel.npz")
    for sound, wanted in (("wav", "mel"), ("wav_long", "mel_long_truncated")):
        np.testing.assert_allclose(
            whisper_mel(golden[sound], preprocessor), golden[wanted], rtol=0, atol=1e-4
        )
    whole = whisper_mel(golden["wav_long"])
    assert whole.shape == tuple(golden["mel30_shape"])
    np.testing.assert_allclose(whole.flatten()[::101], golden["mel30_strided"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("mels", [80, 128])
def test_a_recording_fills_exactly_one_chunk(mels):
    preprocessor = {"feature_size": mels, "chunk_length": 2, "unknown": "key"}
    for count in (0, 1, 31_999, 32_000, 50_000):
        mel = whisper_mel(noise(count), preprocessor)
        assert mel.shape == (1, mels, 200)
        assert mel.isfinite().all()
    assert whisper_mel(noise(100)).shape == (1, 128, 3000)


def test_what_is_cut_off_has_no_effect():
    sound = noise(50_000)
    whole = whisper_mel(sound, {"chunk_length": 2})
    assert whisper_mel(sound[:32_000], {"chunk_length": 2}).equal(whole)


def test_rows_of_a_padded_batch_are_independent():
    mel = MelExtractor()
    together = mel.padded_features([noise(2_000), noise(5_000, seed=1)], 6_400)
    assert together.shape == (2, 128, 40)
    assert mel.padded_features([noise(2_000)], 6_400)[0].equal(together[0])


def test_dither_in_a_file_changes_nothing():
    sound = noise(8_000)
    assert whisper_mel(sound, {"dither": 0.5}).equal(whisper_mel(sound))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_sound_that_is_no_number_is_refused(value):
    sound = noise(400)
    sound[7] = value
    with pytest.raises(InputError, match="not numbers") as caught:
        whisper_mel(sound)
    assert caught.value.field == "audio"


def test_two_channels_are_refused():
    with pytest.raises(InputError, match="one row of samples"):
        whisper_mel(np.zeros((100, 2), np.float32))


@pytest.mark.parametrize(
    "preprocessor",
    [{"sampling_rate": 8000}, {"feature_size": 0}, {"hop_length": "160"}, {"chunk_length": True}],
)
def test_a_bad_preprocessor_is_refused(preprocessor):
    with pytest.raises(InputError, match=r"preprocessor_config\.json (has|asks)"):
        whisper_mel(noise(400), preprocessor)
