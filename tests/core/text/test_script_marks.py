# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage directions and speakers' names are not spoken; everything else is, however it looks."""

from __future__ import annotations

import pytest

from exomni_core.text.script_marks import without_script_marks
from exomni_core.text.traced import trace


def read(text: str, *, is_transcript: bool = False) -> tuple[str, list[str]]:
    traced, notes = without_script_marks(trace(text), is_transcript=is_transcript)
    return " ".join(traced.text.split()), notes


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("[Music] Welcome (laughs) back!", "Welcome back!"),
        ("[soft music playing] Hello. [APPLAUSE]", "Hello."),
        ("*sighs* I *really* mean it.", "I *really* mean it."),
        ("（笑）你好【音乐】世界（我的朋友）。", "你好 世界（我的朋友）。"),
        ("Guten Tag. (lacht) [Musik]", "Guten Tag."),
        ("Привет. (смеётся)", "Привет."),
        ("(To Mary) Come here. (He smiles.) Yes.", "Come here. Yes."),
        ("He said (laughing) that it was fine.", "He said that it was fine."),
        ("(whispering) Quiet! (turns to the door) Who's there?", "Quiet! Who's there?"),
        ("♪ la la la ♪", "la la la"),
        (">> Hello. >> Hi.", "Hello. Hi."),
    ],
)
def test_stage_directions_are_not_spoken_and_told(text: str, spoken: str) -> None:
    read_text, notes = read(text)
    assert read_text == spoken
    assert notes
    assert notes[0].startswith("not spoken, as ")


@pytest.mark.parametrize(
    ("text", "spoken", "names"),
    [
        ("ALICE: Hi there.\nBOB (angrily): Go!\nALICE: No.", "Hi there. Go! No.", "ALICE, BOB"),
        ("Anna: Hi.\nBen: Hello.\nAnna: Bye.", "Hi. Hello. Bye.", "Anna, Ben"),
        ("Speaker 1: Hi. Speaker 2: Bye.", "Hi. Bye.", "Speaker 1, Speaker 2"),
        ("Dr. Smith: take this.\nPatient: Thanks.", "take this. Thanks.", "Dr. Smith, Patient"),
        ("Q: Who?\nA: Me.", "Who? Me.", "Q, A"),
        ("[John]: hello", "hello", "John"),
        ("NARRATOR: Once upon a time.", "Once upon a time.", "NARRATOR"),
        ("JOHN: Hi. MARY: Hello, John: dear.", "Hi. Hello, John: dear.", "JOHN, MARY"),
        ("小明：你好。\n小红：再见。\n小明：走吧。", "你好。 再见。 走吧。", "小明, 小红"),
        ("АННА: Привет.\r\nИВАН: Пока.", "Привет. Пока.", "АННА, ИВАН"),
    ],
)
def test_names_of_speakers_are_not_spoken_and_told(text: str, spoken: str, names: str) -> None:
    assert read(text) == (spoken, [f"not spoken, as speakers' names: {names}"])


@pytest.mark.parametrize(
    "text",
    [
        "Note: bring bread. WARNING: the floor is wet.",
        "Ingredients: flour.\nMethod: mix.",
        "The ratio is 3:4 and the time 10:30.",
        "My name is: John. Dear Sir: I write to you.",
        "NASA: the space agency.",
        "Look at this (photo). Today (and only today) we bake.",
        "(To be honest) I can't. (Music was loud.) (Really?)",
        "https://example.org: a page",
        "[the] house, [sic], (1) one, (a) two",
        "2 * 3 * 4 is 24, *very* good",
        "Remember (always): listen.",
        "P.S.: I love you.",
        "注意：地上很滑。",
    ],
)
def test_what_may_be_meant_to_be_spoken_stays(text: str) -> None:
    assert read(text) == (" ".join(text.split()), [])


def test_in_a_transcript_names_before_a_colon_are_speakers() -> None:
    text = "Anna: Hi.\nBen: Hello."
    assert read(text) == (" ".join(text.split()), [])
    assert read(text, is_transcript=True)[0] == "Hi. Hello."
