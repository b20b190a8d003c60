# SPDX-License-Identifier: GPL-3.0-or-later
"""Normalisers, error counts and cut ends: golden cases, and mutations that have to be seen."""

from __future__ import annotations

import itertools
import json
import string

import pytest

from exomni_core.errors import InputError
from exomni_core.metrics.speech import error_rates as speech
from exomni_core.metrics.speech.error_rates import Spoken, bucket_of, score_consistency, score_tts
from exomni_core.metrics.speech.normalise import (
    DELETED,
    HANZI_PUNCTUATION,
    language_of,
    seedtts,
    spoken_part,
    whisper_en,
)
from exomni_core.metrics.speech.word_errors import count_errors, cut_tail, percent, pool

pytest.importorskip("jiwer")


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "text" / "seedtts_cases.json").read_text("utf-8"))


def spoken_of(golden, language):
    return [
        Spoken(str(k), case["ref"], case["hyp"], language)
        for k, case in enumerate(golden["cases"])
        if case["lang"] == language
    ]


def test_golden_cases_of_seed_tts_eval(golden):
    assert len(golden["cases"]) == 12
    for case in golden["cases"]:
        reference, heard = (seedtts(case[side], case["lang"]) for side in ("ref", "hyp"))
        assert (reference, heard) == (case["ref_norm"], case["hyp_norm"])
        found = count_errors(reference, heard)
        assert found.rate == case["wer"]
        assert found.reference == case["ref_len_jiwer"]
        assert (found.substitutions, found.deletions, found.insertions) == (
            case["sub"],
            case["dele"],
            case["ins"],
        )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_golden_means_are_over_utterances(golden, language):
    group = score_tts(spoken_of(golden, language))["groups"][language]
    wanted = golden["mean_wer"][language]
    assert group["error_rate"] == round(100 * wanted, 3)
    assert group["error_rate_pooled"] != group["error_rate"]
    assert group["unit"] == {"en": "words", "zh": "characters"}[language]


def test_the_deleted_marks():
    assert len(HANZI_PUNCTUATION) == len(set(HANZI_PUNCTUATION)) == 82
    assert "'" not in DELETED
    assert set(string.punctuation) - {"'"} < DELETED
    assert "’" in DELETED
    assert "don't" == seedtts("don't", "en") != seedtts("don’t", "en") == "dont"
    zhon = pytest.importorskip("zhon.hanzi")  # where somebody has it
    assert set(zhon.punctuation) <= set(HANZI_PUNCTUATION)


def test_chinese_keeps_its_capitals_and_english_does_not():
    assert seedtts("GPT好", "zh") == "G P T 好"
    assert seedtts("GPT Is", "en-gb") == "gpt is"
    assert seedtts("GPT好", "zh-cn") == "G P T 好"


def test_lower_casing_chinese_would_be_seen(golden, monkeypatch):
    right = score_tts(spoken_of(golden, "zh"))["groups"]["zh"]["error_rate"]
    monkeypatch.setattr(speech, "seedtts", lambda text, language: seedtts(text, language).lower())
    assert score_tts(spoken_of(golden, "zh"))["groups"]["zh"]["error_rate"] != right


def test_mean_and_pooled_are_not_mixed_up():
    found = pool([count_errors("a b c d", "a b c d"), count_errors("a", "b")])
    assert (found.mean, found.pooled) == (0.5, 0.2)
    assert percent(2 / 3) == 66.667


def test_missing_utterances_are_counted_and_scored_as_wrong():
    rows = [Spoken("a", "one two", "one two", "en"), Spoken("b", "three", None, "en")]
    group = score_tts(rows)["groups"]["en"]
    assert (group["utterances"], group["scored"], group["missing"]) == (2, 1, 1)
    assert (group["error_rate"], group["error_rate_with_missing"]) == (0.0, 50.0)
    nothing = score_tts(rows[1:])["groups"]["en"]
    assert (nothing["error_rate"], nothing["error_rate_with_missing"]) == (None, 100.0)


def test_a_text_of_marks_alone_fails_alone():
    found = score_tts([Spoken("a", "?!", "x", "en"), Spoken("b", "two", "two", "en")])
    assert [row["status"] for row in found["rows"]] == ["failed", "scored"]
    assert found["groups"]["en"]["failed"] == 1
    with pytest.raises(InputError, match="empty"):
        count_errors("  ", "x")


def test_transcripts_alone_are_simplified():
    found = score_tts([Spoken("a", "電", "電", "zh")], simplify=lambda t: t.replace("電", "电"))
    assert found["groups"]["zh"]["error_rate"] == 100.0
    english = score_tts([Spoken("a", "x", "x", "en")], simplify=lambda _: "wrong")
    assert english["groups"]["en"]["error_rate"] == 0.0


@pytest.mark.parametrize(
    ("reference", "heard", "tail"),
    [
        ("a b c d", "a b", 2),
        ("a b c d", "a b c d", 0),
        ("a b c d", "", 4),
        ("a b c d", "a b x d", 0),
        ("a b c d", "b c d", 0),
        ("i like the cat and the", "i like the", 3),  # the last word stands again
        ("a b c d e f", "a b x", 3),
        ("a b", "a b c d e", 0),
    ],
)
def test_cut_tail(reference, heard, tail):
    assert cut_tail(reference.split(), heard.split()) == tail
    assert count_errors(reference, heard).tail == tail


def test_cut_tail_against_brute_force():
    def distance(a, b):
        table = [[i + j for j in range(len(b) + 1)] for i in range(len(a) + 1)]
        for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
            table[i][j] = min(
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
                table[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
            )
        return table[-1][-1]

    for reference in itertools.product("ab", repeat=4):
        for heard in itertools.product("abc", repeat=3):
            total = distance(reference, heard)
            wanted = max(k for k in range(5) if distance(reference[: 4 - k], heard) + k == total)
            assert cut_tail(reference, heard) == wanted


def test_what_is_not_spoken():
    text = (
        "# Title\n\nHere is **bold**, *it* and `code`: [the docs](https://a.b/c?d=1) 😀\n"
        "1. First **thing**\n2) snake_case_name\n- bullet ✅\n> quote\n| a | b |\n|---|---|\n"
        "See https://x.y/z_1. It costs 3.5 and 2*3*4 <br> 1️⃣\n```python\nx\n```\n"
    )
    assert spoken_part(text) == (
        "Title Here is bold, it and code: the docs First thing snake_case_name bullet quote a b "
        "See It costs 3.5 and 2*3*4 1 x"
    )
    assert spoken_part("1、苹果\n2、**香蕉**。") == "苹果 香蕉。"
    assert spoken_part("**1.** One\n(2) Two\n**3 cats**") == "One Two 3 cats"
    assert spoken_part("3.5 litres\n2024 was a year\nwell-known - yes") == (
        "3.5 litres 2024 was a year well-known - yes"
    )


def test_whispers_english_is_the_one_of_the_release():
    normalise = whisper_en()
    assert normalise("Mr. Smith won't pay $3.50, you know; colour?") == (
        "mister smith will not pay $3.50 you know color"
    )
    # Words that newer packages rewrite and Whisper itself does not.
    assert normalise("kinda cause dunno") == "kinda cause dunno"
    theirs = pytest.importorskip("transformers.models.whisper.english_normalizer")
    from importlib.resources import files

    mapping = json.loads(
        files("whisper_normalizer").joinpath("normalizers/english.json").read_text()
    )
    rival = theirs.EnglishTextNormalizer(mapping)
    lines = [
        "It's twenty-five past ten, isn't it?", "The 1960s (sixties) were, um, great",
        "Dr. Who's been there since nineteen eighty four", "one oh one, double five and a half",
        "I'd gone; y'all gotta see two hundred thousand dollars and seven cents",
        "naïve café [laughs] 20% of $1,000,000", "the 3rd and the twenty first",
        "minus five point two percent", "we organise centres",
    ]  # fmt: skip
    for line in lines:
        assert normalise(line) == rival(line).strip()


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, "0-20"), (19.999, "0-20"), (20.0, "20-40"), (40.0, "40-60"), (60.0, "40-60"),
     (60.001, "over 60"), (None, "unknown")],
)  # fmt: skip
def test_buckets_and_their_edges(seconds, bucket):
    assert bucket_of(seconds) == bucket


def test_consistency_by_language_and_duration():
    rows = [
        Spoken("a", "**Here** are some words", "here are some", "en", 4.0),
        Spoken("b", "one two", "one two", "en", 20.0),
        Spoken("c", "one two", "nothing at all", "en", 61.0),
        Spoken("d", "今天好", "今天", "zh", 2.0),
        Spoken("e", "one", None, "en", 2.0, "its sound is missing"),
        Spoken("f", "twenty five", "25", "en", 44.0),
    ]
    found = score_consistency(rows, whisper=whisper_en())
    groups = {(g["language"], g["bucket_s"]): g for g in found["groups"]}
    whole = groups["en", "0-60"]
    assert (whole["clips"], whole["scored"], whole["missing"]) == (4, 3, 1)
    assert whole["error_rate"] == percent((0.25 + 0.0 + 1.0) / 3)
    assert whole["error_rate_pooled"] == percent(3 / 8)
    assert whole["error_rate_whisper_en"] == percent(0.25 / 3)
    assert whole["error_rate_with_missing"] == percent((0.25 + 0.0 + 1.0 + 1.0) / 4)
    assert whole["tail_share"] == pytest.approx(2 / 8)
    assert groups["en", "0-20"]["cut_short"] == 1
    assert groups["zh", "0-20"]["unit"] == "characters"
    assert groups["zh", "0-60"]["error_rate"] == percent(1 / 3)
    assert groups["zh", "0-60"]["error_rate_whisper_en"] is None
    assert [row["bucket"] for row in found["rows"]].count("over 60") == 1
    bins = found["bins"][0]
    assert (bins["from_s"][-1], sum(bins["clips"])) == (60.0, 5)
    assert bins["error_rate"][0] == 25.0


def test_raw_keeps_what_is_not_spoken():
    row = score_consistency([Spoken("a", "1. **Yes** 😀", "yes", "en", 1.0)])["rows"][0]
    assert row["rate"] == 0.0
    assert row["rate_raw"] == pytest.approx(2 / 3)  # the number and the picture


def test_languages():
    assert language_of("今天 weather", "") == "en"
    assert language_of("今天天气很好", "") == "zh"
    assert language_of("hello", "de") == "de"
