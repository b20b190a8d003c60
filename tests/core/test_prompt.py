# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts files: good lines become prompts; a bad one, a sentence with file, line and field."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from exomni_core.errors import InputError
from exomni_core.prompt import (
    MAX_TEXT_CHARACTERS,
    BadLine,
    Prompt,
    PromptLine,
    check_id,
    parse_prompt,
    read_prompts,
)


def write(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "prompts.jsonl"
    path.write_bytes(b"\n".join(s if isinstance(s, bytes) else s.encode() for s in lines) + b"\n")
    return path


def read_one(folder: Path, line: str | bytes) -> PromptLine | BadLine:
    entries = read_prompts(write(folder, '{"id": "other", "text": "x"}', line))
    assert len(entries) == 2
    assert entries[0].prompt.id == "other"  # a bad line harms no other
    return entries[1]


class TestGood:
    def test_all_fields(self, tmp_path):
        line = {
            "id": "a-1", "mode": "lipsync", "audio": "in/a.wav", "transcript": "Hi.",
            "language": "en_GB", "voice": "v", "rate": 2, "style": "lively", "seed": 0,
            "meta": {"k": [1, None]},
        }  # fmt: skip
        entry = read_one(tmp_path, json.dumps(line))
        assert entry == PromptLine(
            2,
            Prompt(
                "a-1",
                "lipsync",
                None,
                tmp_path / "in/a.wav",
                "Hi.",
                "en-gb",
                "v",
                2.0,
                "lively",
                0,
                {"k": [1, None]},
            ),
        )
        assert entry.prompt.to_json()["audio"] == "a.wav"  # no path leaks
        assert entry.prompt.to_json()["seed"] == 0

    @pytest.mark.parametrize(
        ("line", "mode"),
        [
            ({"text": "x"}, "say"),
            ({"audio": "a.wav"}, "lipsync"),
            ({"text": "x", "mode": "reply"}, "reply"),
            ({"audio": "a.wav", "mode": "reply"}, "reply"),
            ({"text": "x", "mode": None}, "say"),
        ],
    )
    def test_mode_follows_from_what_is_given(self, line, mode):
        assert parse_prompt({"id": "a"} | line, Path()).mode == mode

    def test_null_counts_as_left_out(self):
        names = (
            "audio",
            "mode",
            "transcript",
            "language",
            "voice",
            "rate",
            "style",
            "seed",
            "meta",
        )
        line = {"id": "a", "text": "x"}
        assert parse_prompt(line | dict.fromkeys(names), Path()) == parse_prompt(line, Path())

    @pytest.mark.parametrize(
        "raw",
        [
            b'\xef\xbb\xbf{"id": "a", "text": "x"}\n',
            b'{"id": "a", "text": "x"}\r\n\r\n',
            b'\n\n  {"id": "a", "text": "x"}  \n\t\n',
            b'{"id": "a", "text": "x"}',
        ],
    )
    def test_editors_habits(self, tmp_path, raw):
        path = tmp_path / "p.jsonl"
        path.write_bytes(raw)
        (entry,) = read_prompts(path)
        assert isinstance(entry, PromptLine)
        assert entry.prompt.id == "a"

    def test_line_numbers_count_blank_lines(self, tmp_path):
        entries = read_prompts(write(tmp_path, "", '{"id": "a", "text": "x"}', "", "oops"))
        assert [entry.line for entry in entries] == [2, 4]

    @pytest.mark.parametrize(
        "value", ["a", "A.b-c_1", "世界", "مرحبا", "नमस्ते", "e\u0301t\u00e9", "1", "长" * 50, "con1"]
    )
    def test_ids_of_any_script(self, value):
        assert check_id(value).encode().decode() == check_id(value)

    def test_ids_are_composed(self):
        assert check_id("e\u0301") == "\u00e9"


class TestFiles:
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-16-be"])
    def test_other_encodings_are_told(self, tmp_path, encoding):
        path = tmp_path / "p.jsonl"
        text = '{"id": "a", "text": "x"}\n{"id": "b", "text": "ü"}\n'
        bom = "" if encoding in ("utf-16", "utf-32") else "\ufeff"
        path.write_bytes((bom + text).encode(encoding))
        with pytest.raises(InputError, match="save it as UTF-8"):
            read_prompts(path)

    @pytest.mark.parametrize("raw", [b"", b"\n \n", b"\xef\xbb\xbf"])
    def test_empty_files(self, tmp_path, raw):
        path = tmp_path / "p.jsonl"
        path.write_bytes(raw)
        with pytest.raises(InputError, match="holds no prompts"):
            read_prompts(path)

    @pytest.mark.parametrize("name", ["none.jsonl", ".", "a\0b"])
    def test_unreadable_files(self, tmp_path, name):
        with pytest.raises(InputError, match="can't be read"):
            read_prompts(tmp_path / name)

    def test_a_huge_file_is_not_read_to_its_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr("exomni_core.prompt.MAX_FILE_BYTES", 1 << 20)
        (tmp_path / "p.jsonl").write_bytes(bytes((1 << 20) + 1))
        with pytest.raises(InputError, match="larger than 1 MB"):
            read_prompts(tmp_path / "p.jsonl")

    def test_an_endless_file_is_no_regular_one(self):
        with pytest.raises(InputError, match="not a regular file"):
            read_prompts("/dev/zero")


BAD_VALUES = [
    ("id", None), ("id", ""), ("id", 7), ("id", ["a"]), ("id", True), ("id", "../x"),
    ("id", "a/b"), ("id", "a\\b"), ("id", ".x"), ("id", "x."), ("id", "."), ("id", ".."),
    ("id", "CON"), ("id", "con.txt"), ("id", "Lpt9"), ("id", "COM\u00b9"), ("id", "a b"),
    ("id", "a\nb"), ("id", "a\0b"), ("id", "\ud800"), ("id", "x" * 300), ("id", "长" * 51),
    ("id", "a:b"), ("id", "a\u202eb"), ("id", "a\ufeff"), ("id", "😀"), ("id", " a"), ("id", "$x"),
    ("text", 5), ("text", ["x"]), ("text", {}), ("text", True), ("text", ""), ("text", " \n "),
    ("text", "a\0b"), ("text", "\ud800"), ("text", "x" * (MAX_TEXT_CHARACTERS + 1)),
    ("audio", 5), ("audio", ""), ("audio", "a\0.wav"), ("audio", "\udfff.wav"),
    ("audio", "both.wav"),
    ("transcript", "without audio"), ("transcript", 3), ("transcript", [["deep"] * 9] * 9),
    ("mode", "sing"), ("mode", 1), ("mode", ""), ("mode", ["say"]), ("mode", {"say": 1}),
    ("language", "english please"), ("language", 7), ("language", ""), ("language", "e"),
    ("language", "en\n"), ("language", "../en"), ("language", "a" * 9_999), ("language", ["en"]),
    ("language", "en" + "-abc" * 5_000),
    ("voice", 1), ("voice", ""), ("voice", "v\0"), ("voice", []),
    ("rate", "1"), ("rate", True), ("rate", 0.49), ("rate", 2.51), ("rate", 0), ("rate", -1),
    ("rate", 10**400), ("rate", 1e308), ("rate", [1]), ("rate", {}),
    ("style", "wild"), ("style", 1), ("style", ["quiet"]), ("style", "Quiet"), ("style", ""),
    ("seed", True), ("seed", 1.0), ("seed", -1), ("seed", "1"), ("seed", 2**63), ("seed", 10**400),
    ("seed", [1]), ("seed", 1e3),
    ("meta", []), ("meta", "x"), ("meta", 1), ("meta", {"x": "\ud800"}), ("meta", True),
]  # fmt: skip


class TestBadLines:
    @pytest.mark.parametrize(("field", "value"), BAD_VALUES, ids=lambda v: repr(v)[:24])
    def test_each_wrong_value_names_file_line_and_field(self, tmp_path, field, value):
        line = {"id": "good", "text": "hello"} | {field: value}
        entry = read_one(tmp_path, json.dumps(line))
        assert isinstance(entry, BadLine), entry
        assert entry.field == field
        assert entry.error.startswith(f"prompts.jsonl:2: {field}: ")
        assert len(entry.error) < 300
        assert "\n" not in entry.error
        entry.error.encode()  # can be written to a log
        assert entry.id == (None if field == "id" else "good")

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("{", "not valid JSON"),
            ("not json", "not valid JSON"),
            ('{"id": "a", "text": "x"} extra', "Extra data"),
            ('{"id": "a", "text": "x",}', "not valid JSON"),
            ("[]", "not a JSON object"),
            ("null", "not a JSON object"),
            ('"text"', "not a JSON object"),
            ("7", "not a JSON object"),
            ("[" * 100_000, "simplify"),
            ('{"id": "a", "text": "x", "seed": ' + "9" * 5_000 + "}", "simplify"),
            ('{"id": "a", "text": "x", "rate": NaN}', "NaN is not a JSON number"),
            ('{"id": "a", "text": "x", "meta": {"a": -Infinity}}', "-Infinity is not"),
            ('{"id": "a", "text": "x", "rate": 1e999}', "rate: is inf"),
            ('{"id": "a", "text": "x", "meta": {"a": 1e999}}', "meta: holds data"),
            ('{"id": "a", "text": "x", "text": "y"}', "'text' stands twice"),
            ('{"id": "a", "text": "x", "meta": {"k": 1, "k": 2}}', "'k' stands twice"),
            ('{"id": "a", "text": "x", "txet": 1}', "unknown field 'txet'"),
            ('{"id": "a", "text": "x", "' + "k" * 10_000 + '": 1}', "unknown field 'kkk"),
            ('{"id": "a", "text": "x", "\\ud800": 1}', "unknown field"),
            ('{"id": "a"}', "needs a text"),
            ('{"id": "a", "mode": "lipsync", "text": "x"}', "needs an audio file"),
            ('{"id": "a", "mode": "reply"}', "needs a text or an audio"),
            ('{"id": "a", "mode": "say", "audio": "a.wav"}', "needs a text"),
            ("{}", "id"),
            (b'{"id": "a", "text": "\xff"}', "not UTF-8"),
            (b'{"id": "a", "text": "\xc3"}', "not UTF-8"),
            (b"\xef\xbb\xbf{}", "not valid JSON"),
            (b'{"id": "a", "text": "a\0b"}', "not valid JSON"),
            (b"\0\0\0", "not valid JSON"),
            (b'{"id": "a", "text": "' + b"x" * (1 << 20) + b'"}', "longer than"),
        ],
        ids=lambda v: repr(v)[:30],
    )
    def test_wrong_lines(self, tmp_path, line, words):
        entry = read_one(tmp_path, line)
        assert isinstance(entry, BadLine), entry
        assert words in entry.error
        assert entry.error.startswith("prompts.jsonl:2: ")
        assert len(entry.error) < 300
        entry.error.encode()

    @pytest.mark.parametrize(
        ("first", "second"),
        [("a", "a"), ("Abc", "aBC"), ("\u00e9", "e\u0301"), ("STRASSE", "straße"), ("Ａ", "ａ")],
    )
    def test_ids_that_a_file_system_may_confuse(self, tmp_path, first, second):
        rows = [json.dumps({"id": name, "text": "x"}) for name in (first, second, first + "2")]
        good, bad, other = read_prompts(write(tmp_path, *rows))
        assert isinstance(good, PromptLine)
        assert isinstance(other, PromptLine)
        assert isinstance(bad, BadLine)
        assert "already used in line 1" in bad.error
        assert bad.field == "id"
        assert bad.id is None  # the id belongs to the first row

    def test_a_bad_line_does_not_take_its_id(self, tmp_path):
        rows = ['{"id": "a", "text": ""}', '{"id": "a", "text": "x"}']
        bad, good = read_prompts(write(tmp_path, *rows))
        assert isinstance(bad, BadLine)
        assert isinstance(good, PromptLine)

    def test_deep_but_parsable_meta(self, tmp_path):
        for depth in (10, 500, 900, 990, 1000, 3000):
            line = '{"id": "a", "text": "x", "meta": {"k": ' + "[" * depth + "]" * depth + "}}"
            assert isinstance(read_one(tmp_path, line), (PromptLine, BadLine))

    def test_noise_never_escapes(self, tmp_path):
        rng = random.Random(5)
        base = (
            b'{"id": "a", "text": "hello \xe4\xb8\x96", "rate": 1.5, "seed": 3, "meta": {"a": []}}'
        )
        lines = []
        for _ in range(2_000):
            line = bytearray(base)
            for _ in range(rng.randint(1, 4)):
                line[rng.randrange(len(line))] = rng.choice(b'"\\{}[]:,0e-+.unltrfas\x00\xff \xc3')
            lines.append(bytes(line).replace(b"\n", b" "))
        entries = read_prompts(write(tmp_path, *lines))
        assert len(entries) == 2_000
        bad = [entry for entry in entries if isinstance(entry, BadLine)]
        assert len(bad) > 1_000
        assert all(len(entry.error) < 300 for entry in bad)


def test_defaults_fill_only_what_a_line_leaves_out(tmp_path):
    rows = (
        '{"id": "a", "text": "x"}',
        '{"id": "b", "text": "x", "style": "lively"}',
        '{"id": "c", "text": "x", "style": null}',
        "[1]",
    )
    *good, bad = read_prompts(write(tmp_path, *rows), {"style": "quiet"})
    assert [entry.prompt.style for entry in good] == ["quiet", "lively", "quiet"]
    assert isinstance(bad, BadLine)


@pytest.mark.parametrize("data", [None, 5, "x", [], {1: 2}, {None: 1}, {"id": object()},
                                  {"id": "a", "text": "x", "meta": {"k": object()}},
                                  {"id": "a", "text": "x", "rate": object()}])  # fmt: skip
def test_data_from_other_callers_is_checked_too(data):
    with pytest.raises(InputError):
        parse_prompt(data, Path())
