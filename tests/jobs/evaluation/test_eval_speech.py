# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender eval tts|consistency|responses` with a fake recogniser, on clips of the engine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exomni_core.errors import InputError
from exomni_core.metrics.speech.responses import (
    Response,
    read_responses,
    write_rows,
)
from exomni_core.metrics.speech.seedtts import BadUtterance, Utterance, read_list
from render_jobs.cli.commands import main
from render_jobs.evaluation.recogniser import Recogniser, Sound, transcribe

pytest.importorskip("jiwer")

FAKE = """
import json, pathlib, sys, time
calls = pathlib.Path(__file__).with_name("calls.txt")
def say(name):
    with open(calls, "a") as handle:
        handle.write(name + "\\n")
    words = json.loads(pathlib.Path(__file__).with_name("words.json").read_text())
    return words.get(name, "")
if sys.argv[1] == "--list":
    for line in open(sys.argv[2]):
        item = json.loads(line)
        if item["id"] == "broken":
            print(json.dumps({"id": "broken", "error": "no sound in it"}), flush=True)
            continue
        if item["id"] == "stop":
            sys.exit(3)
        print("loading", flush=True)
        print(json.dumps({"id": item["id"], "text": say(item["id"])}), flush=True)
else:
    name = pathlib.Path(sys.argv[1]).stem
    if name == "slow":
        time.sleep(30)
    if name == "broken":
        sys.exit("out of words")
    print(say(name))
"""


@pytest.fixture
def fake(tmp_path):
    """A recogniser that knows some files by name and writes down whom it was asked for."""

    def make(words: dict[str, str]) -> Path:
        folder = tmp_path / "recogniser"
        folder.mkdir(exist_ok=True)
        (folder / "asr.py").write_text(FAKE)
        (folder / "words.json").write_text(json.dumps(words))
        return folder / "asr.py"

    return make


def sounds(folder: Path, *names: str) -> list[Sound]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.wav").write_bytes(name.encode())
    return [Sound(name, folder / f"{name}.wav", "en") for name in names]


def evaluate(*arguments: object, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(main, [str(a) for a in ("eval", *arguments)])
    assert done.exit_code == code, done.output
    if code == 2:
        return {"error": done.output.strip()}
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found


def test_a_recogniser_per_file(fake, tmp_path):
    script = fake({"one": "hello  world", "two": '{"text": "as json"}'})
    listed = sounds(tmp_path / "w", "one", "two", "broken", "slow")
    asr = Recogniser(f"{{python}} {script} {{audio}}", timeout_s=1, cache=tmp_path / "hyp.jsonl")
    heard = transcribe(listed, asr)
    assert heard.texts == {"one": "hello world", "two": "as json"}
    assert "ended with code 1; it said: out of words" in heard.failed["broken"]
    assert heard.failed["slow"] == "the recogniser took more than 1 s"
    again = transcribe(listed[:2], asr)
    assert (again.texts, again.reused) == (heard.texts, 2)
    assert (script.parent / "calls.txt").read_text().split() == ["one", "two"]


def test_transcripts_are_kept_for_the_same_sound_and_command_only(fake, tmp_path):
    script = fake({"one": "hello"})
    listed = sounds(tmp_path / "w", "one")
    cache = tmp_path / "hyp.jsonl"
    asr = Recogniser(f"{{python}} {script} {{audio}}", cache=cache)
    transcribe(listed, asr)
    with open(cache, "a") as handle:
        handle.write('{"id": "tw')  # a kill
    listed[0].path.write_bytes(b"other sound")
    assert transcribe(listed, asr).reused == 0
    assert transcribe(listed, asr).reused == 1
    other = Recogniser(f"{{python}} {script} {{audio}} ", cache=cache)
    assert transcribe(listed, other).reused == 0


def test_a_recogniser_for_all_files_at_once(fake, tmp_path):
    script = fake({"one": "a", "two": "b", "three": "c"})
    listed = sounds(tmp_path / "w", "one", "broken", "two", "stop", "three")
    asr = Recogniser(f"{{python}} {script} --list {{list}}", cache=tmp_path / "hyp.jsonl")
    heard = transcribe(listed, asr)
    assert heard.texts == {"one": "a", "two": "b"}
    assert heard.failed["broken"] == "no sound in it"
    assert "ended with code 3 before this file" in heard.failed["three"]
    assert heard.failed.keys() == {"broken", "stop", "three"}
    rest = transcribe([s for s in listed if s.id != "stop"], asr)
    assert (rest.texts, rest.reused) == ({"one": "a", "two": "b", "three": "c"}, 2)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("whisper", "needs {audio}"),
        ("whisper {audio} {list}", "needs {audio}"),
        ('whisper "{audio}', "can't be read as a command"),
        ("/no/such/program {audio}", "can't be started"),
    ],
)
def test_commands_that_cannot_be_used(command, says, tmp_path):
    with pytest.raises(InputError, match=says):
        transcribe(sounds(tmp_path / "w", "one"), Recogniser(command))


def test_lists_of_two_to_five_fields(tmp_path):
    path = tmp_path / "meta.lst"
    path.write_text(
        "a|Two fields.\nb.wav|Three fields.|p.wav\nc|prompt|p.wav|Four fields.\n"
        "d|prompt|p.wav|Five fields.|gt.wav\n\ne\nf|a|b|c|d|e\n../g|Out.\na|Again.\nh|p|p.wav| \n"
    )
    rows = read_list(path)
    assert [row for row in rows if isinstance(row, Utterance)] == [
        Utterance("a", "Two fields."),
        Utterance("b", "Three fields.", prompt_wav="p.wav"),
        Utterance("c", "Four fields.", "prompt", "p.wav"),
        Utterance("d", "Five fields.", "prompt", "p.wav", "gt.wav"),
    ]
    reasons = [row.reason for row in rows if isinstance(row, BadUtterance)]
    assert len(reasons) == 5
    assert "has 1 fields" in reasons[0]
    assert "must be a file name" in reasons[2]
    assert "already used in line 1" in reasons[3]


def test_eval_tts(fake, tmp_path):
    (tmp_path / "en").mkdir()
    meta = tmp_path / "en" / "meta.lst"
    meta.write_text(
        "one|p|p.wav|Hello, world.\ntwo|p|p.wav|It’s a well-known fact.\n"
        "gone|p|p.wav|Never made.\nbroken|p|p.wav|Never heard.\nbad line\n"
    )
    script = fake({"one": "hello world", "two": "its a well known fact"})
    sounds(tmp_path / "w", "one", "two", "broken")
    asr = f"{{python}} {script} {{audio}}"
    found = evaluate(
        "tts",
        "--meta",
        meta,
        "--wav-dir",
        tmp_path / "w",
        "--asr",
        asr,
        "--json",
        "-o",
        tmp_path / "out",
        code=1,
    )
    group = found["groups"]["en"]
    assert (group["error_rate"], group["error_rate_with_missing"]) == (25.0, 62.5)
    assert found["counts"] == {"n": 5, "n_scored": 2, "n_missing": 2, "n_failed": 3}
    reasons = {f["id"]: f["reason"] for f in found["failures"]}
    assert "there is no gone.wav" in reasons["gone"]
    assert "out of words" in reasons["broken"]
    assert "has 1 fields" in reasons["bad line"]
    assert found["settings"]["asr"] == asr
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| en (WER) | 4 | 2 | 2 | 25.00 [0.000, 50.00] | 62.50 |" in text
    kept = tmp_path / "out" / "hyp.jsonl"
    again = evaluate("tts", "--meta", meta, "--hyp", kept, "--json", code=1)
    assert again["groups"]["en"]["error_rate"] == 25.0
    assert len((script.parent / "calls.txt").read_text().split()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--hyp", "hyp.jsonl", "--asr", "x {audio}"), "--hyp FILE, or a recogniser"),
        ((), "--hyp FILE, or a recogniser"),
        (("--asr", "x {audio}"), "add --wav-dir"),
        (("--hyp", "bad.jsonl"), "line 1: a transcript is"),
        (("--hyp", "nojson.jsonl"), "line 1 is no JSON"),
    ],
)
def test_bad_input_of_tts_is_one_sentence(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("en").mkdir()
    Path("en/meta.lst").write_text("one|Hello.\n")
    Path("hyp.jsonl").write_text('{"id": "one", "text": "hello"}\n')
    Path("bad.jsonl").write_text('{"id": "one"}\n')
    Path("nojson.jsonl").write_text("one hello\n")
    error = evaluate("tts", "--meta", "en/meta.lst", *arguments, code=2)["error"]
    assert says in error
    assert len(error.splitlines()) == 1


def test_a_list_that_does_not_tell_its_language(tmp_path):
    (tmp_path / "meta.lst").write_text("one|Hello.\n")
    (tmp_path / "hyp.jsonl").write_text('{"id": "one", "text": "hello"}\n')
    base = ("tts", "--meta", tmp_path / "meta.lst", "--hyp", tmp_path / "hyp.jsonl")
    assert "add --language" in evaluate(*base, code=2)["error"]
    assert evaluate(*base, "--language", "en", "--json")["groups"]["en"]["error_rate"] == 0.0


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A batch run of three prompts, of which one fails."""
    folder = tmp_path_factory.mktemp("batch")
    lines = [
        {"id": "one", "text": "The quick brown fox.", "language": "en", "meta": {"split": "x"}},
        {"id": "two", "text": "今天天气很好。", "language": "zh"},
        {"id": "bad", "text": "Hello", "language": "xx-nowhere"},
    ]
    (folder / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["batch", str(folder / "p.jsonl"), "--no-video", "--quiet", "--workers", "1"]
    done = CliRunner().invoke(main, [*arguments, "--out", str(folder / "run")])
    assert done.exit_code == 1, done.output
    assert (folder / "run" / "manifest.jsonl").is_file(), done.output
    return folder / "run"


def test_responses_of_a_run(run, tmp_path):
    target = tmp_path / "responses.jsonl"
    found = evaluate("responses", run, "-o", target, "--system", "ours", "--json")
    assert found["counts"] == {"n": 3, "n_answers": 2, "n_failed": 1}
    rows = {row.id: row for row in read_responses(target)}
    one = rows["one"]
    assert (one.system, one.text, one.lang) == ("ours", "The quick brown fox.", "en")
    assert one.extra == {"meta": {"split": "x"}}
    assert (target.parent / str(one.audio)).read_bytes()[:4] == b"RIFF"
    assert (target.parent / str(one.face)).resolve() == (run / "clips" / "one.clip").resolve()
    assert rows["bad"].error
    face = evaluate("sync", target, "--json", code=1)
    assert face["counts"] == {"n": 3, "n_scored": 2, "n_failed": 1}


@pytest.mark.parametrize("at_once", [False, True])
def test_consistency_of_a_run_and_of_its_responses(run, fake, tmp_path, at_once):
    script = fake({"one": "the quick brown", "two": "今天天气很好"})
    how = "--list {list}" if at_once else "{audio}"
    asr = f"{{python}} {script} {how}"
    out = tmp_path / "out"
    found = evaluate("consistency", run, "--asr", asr, "--json", "-o", out, code=1)
    groups = {(g["language"], g["bucket_s"]): g for g in found["groups"]}
    assert groups["en", "0-60"]["error_rate"] == 25.0
    assert groups["en", "0-60"]["tail_share"] == 0.25
    assert groups["zh", "0-60"]["error_rate"] == 0.0
    assert found["counts"]["n_failed"] == 1
    assert "bad" in {f["id"] for f in found["failures"]}
    target = tmp_path / "responses.jsonl"
    evaluate("responses", run, "-o", target, "--json")
    again = evaluate("consistency", target, "--hyp", out / "hyp.jsonl", "--json", code=1)
    assert again["groups"] == found["groups"]


def test_responses_keep_unknown_keys(tmp_path):
    path = tmp_path / "responses.jsonl"
    row = {"id": "a", "system": "s", "text": "t", "truncated": False, "colour": [1, "x"]}
    path.write_text(json.dumps(row) + "\n")
    read = read_responses(path)
    assert read[0].extra == {"colour": [1, "x"]}
    write_rows(read, tmp_path / "again.jsonl")
    assert json.loads((tmp_path / "again.jsonl").read_text()) == row


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("[1]\n", "line 1 is no JSON object"),
        ('{"text": "x"}\n', "line 1 has no id"),
        ('{"id": "a", "duration_s": "long"}\n', "duration_s must be a number"),
        ('{"id": "a", "text": 5}\n', "text must be a text"),
        ('{"id": "a"}\n{"id": "a"}\n', "'a' twice"),
        ('{"id": "a", "system": "x"}\n{"id": "b", "system": "y"}\n', "choose one: --system"),
    ],
)
def test_bad_responses_are_one_sentence(text, says, tmp_path):
    path = tmp_path / "responses.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_responses(path)


def test_an_id_leads_nowhere(run, fake, tmp_path):
    row = {
        "id": "../../../up",
        "text": "The quick brown fox.",
        "face": str(run / "clips" / "one.clip"),
        "duration_s": 1.0,
    }
    (tmp_path / "responses.jsonl").write_text(json.dumps(row) + "\n")
    script = fake({})
    found = evaluate("consistency", tmp_path, "--asr", f"{{python}} {script} {{audio}}", "--json")
    assert found["counts"]["n_scored"] == 1
    assert len((script.parent / "calls.txt").read_text().strip()) == 24


def test_transcripts_of_other_things_are_told(tmp_path):
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "meta.lst").write_text("one|Hello.\n")
    lines = [{"id": name, "text": "hello"} for name in ("one", "two")]
    (tmp_path / "hyp.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = evaluate(
        "tts", "--meta", tmp_path / "en" / "meta.lst", "--hyp", tmp_path / "hyp.jsonl", "--json"
    )
    assert "1 transcripts in" in found["settings"]["notes"][0]


def test_an_answer_without_text_or_sound_is_told(fake, tmp_path):
    rows = [Response("a", text=""), Response("b", text="Hi"), Response("c", error="no GPU")]
    write_rows(rows, tmp_path / "responses.jsonl")
    asr = f"{{python}} {fake({})} {{audio}}"
    found = evaluate("consistency", tmp_path, "--asr", asr, "--json", code=1)
    assert {f["id"]: f["reason"] for f in found["failures"]} == {
        "a": "its answer has no text",
        "b": "it has no sound",
        "c": "no GPU",
    }
    assert found["counts"]["n_unknown_length"] == 3


def test_drivers_print_json_lines_and_survive_a_bad_file(tmp_path, repo):
    """The scripts for real recognisers, with a stand-in for FunASR."""
    import subprocess

    (tmp_path / "funasr.py").write_text(
        "class AutoModel:\n"
        "    def __init__(self, **k): print('downloading', k['model'])\n"
        "    def generate(self, input, **k):\n"
        "        if 'bad' in input: raise ValueError('no sound')\n"
        "        return [{'text': '你好'}]\n"
    )
    (tmp_path / "list.jsonl").write_text(
        '{"id": "a", "audio": "a.wav"}\n{"id": "b", "audio": "bad.wav"}\n'
    )
    done = subprocess.run(
        [
            sys.executable,
            str(repo / "render_jobs/outside/asr_paraformer.py"),
            "--list",
            str(tmp_path / "list.jsonl"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows == [{"id": "a", "text": "你好"}, {"id": "b", "error": "ValueError: no sound"}]
