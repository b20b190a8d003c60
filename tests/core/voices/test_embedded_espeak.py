# SPDX-License-Identifier: GPL-3.0-or-later
"""espeak-ng's process and what the parent makes of its events."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from exomni_core.errors import EnvironmentProblem, InputError, WorkerError
from exomni_core.phonetics.tokens import text_tokens
from exomni_core.voices import espeak

ENGLISH = "Please put the paper cup back, isn't it 3 PM at the zoo?"


@pytest.fixture(scope="module")
def english() -> espeak.Speech:
    return espeak.speak(ENGLISH, "en-us")


def test_same_text_gives_the_same_samples_every_time(english: espeak.Speech) -> None:
    again = espeak.speak(ENGLISH, "en-us")
    assert np.array_equal(english.pcm, again.pcm)
    assert english.phones == again.phones


def test_a_breathy_voice_draws_the_same_noise_every_time() -> None:
    """Its noise is seeded with the time of day, in whole seconds, unless somebody prevents it."""
    first = espeak.speak("Hello there, my friend.", "en-us+f2")
    time.sleep(1.1)
    assert np.array_equal(espeak.speak("Hello there, my friend.", "en-us+f2").pcm, first.pcm)


def test_phones_cover_the_audio_without_gaps(english: espeak.Speech) -> None:
    assert english.sample_rate_hz == 22050
    for before, after in zip(english.phones, english.phones[1:], strict=False):
        assert before.end_s == pytest.approx(after.start_s, abs=1e-9)
    assert english.phones[-1].end_s == pytest.approx(len(english.pcm) / 22050)


def test_words_are_those_of_the_text_in_order(english: espeak.Speech) -> None:
    expected = ["Please", "put", "the", "paper", "cup", "back", "isn't", "it", "3", "PM", "at",
                "the", "zoo"]  # fmt: skip
    assert [word.text for word in english.words] == expected
    starts = [word.start_s for word in english.words]
    assert starts == sorted(starts)
    owners = [owner for owner in english.word_of_phone if owner >= 0]
    assert owners == sorted(owners)
    assert owners[-1] == len(expected) - 1


def test_voiceless_closure_lies_in_the_silence_before_the_burst() -> None:
    speech = espeak.speak("a paper", "en-us")
    second = [p for p in speech.phones if p.symbol.endswith("p")][1]
    first, last = round(second.start_s * 22050), round(second.end_s * 22050)
    closure = np.abs(speech.pcm[first : first + 600].astype(int))
    assert closure.max() <= 2, "the stop should begin with digital silence"
    assert np.abs(speech.pcm[first:last].astype(int)).max() > 100, "and end with its burst"


def test_language_switch_marks_are_no_sounds() -> None:
    speech = espeak.speak("我用 Blender 做动画", "cmn")
    assert not any("(" in phone.symbol for phone in speech.phones)
    assert [word.text for word in speech.words] == ["我", "用", "Blender", "做", "动", "画"]


def test_control_characters_are_not_commands() -> None:
    # 0x01 "50S" would be a command to halve the speed.
    assert len(espeak.speak("\x0150S hello there", "en-us").pcm) == len(
        espeak.speak(" 50S hello there", "en-us").pcm
    )


@pytest.mark.parametrize("text", ["...", "   ", "…"])
def test_punctuation_is_silent(text: str) -> None:
    assert espeak.speak(text, "en-us").is_silent


def test_rate_changes_the_length() -> None:
    slow, fast = (len(espeak.speak("one two three four", "en-us", rate=r).pcm) for r in (0.6, 2.0))
    assert slow > 2 * fast


def test_unknown_voice_is_an_input_error() -> None:
    with pytest.raises(InputError) as caught:
        espeak.speak("hello", "xx-nowhere")
    assert caught.value.field == "voice"


def test_a_long_text_works_in_one_process() -> None:
    text = ("The boats keep moving until the morning, and nobody remembers why. " * 60).strip()
    speech = espeak.speak(text, "en-us")
    assert len(speech.pcm) / 22050 > 180
    assert [word.text for word in speech.words] == [token.text for token in text_tokens(text)]


def test_old_library_is_refused_for_chinese_only() -> None:
    espeak._check_version("1.51", "en-us")
    espeak._check_version("1.52.0", "cmn")
    with pytest.raises(EnvironmentProblem):
        espeak._check_version("1.51.1", "cmn+f2")


def _fake_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> Path:
    script, log = tmp_path / "fake.py", tmp_path / "log"
    script.write_text(f"import os, sys, time\nopen({str(log)!r}, 'a').write('x')\n{code}\n")
    monkeypatch.setattr(espeak, "_SCRIPT", script)
    return log


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_a_crash_is_tried_once_more_and_then_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = _fake_process(monkeypatch, tmp_path, "os.kill(os.getpid(), 11)")
    with pytest.raises(WorkerError):
        espeak.speak("hello", "en-us")
    assert log.read_text() == "xx"


def test_a_hang_ends_with_the_time_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake_process(monkeypatch, tmp_path, "time.sleep(60)")
    with pytest.raises(WorkerError):
        espeak.speak("hello", "en-us", timeout_s=0.3)


def test_the_process_imports_nothing_heavy() -> None:
    code = (
        "import runpy, sys; sys.stdin.close(); "
        f"runpy.run_path({str(espeak._SCRIPT)!r}, run_name='loaded'); "
        "print('numpy' in sys.modules, 'exomni_core' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_tokens_keep_text_and_places() -> None:
    text = "“Well—don't, 1,234.5!” 你好 e\u0301t"
    tokens = text_tokens(text)
    assert [token.text for token in tokens] == ["Well", "don't", "1,234.5", "你", "好", "e\u0301t"]
    assert all(text[token.start : token.end] == token.text for token in tokens)
