# SPDX-License-Identifier: GPL-3.0-or-later
"""The neural engine behind the service: it answers while it writes, stops when told, is freed."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

pytest.importorskip("torch")

from exomni_core.errors import EnvironmentProblem
from exomni_core.server.launch import start_service

QUESTION = {"mode": "reply", "text": "Tell me about rivers.", "max_tokens": 24, "seed": 5}


@pytest.fixture(scope="module")
def omni_service(tiny_model, tmp_path_factory):
    """An engine process with the tiny model."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    service = start_service(
        log=tmp_path_factory.mktemp("omni") / "engine.log",
        engine_options={"omni": {"model": str(tiny_model)}},
    )
    yield service
    service.stop()


def follow(events, most_s=120.0):
    found, deadline = [], time.monotonic() + most_s
    while not found or found[-1]["event"] not in ("done", "failed", "cancelled"):
        assert time.monotonic() < deadline, found[-2:]
        found += events.wait(0.2)
    return found


def test_it_answers_in_pieces(omni_service):
    client = omni_service.client()
    state = client.health()["engines"]["omni"]
    assert state["ready"], state["reason"]
    assert "reply" in state["modes"]
    found = follow(client.begin(QUESTION, "omni"))
    assert found[-1]["event"] == "done", found[-1]
    data = found[-1]["data"]
    chunks = [event for event in found if event["event"] == "chunk"]
    assert np.array_equal(np.concatenate([c["samples"] for c in chunks]), data.audio)
    assert sum(len(c["rows"]) for c in chunks) >= len(data.weights) - 1
    said = "".join(event["text"] for event in found if event["event"] == "text")
    assert said.strip() == data.text.strip()
    assert data.provenance["weights"] == "tiny random"
    assert client.health()["engines"]["omni"]["loaded"]


def test_engines_change_places(omni_service):
    client = omni_service.client()
    assert client.generate({"text": "Hello."}, "embedded").engine == "embedded"
    assert client.health()["engines"]["embedded"]["loaded"]
    assert not client.health()["engines"]["omni"]["loaded"]


def test_it_stops_within_a_step(omni_service):
    client = omni_service.client()
    events = client.begin(QUESTION | {"max_tokens": 4000}, "omni")
    found = []
    while not any(event["event"] in ("text", "chunk") for event in found):
        found += events.wait(60)
        assert not events.ended, found[-1]
    asked = time.monotonic()
    events.cancel()
    assert follow(events)[-1]["event"] == "cancelled"
    assert time.monotonic() - asked < 5.0
    assert client.generate({"text": "Still alive."}).text == "Still alive."


def test_models_that_are_not_there(omni_service, tmp_path):
    with pytest.raises(EnvironmentProblem, match="no Ex-Omni checkpoint in"):
        omni_service.client().generate(
            QUESTION, "omni", options={"model": str(tmp_path / "nothing")}
        )
