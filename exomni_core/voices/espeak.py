# SPDX-License-Identifier: GPL-3.0-or-later
"""Text and a voice in -> samples, words and speech sounds with exact times out, by espeak-ng.

espeak-ng runs in a process of its own, one per text (see espeak_process.py for the reasons).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.clip import Phone, Word
from exomni_core.engine import CancelCheck, stop_if
from exomni_core.errors import EnvironmentProblem, ExOmniError, InputError, WorkerError
from exomni_core.phonetics.language import OFFERED_LANGUAGES, check_readable, choose_voice
from exomni_core.phonetics.tokens import Token, text_tokens
from exomni_core.processes.guard import attended
from exomni_core.processes.life import how_it_ended
from exomni_core.storage.files import sha256_file
from exomni_core.text.clauses import Limits
from exomni_core.voices.espeak_symbols import heard_symbol
from exomni_core.voices.voice import TimedSounds, Utterance, VoiceFacts

NORMAL_RATE_WPM: Final = 175
RATE_LIMITS_WPM: Final = (80, 450)
CLOSURE_REACH_S: Final = 0.12  # the longest closure that we look for before a stop's burst
# What fits espeak-ng's buffers (version 1.52): of a clause 800 bytes, with every Korean syllable
# taken apart and every Chinese sign parted by a blank, 300 words and 1,000 sounds; of a word some
# 130 sounds; of a number 38 digits. It drops the rest, and the fourth of equal letters in a row.
LIMITS: Final = Limits(
    clause_bytes=790, reading_bytes=780, clause_words=290, clause_sounds=930, word_sounds=115,
    digits=30, repeats=3,
)  # fmt: skip
_CLOSURE_LEVEL: Final = 2  # |sample| of espeak-ng's silence (true zeros, but for rounding)
_VOICELESS_STOPS: Final = tuple("ptkqc")
_STRESS_MARKS: Final = "ˈˌː"
_WORD_EVENT, _PHONEME_EVENT = 1, 7
_CHINESE_VOICES: Final = ("cmn", "yue", "hak", "zh")
_SCRIPT: Final = Path(__file__).with_name("espeak_process.py")


@dataclass(frozen=True, eq=False)
class Speech:
    """What espeak-ng said.

    pcm: (S,) int16 at sample_rate_hz. words: as written, with their times. phones: IPA with stress
    marks, without gaps from the first to the end of the audio; "" is a pause. word_of_phone: for
    each phone the index of its word, -1 for a pause. espeak_version: such as "1.52.0".
    """

    pcm: npt.NDArray[np.int16]
    sample_rate_hz: int
    words: tuple[Word, ...]
    phones: tuple[Phone, ...]
    word_of_phone: tuple[int, ...]
    espeak_version: str

    @property
    def is_silent(self) -> bool:
        """True if the text gave no sound at all."""
        return all(phone.symbol == "" for phone in self.phones)


def speak(
    text: str, voice: str, *, rate: float = 1.0, with_pcm: bool = True, timeout_s: float = 0.0
) -> Speech:
    """Say `text` with an espeak-ng voice such as `en-us+f3`.

    rate: 1 is 175 words a minute; espeak-ng takes 80 to 450. with_pcm: False gives only words and
    phones. timeout_s: 0 allows 20 s plus 5 ms a character (espeak-ng needs 0.2 ms).
    Raises EnvironmentProblem (no or too old library), InputError (voice), WorkerError (crash).
    """
    low, high = RATE_LIMITS_WPM
    request = {
        "task": "speak",
        # Control characters are commands to espeak-ng; blanks keep all positions as they are.
        "text": "".join(" " if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text),
        "voice": voice,
        "rate_wpm": min(max(round(NORMAL_RATE_WPM * rate), low), high),
        "with_pcm": with_pcm,
    }
    answer, raw = _ask(request, timeout_s or 20.0 + 0.005 * len(text))
    if answer.get("error") == "voice":
        raise InputError(
            f"espeak-ng has no voice {voice!r}; choose a language such as en, zh or de, or a "
            "variant such as f2 or m3",
            field="voice",
        )
    _check_version(answer["version"], voice)
    pcm = np.frombuffer(raw, "<i2").astype(np.int16)
    return _speech(text, voice, pcm, answer)


class Espeak:
    """espeak-ng as a synthesiser: it knows exactly when each sound is spoken."""

    def facts(self) -> VoiceFacts:
        """Over a hundred languages, any rate."""
        return VoiceFacts("espeak-ng", OFFERED_LANGUAGES, tells_times=True, limits=LIMITS)

    def names(self) -> tuple[str, ...]:
        """The variants; a language's own voice and `LANGUAGE+VARIANT` are voices, too."""
        return voice_variants()

    def version(self) -> str:
        """The hash of its library."""
        return sha256_file(library_path())

    def reason(self) -> str:
        """What is missing of it, and how to get it."""
        try:
            library_path()
        except ExOmniError as error:
            return str(error)
        return ""

    def speak(
        self,
        text: str,
        *,
        language: str | None,
        voice: str | None,
        rate: float,
        seed: int,  # noqa: ARG002 (it draws nothing that a seed would change)
        cancel: CancelCheck | None = None,
    ) -> Utterance:
        """Say `text`; voice: a variant (`f2`), a language voice (`en-us`) or both (`en-us+f3`)."""
        choice = choose_voice(text, language, voice, voice_variants())
        check_readable(text, choice.voice, field="text")
        speech = speak(text, choice.voice, rate=rate)
        stop_if(cancel)
        return Utterance(
            samples=speech.pcm.astype(np.float32) / np.float32(32768.0),
            sample_rate_hz=speech.sample_rate_hz,
            language=choice.language,
            timed=TimedSounds(speech.words, speech.phones),
            notes={"espeak_ng": speech.espeak_version, "voice": choice.voice},
        )


def voice_variants() -> tuple[str, ...]:
    """The installed voice variants (`f2`, `m3`, `whisper`, ...), by name."""
    folder = Path(_find_espeak()[1]) / "voices" / "!v"
    try:
        return tuple(sorted(path.name for path in folder.iterdir()))
    except OSError:
        return ()


def language_codes() -> tuple[str, ...]:
    """Every language code that the installed espeak-ng lists."""
    answer, _ = _ask({"task": "voices"}, 20.0)
    return tuple(sorted({code for row in answer["voices"] for code in row["languages"]}))


def library_path() -> Path:
    """Where libespeak-ng is; raises EnvironmentProblem if it is not installed."""
    return Path(_find_espeak()[0])


def _find_espeak() -> tuple[str, str]:
    try:
        import espeakng_loader

        library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    except (ImportError, RuntimeError) as error:
        raise EnvironmentProblem(
            "espeak-ng is missing; install it with: pip install espeakng-loader"
        ) from error
    if not Path(library).is_file():
        raise EnvironmentProblem(
            "espeak-ng is incomplete; reinstall it with: pip install --force-reinstall "
            "espeakng-loader"
        )
    return library, data


def _ask(request: dict[str, Any], timeout_s: float) -> tuple[dict[str, Any], bytes]:
    """One request to a fresh process, tried again once if that process died of a signal or hung."""
    library, data = _find_espeak()
    # espeak-ng cuts data paths at 160 characters, so it is told "." and started in that folder.
    message = json.dumps(request | {"library": library, "data": "."}).encode()
    command = [sys.executable, "-I", "-S", str(_SCRIPT)]
    detail, pipe = "", subprocess.PIPE
    for _ in range(2):
        try:
            with attended(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=data) as process:
                answer, complaints = process.communicate(message, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            detail = f"it gave no answer within {timeout_s:.0f} s; shorten the text"
            continue
        except OSError as error:
            raise WorkerError(f"espeak-ng can't be started ({error}); try again") from error
        if process.returncode == 0:
            return _parse(answer)
        detail = f"it {how_it_ended(process.returncode)}"
        if process.returncode > 0:  # a Python error, such as a library for another system
            lines = complaints.decode("utf-8", "replace").strip().splitlines()
            detail = lines[-1] if lines else detail
            break
    raise WorkerError(f"espeak-ng stopped unexpectedly ({detail}); try again")


def _parse(output: bytes) -> tuple[dict[str, Any], bytes]:
    line, _, raw = output.partition(b"\n")
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise WorkerError("espeak-ng's process gave an unreadable answer; try again") from error
    if answer.get("error") not in (None, "voice"):
        raise WorkerError(f"espeak-ng failed ({answer['error']}); try again")
    return answer, raw


def _check_version(version: str, voice: str) -> None:
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < (1, 52) and voice.startswith(_CHINESE_VOICES):
        raise EnvironmentProblem(
            f"espeak-ng {version} spells Chinese out as English letters; install 1.52 with: "
            "pip install 'espeakng-loader>=0.2.4'"
        )


def _speech(text: str, voice: str, pcm: npt.NDArray[np.int16], answer: dict[str, Any]) -> Speech:
    rate = int(answer["sample_rate_hz"])
    tokens = text_tokens(text)
    starts: list[int] = []
    symbols: list[str] = []
    token_of_phone: list[int] = []
    token, end = -1, len(pcm)
    for kind, position, sample, symbol in answer["events"]:
        if kind == _WORD_EVENT:
            token = _token_at(tokens, position - 1, token)
        elif kind == _PHONEME_EVENT and not symbol.startswith("("):  # (en): a change of language
            starts.append(int(sample))
            symbols.append("" if symbol.strip("_:|;") == "" else heard_symbol(voice, symbol))
            # Some first words (나는) come without an event of their own.
            token_of_phone.append(max(token, 0) if symbols[-1] and tokens else -1)
    end = max(end, starts[-1] if starts else 0)
    starts = _with_closures(starts, symbols, pcm, rate)
    phones, owners = [], []
    for k, symbol in enumerate(symbols):
        stop = starts[k + 1] if k + 1 < len(starts) else end
        if stop > starts[k]:
            phones.append(Phone(symbol, starts[k] / rate, stop / rate))
            owners.append(token_of_phone[k])
    words, word_of_phone = _words(tokens, phones, owners)
    return Speech(pcm, rate, words, tuple(phones), word_of_phone, str(answer["version"]))


def _token_at(tokens: Sequence[Token], character: int, current: int) -> int:
    """The token that a word event means: it never goes back, and events between tokens go on."""
    index = max(current, 0)
    while index + 1 < len(tokens) and tokens[index].end <= character:
        index += 1
    return index if tokens else -1


def _with_closures(
    starts: Sequence[int], symbols: Sequence[str], pcm: npt.NDArray[np.int16], rate: int
) -> list[int]:
    """Move the start of p, t, k back over the silence before the burst, where the closure is.

    espeak-ng's event marks the burst; the lips close before it, in exact digital silence.
    """
    reach = int(CLOSURE_REACH_S * rate)
    fixed = list(starts)
    if len(pcm) == 0:
        return fixed
    for k in range(1, len(starts)):
        if symbols[k].lstrip(_STRESS_MARKS)[:1] not in _VOICELESS_STOPS or not symbols[k]:
            continue
        low = max(starts[k - 1], starts[k] - reach)
        loud = np.flatnonzero(np.abs(pcm[low : starts[k]].astype(np.int32)) > _CLOSURE_LEVEL)
        fixed[k] = low + int(loud[-1]) + 1 if len(loud) else min(low, starts[k])
    return fixed


def _words(
    tokens: Sequence[Token], phones: Sequence[Phone], owners: Sequence[int]
) -> tuple[tuple[Word, ...], tuple[int, ...]]:
    """Words with times from the phones they own; words that share phones share their time."""
    spans: dict[int, tuple[float, float]] = {}  # ascending, as owners never go back
    for phone, owner in zip(phones, owners, strict=True):
        if owner >= 0:
            spans[owner] = (spans.get(owner, (phone.start_s,))[0], phone.end_s)
    words: list[Word] = []
    first_word: dict[int, int] = {}
    followers = [*list(spans)[1:], len(tokens)]
    for (owner, (start_s, end_s)), following in zip(spans.items(), followers, strict=False):
        first_word[owner] = len(words)
        words += share_time([t.text for t in tokens[owner:following]], start_s, end_s)
    return tuple(words), tuple(first_word.get(owner, -1) for owner in owners)


def share_time(texts: Sequence[str], start_s: float, end_s: float) -> list[Word]:
    """Divide a time among words that are spoken as one ("of the"), by their lengths."""
    total = sum(map(len, texts))
    words, done = [], 0
    for text in texts:
        a = start_s + (end_s - start_s) * done / total
        done += len(text)
        words.append(Word(text, a, start_s + (end_s - start_s) * done / total))
    return words
