# SPDX-License-Identifier: GPL-3.0-or-later
"""Words aligned in a recording keep the voice's own sounds; wrong words do not pass unmarked."""

from __future__ import annotations

from pathlib import Path

import pytest

from exomni_core.audio import wav_bytes
from exomni_core.clip import Clip
from exomni_core.clip_notes import clip_notes
from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.listening.align import own_symbols
from exomni_core.listening.sphinx import Sound
from exomni_core.phonetics.phones import is_closure
from exomni_core.prompt import Prompt
from exomni_core.retime import lip_gap

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the shared recordings are not here")


def _said_and_heard(text: str, language: str, folder: Path) -> tuple[Clip, Clip]:
    engine = EmbeddedEngine()
    said = engine.generate(Prompt(id="a", text=text, language=language))
    path = folder / "said.wav"
    path.write_bytes(wav_bytes(said.audio, said.sample_rate_hz))
    told = Prompt(id="b", mode="lipsync", audio=path, transcript=text, language=language)
    return said, engine.generate(told)


@pytest.mark.parametrize(("text", "language"), [("Die schönen Söhne.", "de"), ("ふゆ ふね", "ja")])
def test_a_transcript_gives_the_sounds_of_the_voice(
    text: str, language: str, tmp_path: Path
) -> None:
    said, heard = _said_and_heard(text, language, tmp_path)
    spoken, found = ([p for p in clip.phones if p.symbol] for clip in (said, heard))
    assert heard.route == "transcript"
    assert [p.symbol for p in found] == [p.symbol for p in spoken]
    assert all(abs(a.start_s - b.start_s) < 0.06 for a, b in zip(spoken, found, strict=True))


def test_lips_come_near_without_touching(tmp_path: Path) -> None:
    for clip in _said_and_heard("El lobo sube a la uva.", "es", tmp_path):
        phones = [p for p in clip.phones if p.symbol == "β"]
        assert len(phones) == 3
        gap, roll = lip_gap(clip.weights), clip.channel("mouthRollLower")
        for phone in phones:
            middle = round((phone.start_s + phone.end_s) / 2 * clip.fps)
            assert 0.03 < gap[middle] < 0.1
            assert roll[middle] <= 0.1


def test_an_affricate_lasts_as_long_as_its_two_english_sounds() -> None:
    sounds = [Sound("t", 0.1, 0.2, -10.0, 0), Sound("s", 0.2, 0.3, -10.0, 0)]
    (phone,) = own_symbols(sounds, [["ts"]])
    assert (phone.symbol, phone.start_s, phone.end_s) == ("ts", 0.1, 0.3)
    assert [p.symbol for p in own_symbols(sounds, [["ts", "ø"]])] == ["t", "s"]


@needs_cases
@pytest.mark.slow
def test_wrong_words_are_rejected_or_marked() -> None:
    engine = EmbeddedEngine()
    short = engine.generate(
        Prompt(id="a", mode="lipsync", audio=CASES / "thankyou_096s.wav", transcript="front left")
    )
    told = " ".join(clip_notes(short))
    assert "too short to check" in told or "transcript was not used" in told
    long = engine.generate(
        Prompt(id="b", mode="lipsync", audio=CASES / "fr_digits.wav", language="fr",
               transcript="Composez votre mot de passe suivi du dièse.")
    )  # fmt: skip
    assert "the transcript was not used" in " ".join(clip_notes(long))


@needs_cases
@pytest.mark.slow
def test_words_that_fit_have_their_own_closures_alone() -> None:
    audio = CASES / "recognised_spurious_closures.wav"
    clip = EmbeddedEngine(recognition_floor_s=120.0).generate(
        Prompt(id="a", mode="lipsync", audio=audio)
    )
    closed = [p for p in clip.phones if p.symbol and is_closure(p.symbol)]
    assert [round(p.start_s, 1) for p in closed] == [1.5]
