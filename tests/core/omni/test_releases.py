# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls pinned to a revision and to hashes: by the program's list, else by the first pull."""

from __future__ import annotations

import hashlib
import json

import pytest
from fake_hub import FakeHub, Repo

from exomni_core.errors import InputError
from exomni_core.omni.weights import releases
from exomni_core.omni.weights.receipts import read_receipt
from exomni_core.omni.weights.releases import read_releases
from exomni_core.omni.weights.store import KNOWN, known_model

MODEL = known_model("glm-4-voice-decoder")
FILES = {"flow.pt": b"PK" + b"f" * 900, "hift.pt": b"\x80" + b"h" * 400, "config.yaml": b"a: 1\n"}
CHANGES = {
    "large": ({"flow.pt": b"PK" + b"g" * 900}, "flow.pt has another hash"),
    "small": ({"config.yaml": b"a: 2\n"}, "config.yaml has another hash"),
    "gone": ({"hift.pt": None}, "hift.pt is gone"),
    "new": ({"LICENSE": b"Another.\n"}, "LICENSE is new"),
}


@pytest.fixture
def hub(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeHub({MODEL.repo: Repo(dict(FILES))}) as running:
        yield running


@pytest.fixture
def get(hub, tmp_path):
    """A function that pulls the model from the fake hub."""
    from exomni_core.omni.weights.pull import plan_pull, pull

    return lambda revision=None, **chosen: pull(
        plan_pull(MODEL, tmp_path, revision, hub.url, **chosen)
    )


@pytest.fixture
def publish(monkeypatch, tmp_path):
    """A function that puts the files of a revision into the program's list."""

    def publish(files: dict[str, bytes], revision: str = "c" * 40) -> None:
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        known = {model.repo: None for model in KNOWN}
        known[MODEL.repo] = {"revision": revision, "files": hashes}
        path = tmp_path / "releases.json"
        path.write_text(json.dumps({"schema": 1, "releases": known}))
        found = read_releases(path)
        monkeypatch.setattr(releases, "read_releases", lambda: found)

    return publish


def change(hub, kind: str) -> str:
    files, says = CHANGES[kind]
    now = {name: data for name, data in {**FILES, **files}.items() if data is not None}
    hub.repos[MODEL.repo].files = now
    return says


def test_the_programs_list_is_about_the_models_it_knows():
    assert set(read_releases()) == {model.repo for model in KNOWN}


def test_the_first_pull_pins(get, hub, tmp_path):
    assert get().plan.pinned is None
    hub.log.clear()
    again = get()
    assert again.fetched == ()
    assert again.plan.pinned.source == "receipt"
    assert hub.log[0][1].endswith(f"/revision/{'c' * 40}")


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("local", ["kept", "removed"])
def test_a_pinned_revision_that_changed_is_refused(get, hub, tmp_path, kind, local):
    get()
    folder = tmp_path / MODEL.name
    before = read_receipt(folder)
    if local == "removed":  # nothing here to compare with, but the receipt
        for name in FILES:
            (folder / name).unlink()
    says = change(hub, kind)
    with pytest.raises(InputError, match=rf"revision c{{12}} of .*{says}; .*--accept-new"):
        get()
    with pytest.raises(InputError, match=says):
        get("c" * 40)
    assert read_receipt(folder) == before
    assert (folder / "flow.pt").is_file() == (local == "kept")
    get(accept_new=True)
    assert set(read_receipt(folder).files) == set(hub.repos[MODEL.repo].files)
    assert get().fetched == ()


def test_a_newer_revision_waits_until_it_is_accepted(get, hub, tmp_path):
    get()
    hub.repos[MODEL.repo].older = {"c" * 40: dict(FILES)}
    hub.repos[MODEL.repo].commit = "d" * 40
    change(hub, "large")
    assert get().fetched == ()
    assert read_receipt(tmp_path / MODEL.name).revision == "c" * 40
    assert get("d" * 40).fetched == ("flow.pt",)  # named by the user
    assert read_receipt(tmp_path / MODEL.name).revision == "d" * 40


def test_a_revision_that_is_gone_is_told(get, hub):
    get()
    hub.repos[MODEL.repo].commit = "d" * 40
    with pytest.raises(InputError, match=r"has revision c{12} .* no more.*first pull.*accept-new"):
        get()
    assert get(accept_new=True).plan.revision == "d" * 40


def test_what_the_program_pins_comes_first(get, hub, publish, tmp_path):
    publish(FILES)
    done = get()
    assert done.plan.pinned.source == "program"
    assert hub.log[0][1].endswith(f"/revision/{'c' * 40}")
    assert set(done.fetched) == set(FILES)


@pytest.mark.parametrize("kind", CHANGES)
def test_the_first_pull_must_match_what_the_program_pins(get, hub, publish, tmp_path, kind):
    publish(FILES)
    says = change(hub, kind)
    with pytest.raises(InputError, match=f"as this program pins it: {says}"):
        get()
    assert read_receipt(tmp_path / MODEL.name) is None


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"revision": "main", "files": {"a": "0" * 64}}, "the revision of"),
        ({"revision": "c" * 40, "files": {}}, "the files of"),
        ({"revision": "c" * 40, "files": {"a": "0" * 63}}, "the hash of .*/a"),
        ({"revision": "c" * 40, "files": {"a": None}}, "the hash of .*/a"),
        ({"revision": "c" * 40}, "wrong at some/model"),
        ({"revision": "c" * 40, "files": {"a": "0" * 64}, "more": 1}, "wrong at some/model"),
        ([], "wrong at some/model"),
    ],
)
def test_the_list_is_read_strictly(tmp_path, entry, says):
    path = tmp_path / "releases.json"
    path.write_text(json.dumps({"schema": 1, "releases": {"some/model": entry}}))
    with pytest.raises(InputError, match=says):
        read_releases(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": 2, "releases": {}}', "\x00", '{"schema": 1, "releases": []}'],
)
def test_a_damaged_list_is_one_sentence(tmp_path, text):
    path = tmp_path / "releases.json"
    path.write_text(text)
    with pytest.raises(InputError, match="install the program again") as caught:
        read_releases(path)
    assert "\n" not in str(caught.value)
