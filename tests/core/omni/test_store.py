# SPDX-License-Identifier: GPL-3.0-or-later
"""The model store: where models lie, whether they are whole, licences, and pulls from a hub."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from fake_hub import FakeHub, Repo

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.omni.weights import licence, store
from exomni_core.omni.weights.licence import EX_OMNI, find_consent, record_consent, require_consent
from exomni_core.omni.weights.receipts import RECEIPT, check_files, files_in, read_receipt
from exomni_core.omni.weights.store import (
    known_model,
    licence_provenance,
    locate,
    look,
    models_folder,
)

OMNI, DECODER, REPO = "ex-omni", "glm-4-voice-decoder", "Tencent/Ex-Omni"


def safetensors(count: int) -> bytes:
    entry = {"t": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}
    header = json.dumps({"__metadata__": {"format": "pt"}, **entry}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(i % 251 for i in range(count))


SHARDS = {f"model-0000{i}-of-00002.safetensors": safetensors(1000 * i) for i in (1, 2)}
INDEX = {"weight_map": dict(zip("ab", SHARDS, strict=True))}
FILES = {
    ".gitattributes": b"*.safetensors filter=lfs\n",
    "LICENSE.txt": b"The whole licence.\n",
    "README.md": b"# Ex-Omni\n",
    "assets/demo.mp4": b"film" * 100,
    "config.json": b'{"unit_vocab_size": 4}',
    **SHARDS,
    "model.safetensors.index.json": json.dumps(INDEX).encode(),
    "speech_encoder/preprocessor_config.json": b"{}",
    "tokenizer.json": b"{}",
}
WANTED = set(FILES) - {".gitattributes", "assets/demo.mp4"}


def fill(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def states(folder: Path, **options: bool) -> dict[str, str]:
    needed = known_model(OMNI).needed
    return {one.name: one.state for one in check_files(folder, needed, **options)}


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty models folder; the user's own is out of sight."""
    monkeypatch.setenv("EXOMNI_MODELS", str(tmp_path / "nowhere"))
    return tmp_path / "models"


@pytest.fixture
def hub(monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    decoder = Repo({"flow.pt": b"PK" + b"f" * 900, "hift.pt": b"\x80h", "config.yaml": b"a: 1\n"})
    with FakeHub({REPO: Repo(dict(FILES)), "THUDM/glm-4-voice-decoder": decoder}) as running:
        yield running


@pytest.fixture
def get(hub, models):
    """A function that pulls a model from the fake hub, with the licence accepted."""
    from exomni_core.omni.weights.pull import plan_pull, pull

    record_consent(EX_OMNI, models, "test")
    return lambda name=OMNI, **chosen: pull(
        plan_pull(known_model(name), models, endpoint=hub.url, **chosen)
    )


@pytest.mark.parametrize(
    ("environment", "system", "ends"),
    [
        ({"EXOMNI_MODELS": "/big/disk", "XDG_DATA_HOME": "/x"}, "linux", "/big/disk"),
        ({"XDG_DATA_HOME": "/x"}, "linux", "/x/exomni/models"),
        ({}, "linux", "/.local/share/exomni/models"),
        ({}, "darwin", "/Library/Application Support/exomni/models"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/exomni/models"),
        ({}, "win32", "/AppData/Local/exomni/models"),
    ],
)
def test_the_models_folder(environment, system, ends):
    assert models_folder(environment, system).as_posix().endswith(ends)


def test_models_are_known_by_both_names():
    assert known_model("tencent/ex-omni") is known_model("Ex-Omni")
    with pytest.raises(InputError, match="the choice is ex-omni, glm-4-voice-decoder"):
        known_model("whisper")


def test_a_model_goes_from_absent_to_unverified(models):
    model = known_model(OMNI)
    assert look(model, models).state == "absent"
    with pytest.raises(EnvironmentProblem, match=r"is not in .*: exorender models pull ex-omni"):
        locate(OMNI, models)
    folder = fill(models / OMNI, {"config.json": b"{}"})
    found = look(model, models)
    assert found.state == "incomplete"
    assert "*.safetensors is missing" in found.detail
    with pytest.raises(EnvironmentProblem, match="is incomplete in"):
        locate(OMNI, models)
    fill(folder)
    assert look(model, models).state == "unverified"
    assert locate(REPO, models) == folder


def test_files_without_a_receipt_are_unknown(models):
    found = states(fill(models / OMNI))
    assert set(found.values()) == {"unknown"}
    assert set(found) == set(FILES) - {".gitattributes"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model-00001-of-00002.safetensors", next(iter(SHARDS.values()))[:-1]),
        ("model-00001-of-00002.safetensors", next(iter(SHARDS.values())) + b"x"),
        ("model-00001-of-00002.safetensors", b"\xff" * 40),
        ("model-00001-of-00002.safetensors", b"abc"),
        ("model-00001-of-00002.safetensors", b""),
        ("config.json", b"{"),
        ("extra.pt", b"PK" + b"\0" * 50),
        ("extra.bin", b"<html>"),
    ],
)
def test_cut_files_are_seen_without_a_receipt(models, name, data):
    folder = fill(models / OMNI, FILES | {name: data})
    assert {n for n, state in states(folder).items() if state == "damaged"} == {name}


def test_a_shard_that_the_index_names_is_missed(models):
    folder = fill(models / OMNI)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert states(folder)["model-00002-of-00002.safetensors"] == "missing"
    assert look(known_model(OMNI), models).state == "incomplete"


def test_a_folder_tells_which_model_it_is(tmp_path):
    def guess(files):
        folder = fill(tmp_path / str(len(list(tmp_path.iterdir()))), files)
        model = store.guess_model(folder)
        return model and model.name

    assert guess({"flow.pt": b"x"}) == DECODER
    assert guess({"config.json": b'{"quantize_vocab_size": 16384}'}) == "glm-4-voice-tokenizer"
    assert guess({"config.json": b'{"unit_vocab_size": 16384}'}) == OMNI
    assert guess({"config.json": b"[]"}) is None
    assert guess({"notes.txt": b"x"}) is None


def test_consent_is_recorded_once_for_what_was_read(models, monkeypatch):
    assert find_consent(EX_OMNI, models) is None
    with pytest.raises(InputError, match="must be accepted first"):
        require_consent(EX_OMNI, models)
    given = record_consent(EX_OMNI, models, "typed 'yes' at a terminal")
    assert require_consent(EX_OMNI, models) == given
    stored = json.loads((models / licence.CONSENTS).read_text())["consents"][REPO]
    assert stored == {
        "summary_sha256": EX_OMNI.summary_sha256,
        "date": given.date,
        "how": "typed 'yes' at a terminal",
    }
    changed = licence.Licence(REPO, "other", ("Another summary.",), needs_consent=True)
    assert find_consent(changed, models) is None
    assert require_consent(known_model(DECODER).licence, models) is None


@pytest.mark.parametrize("consents", ["", "[]", '{"a": 1}', '{"Tencent/Ex-Omni": {"date": 3}}'])
def test_a_damaged_record_of_consents_is_no_consent(models, consents):
    fill(models, {licence.CONSENTS: f'{{"consents": {consents}}}'.encode()})
    if consents == '{"a": 1}':  # of another model
        assert find_consent(EX_OMNI, models) is None
    else:
        with pytest.raises(InputError, match="is damaged"):
            find_consent(EX_OMNI, models)
    assert licence_provenance(models / OMNI)["weights_consent"] == "none recorded"


def test_the_summary_states_the_facts():
    text = " ".join(EX_OMNI.points)
    for fact in ("academic use only", "commercial or production", "European Union"):
        assert fact in text
    assert EX_OMNI.page == f"https://huggingface.co/{REPO}"


def test_clips_carry_the_licence_of_their_weights(models):
    folder = fill(models / OMNI)
    facts = licence_provenance(folder)
    assert facts["weights"] == REPO
    assert facts["weights_licence"].startswith("academic use only")
    assert facts["weights_consent"] == "none recorded"
    given = record_consent(EX_OMNI, models, "test")
    assert licence_provenance(folder)["weights_consent"] == given.date


def test_consent_in_the_models_folder_counts_for_weights_elsewhere(models, tmp_path, monkeypatch):
    monkeypatch.setenv("EXOMNI_MODELS", str(models))
    given = record_consent(EX_OMNI, models, "test")
    assert licence_provenance(tmp_path / "elsewhere" / "x")["weights_consent"] == given.date


def test_a_tiny_model_has_no_licence_to_state(tmp_path):
    folder = fill(tmp_path / "tiny", {"config.json": b'{"exomni_tiny": true}'})
    assert licence_provenance(folder) == {"weights": "tiny random"}


def test_a_pull_needs_consent_before_anything_else(hub, models):
    from exomni_core.omni.weights.pull import plan_pull

    with pytest.raises(InputError, match="must be accepted first"):
        plan_pull(known_model(OMNI), models, endpoint=hub.url)
    assert hub.log == []
    assert not models.exists()


def test_a_pull_fetches_what_is_wanted_and_writes_a_receipt(get, hub, models):
    done = get()
    assert set(done.fetched) == WANTED
    assert done.kept == ()
    folder = models / OMNI
    assert {name: path.read_bytes() for name, path in files_in(folder).items()} == {
        name: FILES[name] for name in WANTED
    }
    assert {path.name for path in folder.glob(".*")} == set()
    receipt = read_receipt(folder)
    assert (receipt.repo, receipt.revision) == (REPO, "c" * 40)
    assert receipt.consent["how"] == "test"
    assert set(states(folder).values()) == {"ok"}
    assert look(known_model(OMNI), models).state == "ready"
    assert locate(OMNI, models) == folder
    assert licence_provenance(folder)["weights_revision"] == "c" * 40


def test_a_second_pull_fetches_nothing(get, hub):
    get()
    hub.log.clear()
    assert get().fetched == ()
    assert hub.fetched() == []


def test_only_damaged_and_missing_files_are_fetched_again(get, hub, models):
    get()
    hub.log.clear()
    shard = models / OMNI / "model-00002-of-00002.safetensors"
    data = bytearray(shard.read_bytes())
    data[-7] ^= 1
    shard.write_bytes(data)
    (models / OMNI / "tokenizer.json").unlink()
    found = states(models / OMNI)
    assert found["model-00002-of-00002.safetensors"] == "damaged"
    assert found["tokenizer.json"] == "missing"
    assert states(models / OMNI, hashes=False)["model-00002-of-00002.safetensors"] == "ok"
    assert set(get().fetched) == {shard.name, "tokenizer.json"}
    assert sorted(hub.fetched()) == [shard.name, "tokenizer.json"]
    assert set(states(models / OMNI).values()) == {"ok"}


def test_a_copy_from_elsewhere_becomes_verified(get, hub, models):
    fill(models / OMNI, {name: FILES[name] for name in WANTED})
    assert get().fetched == ()
    assert look(known_model(OMNI), models).state == "ready"


def test_a_broken_connection_goes_on_where_it_broke(get, hub, models, monkeypatch):
    from huggingface_hub import constants

    name = "model-00002-of-00002.safetensors"
    hub.break_after[name] = 700
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 256)
    get()
    asked = [where for method, path, where in hub.log if method == "GET" and path.endswith(name)]
    assert asked == [None, "bytes=512-"]
    assert set(states(models / OMNI).values()) == {"ok"}


@pytest.mark.parametrize(
    ("start", "asked"),
    [
        (FILES["model-00002-of-00002.safetensors"][:700], ["bytes=700-"]),
        (FILES["model-00002-of-00002.safetensors"], []),
        (b"wrong" * 100, ["bytes=500-", None]),
        (b"longer" * 1000, [None]),
    ],
)
def test_a_killed_pull_goes_on_at_the_byte(get, hub, models, start, asked):
    name = "model-00002-of-00002.safetensors"
    part = f".partial/{hashlib.sha256(FILES[name]).hexdigest()}.part"
    fill(models / OMNI, {part: start})
    assert look(known_model(OMNI), models).detail == "its download was stopped"
    get()
    sent = [where for method, path, where in hub.log if method == "GET" and path.endswith(name)]
    assert sent == asked
    assert set(states(models / OMNI).values()) == {"ok"}
    assert not (models / OMNI / ".partial").exists()


def test_two_pulls_do_not_mix(get, models):
    from huggingface_hub.utils import WeakFileLock

    (models / OMNI / ".partial").mkdir(parents=True)
    lock = WeakFileLock(models / OMNI / ".partial" / "lock")
    with lock, pytest.raises(EnvironmentProblem, match="another pull is running"):
        get()
    get()


def test_wrong_data_is_refused_twice(get, hub, models):
    name = "model-00001-of-00002.safetensors"
    wrong = bytearray(FILES[name])
    wrong[-1] ^= 1
    hub.repos[REPO].served[name] = bytes(wrong)
    with pytest.raises(EnvironmentProblem, match=f"{name} of {REPO} arrived damaged twice"):
        get()
    assert hub.fetched().count(name) == 2
    assert not (models / OMNI / RECEIPT).exists()
    hub.repos[REPO].served.clear()
    get()
    assert set(states(models / OMNI).values()) == {"ok"}


def test_a_small_file_with_wrong_data_is_refused_too(get, hub):
    hub.repos[REPO].served["tokenizer.json"] = b"[]"
    with pytest.raises(EnvironmentProblem, match="arrived damaged twice"):
        get()


def test_a_new_revision_leaves_nothing_of_the_old(get, hub, models):
    get()
    fill(models / OMNI, {"notes.txt": b"mine"})
    newer = {n: d for n, d in FILES.items() if n not in SHARDS and not n.endswith("index.json")}
    hub.repos[REPO] = Repo(newer | {"model.safetensors": safetensors(500)}, commit="d" * 40)
    with pytest.raises(InputError, match=r"has revision c{12} of .* no more.*--accept-new"):
        get()
    assert get(accept_new=True).fetched == ("model.safetensors",)
    assert not any((models / OMNI / name).exists() for name in SHARDS)
    assert (models / OMNI / "notes.txt").exists()
    assert states(models / OMNI)["notes.txt"] == "unknown"
    assert read_receipt(models / OMNI).revision == "d" * 40


def test_foreign_weights_in_the_folder_are_told(get, models):
    fill(models / OMNI, {"other.safetensors": safetensors(5)})
    assert get().extra == ("other.safetensors",)


def test_a_tiny_model_is_not_overwritten(get, hub, models):
    fill(models / OMNI, {"config.json": b'{"exomni_tiny": true}'})
    with pytest.raises(InputError, match="holds a tiny random model"):
        get()
    assert hub.fetched() == []


def test_a_revision_can_be_named(get, hub):
    assert get(revision="c" * 40).plan.revision == "c" * 40
    with pytest.raises(InputError, match="no such revision"):
        get(revision="v9")


def test_models_without_terms_need_no_consent(hub, models):
    from exomni_core.omni.weights.pull import plan_pull, pull

    pull(plan_pull(known_model(DECODER), models, endpoint=hub.url))
    assert read_receipt(models / DECODER).consent is None
    assert set(files_in(models / DECODER)) == {"flow.pt", "hift.pt", "config.yaml"}


@pytest.mark.parametrize(
    "name", ["../evil.json", "/evil.json", "a/../../evil.json", "a\\..\\e.json"]
)
def test_a_hub_can_not_write_outside_the_folder(get, hub, name):
    hub.repos[REPO].files[name] = b"{}"
    with pytest.raises(EnvironmentProblem, match="don't use that hub"):
        get()
    assert hub.fetched() == []


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "GatedRepo", "agreed to its terms"),
        (401, "RepoNotFound", "asks for a login"),
        (500, "", "check the network"),
    ],
)
def test_a_hub_that_refuses(get, hub, status, code, says):
    hub.repos[REPO].status, hub.repos[REPO].error_code = status, code
    with pytest.raises(EnvironmentProblem, match=says) as caught:
        get()
    assert "\n" not in str(caught.value)


def test_no_network(models):
    pytest.importorskip("huggingface_hub")
    from exomni_core.omni.weights.pull import plan_pull

    with pytest.raises(EnvironmentProblem, match="check the network"):
        plan_pull(known_model(DECODER), models, endpoint="http://127.0.0.1:9")


def test_offline_mode_is_named(get, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EnvironmentProblem, match="HF_HUB_OFFLINE is set"):
        get()


def test_a_full_disk_is_told_before_the_download(get, hub, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(EnvironmentProblem, match=r"needs 0\.0 GB, but .* has only 0\.0 GB free"):
        get()
    assert hub.fetched() == []


def test_an_unwritable_place_is_named(hub, tmp_path):
    from exomni_core.omni.weights.pull import plan_pull, pull

    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentProblem, match="can't be written"):
        pull(plan_pull(known_model(DECODER), tmp_path / "file", endpoint=hub.url))


def test_a_release_without_our_files_is_told(get, hub):
    hub.repos[REPO].files = {"film.mp4": b"x"}
    with pytest.raises(EnvironmentProblem, match=r"holds none of the files config\.json"):
        get()


@pytest.mark.parametrize(
    "text", ["", "{}", '{"repo": "a", "revision": "b", "pulled": "c", "files": 3}']
)
def test_a_damaged_receipt_is_told_and_replaced(get, models, text):
    get()
    (models / OMNI / RECEIPT).write_text(text)
    with pytest.raises(InputError, match="can't be read as a receipt"):
        read_receipt(models / OMNI)
    assert look(known_model(OMNI), models).state == "incomplete"
    assert get().fetched == ()
    assert look(known_model(OMNI), models).state == "ready"
