# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender models ...` as a person types it, against a hub on this machine."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time

import pytest
from fake_hub import FakeHub, Repo

OMNI = {
    "LICENSE": b"Every word of it.\n",
    "config.json": b'{"unit_vocab_size": 4}',
    "model.safetensors": (2).to_bytes(8, "little") + b"{}",
    "tokenizer.json": b"{}",
}
DECODER = {"flow.pt": b"PK" + b"f" * 900, "hift.pt": b"\x80" + b"h" * 400, "config.yaml": b"a: 1\n"}
TOKENIZER = {"config.json": b"{}", "model.safetensors": (2).to_bytes(8, "little") + b"{}"}


@pytest.fixture(scope="module")
def hub():
    pytest.importorskip("huggingface_hub")
    repos = {
        "Tencent/Ex-Omni": Repo(OMNI),
        "THUDM/glm-4-voice-decoder": Repo(DECODER),
        "THUDM/glm-4-voice-tokenizer": Repo(TOKENIZER),
    }
    with FakeHub(repos) as running:
        yield running


@pytest.fixture
def environment(hub, tmp_path):
    ours = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    ours |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
    return ours | {"EXOMNI_MODELS": str(tmp_path / "models"), "COLUMNS": "120"}


@pytest.fixture
def run(environment):
    """A function that runs `exorender models` and gives its exit code, stdout and stderr."""

    def run(*arguments: object, code: int = 0) -> tuple[str, str]:
        command = [sys.executable, "-m", "render_jobs.cli", "models", *map(str, arguments)]
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout, done.stderr

    return run


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


def test_from_nothing_to_ready(run, models, hub):
    listed, _ = run("list")
    assert f"in {models}:" in listed
    assert listed.count("absent") == 3
    assert "exorender models pull" in listed
    done, progress = run("pull", "--accept-licence")
    assert done.splitlines() == [
        f"ex-omni is ready in {models / 'ex-omni'} (4 fetched)",
        f"glm-4-voice-decoder is ready in {models / 'glm-4-voice-decoder'} (3 fetched)",
        f"glm-4-voice-tokenizer is ready in {models / 'glm-4-voice-tokenizer'} (2 fetched)",
    ]
    assert "[1/4] fetching" in progress
    assert progress.count("the receipt now pins revision cccccccccccc") == 3
    facts = json.loads(run("list", "--json")[0])
    assert [one["state"] for one in facts["models"]] == ["ready", "ready", "ready"]
    assert facts["models"][0]["bytes"] == sum(map(len, OMNI.values()))
    checked, _ = run("check")
    assert checked.count("\n  ok ") == 9
    assert "All 4 files are as they were downloaded." in checked
    again = json.loads(run("pull", "--json")[0])["models"]
    assert [(one["fetched"], len(one["kept"])) for one in again] == [([], 4), ([], 3), ([], 2)]
    assert {one["pinned_by"] for one in again} == {"receipt"}


def test_files_that_changed_are_refused_until_they_are_accepted(run, hub, monkeypatch):
    run("pull", "glm-4-voice-decoder")
    _, notes = run("pull", "glm-4-voice-decoder")
    assert "Note:" not in notes
    changed = Repo(DECODER | {"config.yaml": b"a: 2\n"})
    monkeypatch.setitem(hub.repos, "THUDM/glm-4-voice-decoder", changed)
    _, error = run("pull", "glm-4-voice-decoder", "--quiet", code=2)
    assert "config.yaml has another hash" in error
    assert error.count("\n") == 1
    done = json.loads(run("pull", "glm-4-voice-decoder", "--accept-new", "--json")[0])
    assert done["models"][0]["fetched"] == ["config.yaml"]


def test_damage_is_found_and_mended(run, models):
    run("pull", "glm-4-voice-decoder", "--quiet")
    (models / "glm-4-voice-decoder" / "flow.pt").write_bytes(b"PK" + b"g" * 900)
    (models / "glm-4-voice-decoder" / "hift.pt").unlink()
    checked, _ = run("check", code=1)
    assert "damaged      902 B  flow.pt  differs from what was downloaded" in checked
    assert "missing      401 B  hift.pt" in checked
    assert "2 of 3 files" in checked
    assert "exorender models pull glm-4-voice-decoder" in checked
    report = json.loads(run("check", "--json", code=1)[0])["models"][0]
    assert report["good"] is False
    assert {one["state"] for one in report["files"]} == {"ok", "missing", "damaged"}
    assert "hift.pt is missing" in run("list")[0]
    run("pull", "glm-4-voice-decoder")
    run("check")


def test_a_folder_of_the_users_own(run, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, data in OMNI.items():
        (folder / name).write_bytes(data)
    checked, _ = run("check", folder)
    assert "ex-omni in" in checked
    assert "4 of 4 files can't be verified" in checked
    (folder / "model.safetensors").write_bytes(OMNI["model.safetensors"][:-1])
    assert "no safetensors header" in run("check", folder, code=1)[0]


def test_no_licence_no_download(run, models, hub):
    hub.log.clear()
    _, error = run("pull", "ex-omni", code=2)
    assert "must be accepted first" in error
    assert "--accept-licence" in error
    answer = json.loads(run("pull", "--json", code=2)[0])
    assert answer["exit_code"] == 2
    assert "must be accepted" in answer["error"]
    assert hub.log == []
    assert not models.exists()


def test_the_licence_is_shown_and_accepted(run, models):
    shown, _ = run("licence")
    for fact in ("academic use only", "European Union", "https://huggingface.co/Tencent/Ex-Omni"):
        assert fact in shown
    assert "Not accepted yet" in shown
    assert json.loads(run("licence", "--json")[0])["accepted"] is None
    assert not models.exists()
    assert "Accepted on 2" in run("licence", "--accept-licence")[0]
    run("pull", "ex-omni")
    shown, _ = run("licence")
    assert "Every word of it." in shown
    assert "(--accept-licence)" in shown
    assert json.loads(run("licence", "--json")[0])["file"] == str(models / "ex-omni" / "LICENSE")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 2), ("\x04", 130)])
def test_a_terminal_asks(environment, models, answer, code):
    main, other = os.openpty()
    command = [sys.executable, "-m", "render_jobs.cli", "models", "pull", "ex-omni"]
    process = subprocess.Popen(command, env=environment, stdin=other, stdout=other, stderr=other)
    os.close(other)
    output = read_until(main, "keep to it:")
    os.write(main, answer.encode() + (b"" if answer == "\x04" else b"\n"))
    output += read_until(main, None)
    assert process.wait(30) == code, output
    assert "academic use only" in output
    assert (models / "ex-omni" / "config.json").exists() == (code == 0)
    consents = models / "consents.json"
    if code == 0:
        assert json.loads(consents.read_text())["consents"]["Tencent/Ex-Omni"]["how"].startswith(
            "typed"
        )
    else:
        assert not consents.exists()


def read_until(terminal: int, end: str | None) -> str:
    text, limit_s = "", time.monotonic() + 30
    while end is None or end not in text:
        assert time.monotonic() < limit_s, text
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the other side was closed
                break
            if not data:
                break
            text += data.decode()
    return text


def test_a_stopped_pull_goes_on(environment, run, models, hub):
    import threading

    hub.slow["flow.pt"] = threading.Event()
    hub.break_after["flow.pt"] = 500  # half of it, then nothing
    hub.log.clear()
    command = [sys.executable, "-m", "render_jobs.cli", "models", "pull", "glm-4-voice-decoder"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    limit_s = time.monotonic() + 30
    while "flow.pt" not in hub.fetched():
        assert time.monotonic() < limit_s
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped. Complete files are kept" in error
    hub.slow.pop("flow.pt").set()
    assert "hift.pt" in {path.name for path in (models / "glm-4-voice-decoder").iterdir()}
    facts = json.loads(run("list", "--json")[0])["models"][1]
    assert facts["state"] == "incomplete"
    done = json.loads(run("pull", "glm-4-voice-decoder", "--json")[0])["models"][0]
    assert done["fetched"] == ["flow.pt"]
    names = sorted(p.name for p in (models / "glm-4-voice-decoder").iterdir())
    assert names == ["config.yaml", "exomni-receipt.json", "flow.pt", "hift.pt"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("pull", "whisper"), 2, "the choice is ex-omni"),
        (("pull", "--revision", "v1"), 2, "--revision needs exactly one MODEL"),
        (("pull", "ex-omni", "--revision", "v1", "--accept-new"), 2, "exclude each other"),
        (("check",), 3, "exorender models pull"),
        (("check", "ex-omni"), 3, "exorender models pull ex-omni"),
        (("check", "nowhere"), 2, "there is no folder 'nowhere'"),
        (("licence", "whisper"), 2, "the choice is ex-omni"),
        (("licence", "--accept-licence", "--models", "/proc/x"), 2, "can't be written"),
        (("make-tiny", __file__), 2, "is not empty"),
    ],
)
def test_errors_are_one_sentence(run, arguments, code, says):
    _, error = run(*arguments, code=code)
    assert says in error
    assert error.count("\n") == 1


def test_a_model_that_the_hub_lacks(run, hub, monkeypatch):
    monkeypatch.delitem(hub.repos, "THUDM/glm-4-voice-tokenizer")
    _, error = run("pull", "glm-4-voice-tokenizer", code=3)
    assert "doesn't give out THUDM/glm-4-voice-tokenizer" in error
    assert error.count("\n") == 1


def test_without_the_hubs_client_the_way_to_get_it_is_told(environment, tmp_path):
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError('not here')")
    command = [sys.executable, "-m", "render_jobs.cli", "models", "pull", "glm-4-voice-decoder"]
    path = os.pathsep.join([str(tmp_path), *filter(None, [environment.get("PYTHONPATH")])])
    done = subprocess.run(
        command, env=environment | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "pip install '.[omni]'" in done.stderr


@pytest.mark.slow
def test_a_tiny_model_is_made_and_listed(run, tmp_path, models):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    assert f"EXOMNI_MODELS={models}" in run("make-tiny", models)[0]
    facts = json.loads(run("list", "--json")[0])["models"]
    assert {one["state"] for one in facts} == {"unverified"}
    assert json.loads(run("make-tiny", tmp_path / "b", "--seed", 3, "--json")[0])["seed"] == 3
    run("check")


def test_a_tiny_model_is_named_so(run, models):
    (models / "ex-omni").mkdir(parents=True)
    (models / "ex-omni" / "config.json").write_text('{"exomni_tiny": true}')
    assert "tiny random models" in run("list")[0]


@pytest.mark.parametrize("verb", ["pull", "list", "check", "licence", "make-tiny"])
def test_every_verb_has_help(run, verb):
    assert "Usage:" in run(verb, "--help")[0]
