# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made over HTTP is what the engine makes, and it comes in order."""

from __future__ import annotations

import json

import numpy as np
import pytest

from exomni_core import __version__
from exomni_core.audio import write_wav
from exomni_core.clip import clip_from_bytes, save_clip
from exomni_core.engine import load_engine
from exomni_core.errors import InputError
from exomni_core.prompt import Prompt

LINE = "Hello there, how are you today? I am fine."


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    """A spoken line as a wav file."""
    clip = load_engine("embedded").generate(Prompt(id="a", text="Good morning, my friend."))
    path = tmp_path_factory.mktemp("recordings") / "morning.wav"
    write_wav(path, clip.audio, clip.sample_rate_hz)
    return path


def test_health_tells_what_is_there(service):
    health = service.client().health()
    assert (health["service"], health["protocol"], health["version"]) == ("exomni", 1, __version__)
    assert health["pid"] == service.process.pid
    embedded, omni = health["engines"]["embedded"], health["engines"]["omni"]
    assert embedded["ready"]
    assert embedded["reason"] == ""
    assert embedded["modes"] == ["say", "lipsync"]
    assert "zh" in embedded["languages"]
    assert "f2" in embedded["voices"]
    assert omni["ready"] or omni["reason"]


def test_a_line_is_said_as_the_engine_says_it(service):
    made = service.client().generate({"text": LINE, "seed": 3, "style": "lively"})
    here = load_engine("embedded").generate(Prompt(id="take", text=LINE, seed=3, style="lively"))
    assert np.array_equal(made.audio, here.audio)
    assert np.array_equal(made.weights, here.weights)
    assert (made.rate_hz, made.fps, made.seed) == (here.sample_rate_hz, here.fps, 3)
    assert [w[0] for w in made.words] == [w.text for w in here.words]
    assert made.phones == tuple((p.symbol, p.start_s, p.end_s) for p in here.phones)
    assert made.provenance == here.provenance
    assert made.prompt == here.prompt


def test_events_come_in_order_and_chunks_join_to_the_clip(service, collect):
    client = service.client()
    events = client.begin({"text": LINE})
    found = collect(events)
    kinds = [event["event"] for event in found]
    assert [event["n"] for event in found] == list(range(len(found)))
    assert kinds[:2] == ["queued", "started"]
    assert kinds[-1] == "done"
    assert "progress" in kinds
    chunks = [event for event in found if event["event"] == "chunk"]
    assert len(chunks) > 3
    data = found[-1]["data"]
    assert np.array_equal(np.concatenate([c["samples"] for c in chunks]), data.audio)
    assert np.array_equal(np.concatenate([c["rows"] for c in chunks]), data.weights)
    at_s = 0.0
    for chunk in chunks:
        assert chunk["start_s"] == pytest.approx(at_s)
        at_s += len(chunk["rows"]) / chunk["fps"]
    said = "".join(event["text"] for event in found if event["event"] == "text")
    assert said.split() == [word for word, _, _ in data.words]
    assert found[-1]["frames"] == len(data.weights)
    assert found[-1]["text"] == LINE


def test_without_stream_there_are_no_chunks(service, collect):
    found = collect(service.client().begin({"text": LINE}, stream=False))
    assert not {"chunk", "text"} & {event["event"] for event in found}
    assert found[-1]["data"].text == LINE


def test_events_are_replayed_after_any_number(service, collect, send):
    client = service.client()
    job = client.start({"text": LINE})
    everything = collect(client.events(job))
    for after in (-1, 0, 4, len(everything) - 2, len(everything) - 1):
        status, headers, body = send(service, "GET", f"/jobs/{job}/events?after={after}")
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        assert status == 200
        assert headers["Content-Type"] == "application/x-ndjson"
        assert [e["n"] for e in lines] == list(range(after + 1, len(everything)))
    assert send(service, "GET", f"/jobs/{job}/events?after=x")[0] == 400


def test_an_upload_is_lip_synced(service, recording):
    client = service.client()
    upload = client.upload(recording)
    prompt = {"audio": upload, "transcript": "Good morning, my friend."}
    job = client.start(prompt)
    found = list(client.events(job).wait(20))
    while found[-1]["event"] not in ("done", "failed"):
        found += client.events(job, found[-1]["n"]).wait(20)
    assert found[-1]["event"] == "done", found[-1]
    data = client.clip_data(job)
    assert data.route == "transcript"
    assert data.prompt["audio"] == "morning.wav"
    assert data.weights.max() > 0.3


def test_a_path_is_enough_on_the_same_machine(service, recording):
    client = service.client()
    made = client.generate({"audio": str(recording), "transcript": "Good morning, my friend."})
    assert made.prompt["audio"] == "morning.wav"
    with pytest.raises(InputError, match="whole path") as caught:
        client.start({"audio": "morning.wav"})
    assert caught.value.field == "audio"
    with pytest.raises(InputError, match="does not exist"):
        client.generate({"audio": str(recording.with_name("nothing.wav"))})


@pytest.mark.parametrize("name", [
    "../../../etc/cron.d/evil.wav", "..\\..\\evil.wav", "/evil.wav", "evil.wav/../..",
    "a\0b.wav", "", ".wav", "x" * 3000,
])  # fmt: skip
def test_names_of_uploads_lead_nowhere(service, recording, send, name):
    from urllib.parse import quote

    path = f"/uploads?name={quote(name, safe='')}"
    status, _, answer = send(service, "POST", path, recording.read_bytes())
    assert status == 201
    shown = (
        service.client()
        .generate({"audio": answer["upload"], "transcript": "Good morning, my friend."})
        .prompt["audio"]
    )
    assert not set(shown) & set('/\\\0"<>:|?*')
    assert 0 < len(shown) <= 80
    assert shown.strip(".")


def test_messages_speak_of_the_clients_names(service, tmp_path):
    client = service.client()
    broken = tmp_path / "broken take.wav"
    broken.write_bytes(b"RIFF0000WAVEnothing of sense")
    with pytest.raises(InputError) as caught:
        client.generate({"audio": client.upload(broken), "mode": "lipsync"})
    assert str(caught.value).startswith("broken take.wav ")
    assert caught.value.field == "audio"
    with pytest.raises(InputError, match="send it again"):
        client.start({"audio": "upload-" + "0" * 32})


def test_clip_files_go_out_and_come_back(service, tmp_path, make_clip):
    client = service.client()
    job = client.start({"text": LINE}, stream=False)
    while client.events(job).wait(20)[-1]["event"] != "done":
        pass
    data, file = client.clip_data(job), tmp_path / "take.clip"
    file.write_bytes(client.clip_bytes(job))
    clip = clip_from_bytes(file.read_bytes())
    assert np.array_equal(clip.weights, data.weights)
    again = client.clip_data_of_bytes(file.read_bytes())
    assert np.array_equal(again.audio, data.audio)
    assert again.words == data.words
    save_clip(make_clip(), file)
    assert len(client.clip_data_of_bytes(file.read_bytes()).audio) == 16_000
    file.write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="damaged"):
        client.clip_data_of_bytes(file.read_bytes())


def test_what_the_engine_refuses_is_told_as_it_tells_it(service):
    client = service.client()
    with pytest.raises(InputError, match="voice") as caught:
        client.generate({"text": "Hello.", "voice": "nobody"})
    assert caught.value.field == "voice"
    with pytest.raises(InputError, match="embedded engine can 'say'"):
        client.generate({"text": "Hello?", "mode": "reply"})
