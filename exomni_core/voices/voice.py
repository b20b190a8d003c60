# SPDX-License-Identifier: GPL-3.0-or-later
"""A text and the name of a voice in -> speech out, with the times of its sounds if they are known.

A synthesiser has voices; a prompt names one as `SYNTHESISER:VOICE`, or by the voice's name alone if
the synthesiser is espeak-ng. Another package adds a synthesiser through the entry point group
`exomni.voices`, which names a class that takes no arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from exomni_core.clip import Phone, Word
from exomni_core.engine import CancelCheck
from exomni_core.errors import InputError
from exomni_core.registry import VOICES, Registry
from exomni_core.text.clauses import Limits

DEFAULT_VOICE: Final = "espeak"


@dataclass(frozen=True)
class TimedSounds:
    """words: as written, with their times in s. phones: IPA with times; "" is a pause."""

    words: tuple[Word, ...]
    phones: tuple[Phone, ...]


@dataclass(frozen=True, eq=False)
class Utterance:
    """What a synthesiser said.

    samples: (S,) float32 in [-1, 1], mono, at sample_rate_hz. language: of what is said, as a user
    would write it. timed: when its sounds are spoken; None if the synthesiser doesn't know, so that
    a listener must find them. notes: for the clip's provenance, such as the voice's full name.
    """

    samples: npt.NDArray[np.float32]
    sample_rate_hz: int
    language: str
    timed: TimedSounds | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_silent(self) -> bool:
        """True if the text gave no sound at all."""
        if self.timed is not None:
            return all(phone.symbol == "" for phone in self.timed.phones)
        return not bool(np.any(self.samples))


@dataclass(frozen=True)
class VoiceFacts:
    """What a synthesiser can do, for menus and docs.

    title: its name for people. languages: codes it can speak (empty: any). tells_times: whether it
    knows when each sound is spoken. takes_rate: whether it heeds the speaking rate. licence: what
    its licence asks of users, in a sentence; empty: nothing. limits: what it can say at once
    without losing words; None: any clause.
    """

    title: str
    languages: tuple[str, ...]
    tells_times: bool
    takes_rate: bool = True
    licence: str = ""
    limits: Limits | None = None


@runtime_checkable
class Synthesiser(Protocol):
    """What every synthesiser offers; made without arguments, and quickly: `speak` may load."""

    def facts(self) -> VoiceFacts:
        """What it can do."""
        ...

    def names(self) -> tuple[str, ...]:
        """The voices that can be asked for, for menus; others may exist."""
        ...

    def version(self) -> str:
        """Changes whenever it would say the same text in another way; part of content hashes."""
        ...

    def reason(self) -> str:
        """Why it can't speak on this machine, as one sentence; empty if it can."""
        ...

    def speak(
        self,
        text: str,
        *,
        language: str | None,
        voice: str | None,
        rate: float,
        seed: int,
        cancel: CancelCheck | None = None,
    ) -> Utterance:
        """Say `text`.

        language: None guesses it from the text. voice: None is the language's usual one. rate: 1 is
        normal, 0.5 to 2.5. seed: for what it draws at random; the same gives the same samples.
        Raises InputError (field "voice", "language" or "text"), EnvironmentProblem, WorkerError.
        """
        ...


def _made(_: str, found: Any) -> Synthesiser:
    synthesiser = found()
    if not isinstance(synthesiser, Synthesiser):
        raise InputError("it lacks methods of exomni_core.voices.voice.Synthesiser")
    return synthesiser


SYNTHESISERS: Final = Registry[Synthesiser](
    VOICES, "voice", {DEFAULT_VOICE: "exomni_core.voices.espeak:Espeak"}, _made
)


def split_voice(voice: str | None) -> tuple[str, str | None]:
    """`hibari:anna` -> ("hibari", "anna"); `hibari:` -> ("hibari", None); `f2` is espeak-ng's."""
    if voice is None or ":" not in voice:
        return DEFAULT_VOICE, voice
    synthesiser, _, name = voice.partition(":")
    return synthesiser.strip(), name.strip() or None


def find_voice(synthesiser: str) -> Synthesiser:
    """The synthesiser of that name.

    Raises InputError(field="voice") for an unknown one, EnvironmentProblem for a broken one.
    """
    return SYNTHESISERS.find(synthesiser)


def voice_names() -> tuple[str, ...]:
    """All voices as a prompt names them: espeak-ng's, then `SYNTHESISER:VOICE` of the others."""
    found: list[str] = []
    for name, synthesiser in SYNTHESISERS.members().items():
        lead = "" if name == DEFAULT_VOICE else f"{name}:"
        found += [f"{lead}{voice}" for voice in _names_of(synthesiser)]
    return tuple(found)


def _names_of(synthesiser: Synthesiser) -> tuple[str, ...]:
    try:
        return () if synthesiser.reason() else synthesiser.names()
    except Exception:  # noqa: BLE001 (a list for menus; speaking tells what is wrong)
        return ()
