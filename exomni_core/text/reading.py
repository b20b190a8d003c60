# SPDX-License-Identifier: GPL-3.0-or-later
"""A text as written in -> what a voice should speak of it, its language, and notes, out.

Every voice gets its text from here, and so does every listener its transcript. Words keep pointing
at the text as written. Where nothing needs a change, the text goes through as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from exomni_core.clip import Word
from exomni_core.phonetics.scripts import (
    SCRIPT_NAMES,
    guess_language,
    leading_script,
    script_of_language,
    scripts_in_words,
)
from exomni_core.phonetics.tokens import Token, text_tokens
from exomni_core.text.clauses import Limits, with_pauses, within_limits
from exomni_core.text.letters import plain_letters
from exomni_core.text.script_marks import without_script_marks
from exomni_core.text.subtitles import without_subtitle_marks
from exomni_core.text.traced import Traced, trace

FRONT_END_REVISION: Final = 1  # raise it with every change that alters what is read of a text
Kind = Literal["text", "transcript"]


@dataclass(frozen=True)
class Reading:
    """What is to be spoken of a text.

    source: as written. spoken: for the voice. language: of the text, guessed if it was not given.
    notes: what the user should know, as sentences. is_reguessed: the guess is not the language of
    most of its letters.
    """

    source: str
    text: Traced
    language: str
    notes: tuple[str, ...] = ()
    is_reguessed: bool = False

    @property
    def spoken(self) -> str:
        """The text for the voice."""
        return self.text.text

    @property
    def is_as_written(self) -> bool:
        """True if the voice gets the very text that was written, and there is nothing to tell."""
        return self.spoken == self.source and not self.notes and not self.is_reguessed

    def facts(self) -> dict[str, str]:
        """What a clip of this text depends on beyond the text itself; empty where it doesn't."""
        return {} if self.is_as_written else {"text": f"front end {FRONT_END_REVISION}"}

    def with_pauses(self, places: Sequence[int]) -> Reading:
        """The same with pauses before the words that begin at `places` in `spoken`."""
        return replace(self, text=with_pauses(self.text, list(places)))

    def words_to_say(self) -> list[Token]:
        """The words of the source that are to be spoken, with their places in it."""
        pairs = zip(self.text.text, self.text.origin, strict=True)
        kept = {place for sign, place in pairs if sign.isalnum()}
        return [
            token
            for token in text_tokens(self.source)
            if any(k in kept for k in range(token.start, token.end)) and has_sound(token.text)
        ]

    def as_written(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Words of `spoken` in time -> words of the source in time.

        Several spoken words may be one written word (digits of a long number); their times join.
        """
        if self.spoken == self.source:
            return tuple(words)
        written = text_tokens(self.source)
        found: list[Word] = []
        last = -1
        place = 0
        for word in words:
            at = self.spoken.find(word.text, place)
            if at < 0:
                found.append(word)
                continue
            place = at + len(word.text)
            number = _token_over(written, self.text.origin[at])
            if number is None:
                continue
            if number == last:
                found[-1] = replace(found[-1], end_s=word.end_s)
            else:
                found.append(replace(word, text=written[number].text))
            last = number
        return tuple(found)


def read_text(
    source: str, *, language: str | None = None, limits: Limits | None = None, kind: Kind = "text"
) -> Reading:
    """What to speak of `source`.

    language: None guesses it. limits: those of the voice; None leaves clauses as they are. kind:
    a text to be spoken, or the transcript of a recording.
    """
    text = plain_letters(trace(source))
    text, notes = _spoken_part(text, kind)
    guessed = language or guess_language(text.text)
    notes += _mixed(text.text, guessed, is_guess=language is None)
    if limits is not None:
        text = within_limits(text, limits)
    reguessed = language is None and guessed != leading_script(source)
    return Reading(source, text, guessed, tuple(notes), reguessed)


def has_sound(word: str) -> bool:
    """False for words of signs alone, such as arrows, which voices pass over or describe."""
    return any(sign.isalnum() for sign in word)


def _spoken_part(text: Traced, kind: Kind) -> tuple[Traced, list[str]]:
    """Without what is not meant to be spoken; all of it if nothing would be left."""
    without, notes = without_subtitle_marks(text)
    without, more = without_script_marks(without, is_transcript=kind == "transcript")
    if has_sound(without.text) or not has_sound(text.text):
        return without, notes + more
    return text, []


def _mixed(text: str, language: str, *, is_guess: bool) -> list[str]:
    """A note if the text has words in several scripts and the language was guessed from them.

    Where the language was given: if there are words in a script that is neither its own nor Latin,
    which most voices know names in.
    """
    scripts = scripts_in_words(text)
    if is_guess and len(scripts) > 1:
        return [f"the text mixes {_listed(scripts)} letters; all of it is read as {language}"]
    foreign = [code for code in scripts if code not in ("en", script_of_language(language))]
    if foreign and not is_guess and script_of_language(language) != "ja":
        return [
            f"the text has {_listed(foreign)} letters, which the voice for {language} may spell out"
        ]
    return []


def _listed(scripts: Sequence[str]) -> str:
    names = [SCRIPT_NAMES[code] for code in scripts]
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])


def _token_over(tokens: Sequence[Token], place: int) -> int | None:
    """The number of the token that covers a place of the source, else of the one after it."""
    low, high = 0, len(tokens)
    while low < high:
        middle = (low + high) // 2
        if tokens[middle].end <= place:
            low = middle + 1
        else:
            high = middle
    return low if low < len(tokens) else None
