# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording in the engine process, with a microphone that is not one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exomni_core.audio import write_wav
from exomni_core.engine import load_engine
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.prompt import Prompt
from exomni_core.server.launch import start_service

RECORDING = Path(__file__).parent / "recording"


def test_what_was_recorded_is_lip_synced(tmp_path, monkeypatch):
    said = load_engine("embedded").generate(Prompt(id="a", text="Good morning, my friend."))
    write_wav(tmp_path / "said.wav", said.audio, said.sample_rate_hz)
    monkeypatch.setenv("EXOMNI_HEARD", str(tmp_path / "said.wav"))
    service = start_service(log=tmp_path / "log", extra_paths=[RECORDING])
    try:
        client = service.client()
        assert client.microphone() == {"ready": True, "reason": ""}
        with pytest.raises(InputError, match="start the recording first"):
            client.recorded()
        client.record()
        client.record()  # a second start begins anew
        made = client.generate(
            {"audio": client.recorded(), "transcript": "Good morning, my friend."}
        )
        assert np.array_equal(made.audio, said.audio)
        assert made.route == "transcript"
        assert made.prompt["audio"] == "microphone.wav"
    finally:
        service.stop()


def test_without_a_microphone(tmp_path, monkeypatch):
    monkeypatch.setenv("EXOMNI_DEAF", "1")
    service = start_service(log=tmp_path / "log", extra_paths=[RECORDING])
    try:
        assert "no microphone" in service.client().microphone()["reason"]
        with pytest.raises(EnvironmentProblem, match="connect one"):
            service.client().record()
    finally:
        service.stop()


def test_without_the_library(tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    service = start_service(log=tmp_path / "log", extra_paths=[tmp_path])
    try:
        assert "pip install sounddevice" in service.client().microphone()["reason"]
        with pytest.raises(EnvironmentProblem, match="pip install sounddevice"):
            service.client().record()
    finally:
        service.stop()
