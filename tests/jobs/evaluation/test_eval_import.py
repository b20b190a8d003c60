# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender eval import` and `eval voicebench` on small copies of the benchmarks' layouts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exomni_core.metrics.speech.responses import Response, write_rows
from exomni_core.prompt import PromptLine, read_prompts
from render_jobs.cli.commands import main


def evaluate(*arguments: object, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(main, [str(a) for a in ("eval", *arguments)])
    assert done.exit_code == code, done.output
    if code in (2, 3):
        return {"error": done.output.strip()}
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found


def prompts_of(path: Path) -> dict[str, Any]:
    """What `exorender batch` would read; every line has to be good."""
    lines = read_prompts(path)
    assert all(isinstance(line, PromptLine) for line in lines), lines
    return {line.prompt.id: line.prompt for line in lines if isinstance(line, PromptLine)}


def put(path: Path, content: object = b"RIFF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def unitalker(tmp_path):
    """The release's layout: sounds named from the set's folder, or from the root."""
    root = tmp_path / "unitalker_data_release_V1"
    folder = root / "D6_unitalker_Chinese_speech"

    def item(sound: str, **more: Any) -> dict[str, Any]:
        return {
            "annot_type": "inhouse_blendshape_weight",
            "annot_path": "annot/x.npy",
            "audio_path": sound,
            "id": "001",
            "fps": 30,
            "dataset": "D6",
            **more,
        }

    put(folder / "audio" / "a.wav")
    put(folder / "audio" / "b 2.wav")
    put(root / "D6_unitalker_Chinese_speech" / "wav" / "c.wav")
    put(tmp_path / "secret.wav")
    items = [
        item("audio/a.wav"),
        item("audio/b 2.wav"),
        item("D6_unitalker_Chinese_speech/wav/c.wav"),
        item("audio/gone.wav"),
        item("../../secret.wav"),
        item(str(tmp_path / "secret.wav")),
        {"id": "001"},
    ]
    put(root / "D3_set" / "test.json", {"data": []})
    put(folder / "test.json", {"info": {"id_list": ["001"]}, "data": items})
    return root


def test_a2f_bench_as_turns_of_a_user(unitalker, tmp_path):
    target = tmp_path / "out" / "prompts.jsonl"
    found = evaluate("import", "a2f-bench", unitalker, "-o", target, "--json", code=1)
    assert found["counts"]["n_written"] == 3
    assert found["counts"]["n_failed"] == 4
    reasons = [failure["reason"] for failure in found["failures"]]
    assert "missing" in reasons[0]
    assert all("lies outside" in reason for reason in reasons[1:3])
    assert "no audio_path" in reasons[3]
    prompts = prompts_of(target)
    assert list(prompts) == ["D6-test-a", "D6-test-b-2", "D6-test-c"]
    first = prompts["D6-test-a"]
    assert (first.mode, first.language, first.text) == ("reply", "zh", None)
    assert first.audio is not None
    assert first.audio.read_bytes() == b"RIFF"
    assert first.meta["bench"] == "a2f-bench"
    assert first.meta["split"] == "D6-test"
    assert first.meta["identity"] == "001"
    assert "secret" not in target.read_text()


def test_a2f_bench_with_texts(unitalker, tmp_path):
    texts = put(tmp_path / "texts.csv", "id,text\na,你好。\nb 2,今天天气很好。\n")
    target = tmp_path / "p.jsonl"
    base = ("import", "a2f-bench", unitalker, "-o", target, "--texts", texts, "--json")
    evaluate(*base, code=1)
    assert prompts_of(target)["D6-test-a"].meta["text"] == "你好。"
    evaluate(*base, "--mode", "lipsync", code=1)
    assert prompts_of(target)["D6-test-a"].transcript == "你好。"
    found = evaluate(*base, "--input", "text", code=1)
    assert {p.text for p in prompts_of(target).values()} == {"你好。", "今天天气很好。"}
    assert any("text isn't known" in failure["reason"] for failure in found["failures"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--sets", "D3"), "the language of D3"),
        (("--sets", "D5", "--language", "en"), "has no folder D5_"),
        (("--sets", "D3", "--language", "en"), "holds no list"),
        (("--split", "val"), "val.json can't be read"),
    ],
)
def test_sets_that_are_not_there(unitalker, tmp_path, arguments, says):
    target = tmp_path / "p.jsonl"
    error = evaluate("import", "a2f-bench", unitalker, "-o", target, *arguments, code=2)["error"]
    assert says in error
    assert len(error.splitlines()) == 1
    assert not target.exists()


def test_ex_a2f_en(tmp_path):
    put(tmp_path / "wav" / "1.wav")
    put(
        tmp_path / "table.csv",
        "id,zh,en,wav,voice\n1,你好,Hello there,wav/1.wav,v1\n2,再见,Goodbye,,v1\n"
        "3,谢谢,,wav/1.wav,v1\n4,水,Water,../../etc/passwd,v1\n",
    )
    target = tmp_path / "p.jsonl"
    found = evaluate("import", "ex-a2f-en", tmp_path, "-o", target, "--json", code=1)
    reasons = {f["id"]: f["reason"] for f in found["failures"]}
    assert reasons.keys() == {"2", "3", "4"}
    assert "no sound" in reasons["2"]
    one = prompts_of(target)["1"]
    assert (one.language, one.meta["zh"], one.meta["voice"]) == ("en", "你好", "v1")
    table = [{"id": "1", "zh": "你好", "en": "Hello there"}]
    put(tmp_path / "t.jsonl", "".join(json.dumps(row) + "\n" for row in table))
    base = ("import", "ex-a2f-en", tmp_path / "t.jsonl", "-o", target, "--input", "text", "--json")
    assert evaluate(*base)["counts"]["n_written"] == 1
    assert prompts_of(target)["1"].text == "Hello there"


def test_seed_tts(tmp_path):
    put(tmp_path / "d" / "en" / "meta.lst", "a-1|p|p.wav|Hello.\nb|p|p.wav|Two.|gt.wav\nbad\n")
    put(tmp_path / "d" / "zh" / "meta.lst", "a-1|你|p.wav|你好。\n")
    target = tmp_path / "p.jsonl"
    base = ("import", "seed-tts", tmp_path / "d", "-o", target, "--json")
    found = evaluate(*base, code=1)
    assert found["counts"]["splits"] == {"en": 2, "zh": 1}
    assert found["counts"]["n_renamed"] == 1
    prompts = prompts_of(target)
    assert list(prompts) == ["a-1", "b", "zh-a-1"]  # ids are unique, names are the list's
    assert (prompts["zh-a-1"].mode, prompts["zh-a-1"].text) == ("say", "你好。")
    assert prompts["zh-a-1"].meta["name"] == "a-1"
    assert prompts["b"].meta["gt_wav"] == "gt.wav"
    assert prompts["b"].meta["reference"] == "Two."
    assert evaluate(*base, "--lists", "zh")["counts"]["n"] == 1
    assert "no list 'fr'" in evaluate(*base, "--lists", "fr", code=2)["error"]


@pytest.fixture
def downloaded(tmp_path):
    """Exported rows with sounds beside them."""
    folder = tmp_path / "voicebench" / "sd-qa" / "usa"
    rows = [
        {"file_name": "0.wav", "prompt": "Who wrote it?", "reference": "Me", "id": 7},
        {"file_name": "1.wav", "prompt": "And when?", "reference": "Now", "id": 8},
        {"file_name": "gone.wav", "prompt": "Where?", "reference": "Here", "id": 9},
    ]
    put(folder / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    put(folder / "0.wav")
    put(folder / "1.wav")
    return tmp_path / "voicebench"


def test_voicebench_in_and_out(downloaded, tmp_path):
    target = tmp_path / "p.jsonl"
    found = evaluate(
        "import", "voicebench", downloaded, "--subset", "sd-qa", "-o", target, "--json", code=1
    )
    assert found["counts"]["splits"] == {"usa": 2}
    prompts = prompts_of(target)
    one = prompts["sd-qa-usa-0000"]
    assert one.meta["fields"] == {"prompt": "Who wrote it?", "reference": "Me", "id": 7}
    assert (one.meta["reference"], one.mode, one.text) == ("Me", "reply", None)
    answers = [
        Response(
            "sd-qa-usa-0001", "m", "In May.", extra={"meta": dict(prompts["sd-qa-usa-0001"].meta)}
        )
    ]
    write_rows(answers, tmp_path / "responses.jsonl")
    base = ("voicebench", "write", tmp_path / "responses.jsonl", "--subset", "sd-qa", "--model",
            "ex-omni 1", "-o", tmp_path / "vb", "--json")  # fmt: skip
    written = evaluate(*base)
    path = tmp_path / "vb" / "ex_omni_1-sd-qa-usa-audio.jsonl"
    assert written["files"] == [str(path)]
    assert json.loads(path.read_text()) == {
        "prompt": "And when?",
        "reference": "Now",
        "id": 8,
        "response": "In May.",
    }
    # With the prompts at hand, what was never answered is there too, and told.
    written = evaluate(*base, "--prompts", target)
    assert written["counts"] == {"n": 2, "n_empty": 1}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["id"], row["response"]) for row in rows] == [(7, ""), (8, "In May.")]


def test_commoneval_needs_no_subset(tmp_path):
    folder = tmp_path / "commoneval"
    put(folder / "test.jsonl", json.dumps({"prompt": "Hi?", "audio": "0.flac"}) + "\n")
    put(folder / "0.flac")
    target = tmp_path / "p.jsonl"
    found = evaluate("import", "commoneval", tmp_path, "-o", target, "--json")
    assert found["counts"] == {
        "n": 1,
        "n_written": 1,
        "n_failed": 0,
        "n_renamed": 0,
        "splits": {"test": 1},
    }
    assert list(prompts_of(target)) == ["commoneval-test-0000"]


def test_parquet_files_as_the_data_set_has_them(tmp_path):
    folder = tmp_path / "commoneval"
    path = put(folder / "test-00000-of-00001.parquet", b"PAR1")
    target = tmp_path / "p.jsonl"
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        error = evaluate("import", "commoneval", tmp_path, "-o", target, code=3)["error"]
        assert "pip install 'pyarrow<22'" in error
        return
    sound = {"bytes": b"fLaC....", "path": None}
    pq.write_table(pa.table({"prompt": ["Hi?", ""], "audio": [sound, sound]}), path)
    found = evaluate("import", "commoneval", tmp_path, "-o", target, "--json", code=1)
    assert found["counts"]["n_written"] == 1
    audio = prompts_of(target)["commoneval-test-0000"].audio
    assert audio is not None
    assert audio.read_bytes() == b"fLaC...."
    assert audio.suffix == ".flac"


def test_write_refuses_what_their_scripts_cannot_use(tmp_path):
    meta = {"subset": "sd-qa", "split": "usa", "fields": {"prompt": "Who?"}}
    write_rows([Response("a", "m", "Me.", extra={"meta": meta})], tmp_path / "responses.jsonl")
    base = ("voicebench", "write", tmp_path / "responses.jsonl", "--model", "m", "-o", tmp_path)
    assert "lacks the data set's reference" in evaluate(*base, "--subset", "sd-qa", code=2)["error"]
    assert "belongs to bbh" in evaluate(*base, "--subset", "bbh", code=2)["error"]


CHECKOUT = {
    "api_judge.py": (
        "import json, sys\nsource = sys.argv[sys.argv.index('--src_file') + 1]\n"
        "rows = [json.loads(line) for line in open(source)]\n"
        "with open('result-' + source, 'w') as out:\n"
        "    for row in rows: out.write(json.dumps({**row, 'score': ['4', '5']}) + '\\n')\n"
    ),
    "evaluate.py": (
        "import json, sys\nargs = sys.argv\n"
        "source = args[args.index('--src_file') + 1]\n"
        "rows = [json.loads(line) for line in open(source)]\n"
        "print('judging', len(rows))\n"
        "print({'gpt': 4.5, 'n': len(rows), 'by': args[args.index('--evaluator') + 1]})\n"
    ),
}


def test_a_users_checkout_is_run_and_its_dict_left_alone(tmp_path):
    for name, text in CHECKOUT.items():
        put(tmp_path / "VoiceBench" / name, text)
    row = {"prompt": "Hi?", "response": "Hello."}
    path = put(tmp_path / "vb" / "m-commoneval-test-audio.jsonl", json.dumps(row) + "\n")
    base = ("voicebench", "run", path, "--python", sys.executable, "--json", "--checkout")
    found = evaluate(*base, tmp_path / "VoiceBench")
    wanted = {"gpt": 4.5, "n": 1, "by": "open"}
    assert found["results"][0]["result"] == wanted
    results = sorted((tmp_path / "vb").glob("result-*.json*"))
    table = evaluate("voicebench", "read", *results, "-o", tmp_path / "table", "--json")
    by_name = {row["file"]: row for row in table["rows"]}
    assert by_name["result-m-commoneval-test-audio.json"]["result"] == wanted
    assert by_name["result-m-commoneval-test-audio.jsonl"]["judged"]["mean_score"] == 4.5
    assert by_name["result-m-commoneval-test-audio.json"]["model"] == "m"
    assert '{"gpt": 4.5' in (tmp_path / "table" / "table.md").read_text()
    (tmp_path / "empty").mkdir()
    assert "has no api_judge.py" in evaluate(*base, tmp_path / "empty", code=3)["error"]
    put(tmp_path / "VoiceBench" / "evaluate.py", "raise SystemExit('no key for the judge')")
    failed = evaluate(*base, tmp_path / "VoiceBench", code=1)
    assert "no key for the judge" in failed["failures"][0]["reason"]
