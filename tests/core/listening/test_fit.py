# SPDX-License-Identifier: GPL-3.0-or-later
"""Transcripts that say more or less than their recording: words in time, sounds, notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exomni_core.audio import wav_bytes
from exomni_core.clip import Clip
from exomni_core.clip_notes import clip_notes
from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.listening.fit import clause_numbers
from exomni_core.prompt import Prompt

FIRST, SECOND = "I am sorry, that is not a valid extension.", "Please try again."
MORE = "The weather is lovely today in the mountains."


@pytest.fixture(scope="module")
def said() -> Clip:
    return EmbeddedEngine().generate(Prompt(id="a", text=f"{FIRST} {SECOND}"))


@pytest.fixture(scope="module")
def recording(said: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fit") / "said.wav"
    path.write_bytes(wav_bytes(said.audio, said.sample_rate_hz))
    return path


def lipsync(recording: Path, transcript: str) -> tuple[Clip, list[str]]:
    prompt = Prompt(id="b", mode="lipsync", audio=recording, transcript=transcript)
    clip = EmbeddedEngine().generate(prompt)
    return clip, clip_notes(clip)


def words(text: str) -> list[str]:
    return [word.strip(".,") for word in text.split()]


def test_a_transcript_that_fits_has_no_notes(recording: Path) -> None:
    clip, notes = lipsync(recording, f"{FIRST} {SECOND}")
    assert clip.route == "transcript"
    assert notes == []
    assert [word.text for word in clip.words] == words(f"{FIRST} {SECOND}")


def test_speech_beyond_the_transcript_is_told_and_moves_the_mouth(
    recording: Path, said: Clip
) -> None:
    clip, notes = lipsync(recording, FIRST)
    assert clip.route == "transcript"
    assert [word.text for word in clip.words] == words(FIRST)
    assert len(notes) == 1
    assert "of sound have no words in the transcript" in notes[0]
    start_s = said.words[len(words(FIRST))].start_s
    rest = slice(round(start_s * 30), round(said.words[-1].end_s * 30))
    assert clip.channel("jawOpen")[rest].max() > 0.15, "the mouth must not stay shut"
    assert sum(bool(p.symbol) for p in clip.phones if p.start_s >= start_s) >= 5


@pytest.mark.parametrize(
    ("transcript", "unsaid"),
    [
        (f"{FIRST} {SECOND} {MORE}", MORE),
        (f"{MORE} {FIRST} {SECOND}", MORE),
        (f"{FIRST} {MORE} {SECOND}", MORE),
    ],
    ids=["after", "before", "between"],
)
def test_a_sentence_too_many_is_told_and_pushes_nothing_aside(
    recording: Path, said: Clip, transcript: str, unsaid: str
) -> None:
    clip, notes = lipsync(recording, transcript)
    assert clip.route == "transcript"
    assert clip.text == transcript
    assert [word.text for word in clip.words] == words(f"{FIRST} {SECOND}")
    late = [abs(a.start_s - b.start_s) for a, b in zip(clip.words, said.words, strict=True)]
    assert np.median(late) < 0.05
    assert len(notes) == 1
    assert notes[0].startswith(f"{len(words(unsaid))} words have no sound in the recording")


def test_names_and_stage_directions_in_a_transcript_are_no_words(recording: Path) -> None:
    clip, notes = lipsync(recording, f"OPERATOR: {FIRST} [beep] (sighs)\nOPERATOR: {SECOND}")
    assert [word.text for word in clip.words] == words(f"{FIRST} {SECOND}")
    assert notes == [
        "not spoken, as speakers' names: OPERATOR",
        "not spoken, as stage directions: [beep], (sighs)",
    ]


def test_subtitles_are_a_transcript(recording: Path) -> None:
    text = (
        f"1\n00:00:00,000 --> 00:00:02,500\n{FIRST}\n\n2\n00:00:02,600 --> 00:00:04,000\n{SECOND}"
    )
    clip, notes = lipsync(recording, text)
    assert [word.text for word in clip.words] == words(f"{FIRST} {SECOND}")
    assert len(notes) == 1


def test_a_recording_that_was_cut_off_is_told(said: Clip, tmp_path: Path) -> None:
    word = said.words[-1]
    end = round((word.start_s + 0.6 * (word.end_s - word.start_s)) * said.sample_rate_hz)
    path = tmp_path / "cut.wav"
    path.write_bytes(wav_bytes(said.audio[:end], said.sample_rate_hz))
    _, notes = lipsync(path, f"{FIRST} {SECOND}")
    assert "the sound stops in the middle of a word; its last sounds are missing" in notes


def test_words_know_their_clause() -> None:
    text = "Well, hello there. You? 3.5 of it"
    assert clause_numbers(text, ["Well", "hello", "there", "You", "3.5", "of", "it"]) == [
        0, 1, 1, 2, 3, 3, 3,
    ]  # fmt: skip
