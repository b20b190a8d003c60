# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompts file (JSON lines) in, prompts out; a bad line becomes a BadLine and harms no other."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from exomni_core.conversation import REPLY_FIELDS, Message, parse_reply
from exomni_core.errors import InputError
from exomni_core.storage.foreign import parse_json, read_at_most

Mode = Literal["say", "lipsync", "reply"]
MODES: Final[tuple[Mode, ...]] = ("say", "lipsync", "reply")
FIELDS: Final = (
    "id", "text", "audio", "mode", "transcript", "language", "voice", "rate", "style", "seed",
    "meta", "system", "history", "temperature", "top_p", "max_tokens",
)  # fmt: skip
# style -> (scale of the mouth's movements, amount of brows, gaze and breath)
STYLE_SCALES: Final = {"quiet": (0.75, 0.6), "neutral": (1.0, 1.0), "lively": (1.4, 1.4)}
STYLES: Final = tuple(STYLE_SCALES)
MAX_TEXT_CHARACTERS: Final = 20_000
MAX_LINE_BYTES: Final = 1 << 20
MAX_FILE_BYTES: Final = 256 << 20
MAX_ID_BYTES: Final = 150  # leaves room for an extension and a temporary mark in 255 bytes
MIN_RATE, MAX_RATE = 0.5, 2.5
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}")


@dataclass(frozen=True)
class Prompt:
    """One thing to say, to animate or to answer.

    id: names the output files: letters and digits of any script, `-`, `_`, `.`.
    mode: `say` this text, `lipsync` this recording, or `reply` to either.
    text / audio: what is given; `say` needs text, `lipsync` needs audio, `reply` either or both.
    transcript: the words of `audio`, where known (makes lip-sync far better).
    language: such as `en`, `zh`, `de`, `en-gb`; None lets the engine guess from the text.
    voice: the engine's own voice name; None is its default.
    rate: speaking rate, 1 is normal, 0.5 to 2.5.
    style: how strongly the face moves: `quiet`, `neutral` or `lively`.
    seed: for blinks, brows and gaze (and sampling in neural engines); None takes the run's seed.
    meta: anything of the user's, copied to the outputs untouched.
    system, history: for `reply`: who the model is to be, and what was said before.
    temperature, top_p, max_tokens: for `reply`: how the answer is drawn; None is the engine's own.
    """

    id: str
    mode: Mode = "say"
    text: str | None = None
    audio: Path | None = None
    transcript: str | None = None
    language: str | None = None
    voice: str | None = None
    rate: float = 1.0
    style: str = "neutral"
    seed: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    history: tuple[Message, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.audio, str):  # as everybody writes it
            object.__setattr__(self, "audio", Path(self.audio))

    def to_json(self) -> dict[str, Any]:
        """The prompt as plain data, for the clip; the audio by file name, so no path leaks."""
        data: dict[str, Any] = {"id": self.id, "mode": self.mode}
        for name in ("text", "transcript", "language", "voice", "seed", *REPLY_FIELDS):
            if getattr(self, name) is not None:
                data[name] = getattr(self, name)
        if self.audio is not None:
            data["audio"] = self.audio.name
        if self.history:
            data["history"] = [_message(m).to_json() for m in self.history]
        return data | {"rate": self.rate, "style": self.style, "meta": dict(self.meta)}


@dataclass(frozen=True)
class PromptLine:
    """A good line of a prompts file and where it stood."""

    line: int
    prompt: Prompt


@dataclass(frozen=True)
class BadLine:
    """A line that can't be used: where, which field, and one sentence that says what to do.

    id is the line's own id where that could be read and is safe, else None.
    """

    line: int
    error: str
    field: str | None = None
    id: str | None = None


def read_prompts(
    path: Path | str, defaults: Mapping[str, Any] = MappingProxyType({})
) -> list[PromptLine | BadLine]:
    """Read a prompts file; one entry per line that is not blank, in file order.

    defaults: fields for lines that don't give them, such as {"style": "quiet"}.
    Raises InputError only if the file itself can't be read or holds no line at all.
    """
    path = Path(path)
    raw = _read_file(path)
    entries: list[PromptLine | BadLine] = []
    taken: dict[str, int] = {}
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        entries.append(_read_line(line, number, path, taken, defaults))
    if not entries:
        raise InputError(f"{path} holds no prompts; write one JSON object per line")
    return entries


def parse_prompt(data: object, folder: Path) -> Prompt:
    """Check plain data and make a Prompt of it; audio paths are relative to `folder`.

    A field that is null counts as left out. Raises InputError whose `field` names the culprit.
    """
    if not isinstance(data, dict):
        raise InputError('the line is not a JSON object; write {"id": ..., "text": ...}')
    for name in data:
        if name not in FIELDS:
            shown = _shown(name)
            raise InputError(f"unknown field {shown}; known are {', '.join(FIELDS)}", field=shown)
    prompt_id = check_id(data.get("id"))
    text, transcript = _optional_text(data, "text"), _optional_text(data, "transcript")
    audio = _optional_text(data, "audio")
    mode = _mode(data.get("mode"), text, audio)
    _check_mode_inputs(mode, text, audio, transcript)
    reply = parse_reply(data, mode, folder, _optional_text)
    return Prompt(
        id=prompt_id,
        mode=mode,
        text=text,
        audio=None if audio is None else folder / audio,
        transcript=transcript,
        language=_language(data.get("language")),
        voice=_optional_text(data, "voice"),
        rate=_rate(data.get("rate")),
        style=_style(data.get("style")),
        seed=_seed(data.get("seed")),
        meta=_meta(data.get("meta")),
        **reply,
    )


def _message(value: object) -> Message:
    if isinstance(value, Message):
        return value
    raise InputError(
        f"holds {type(value).__name__}; it takes exomni_core.conversation.Message", field="history"
    )


def check_prompt(prompt: object) -> Prompt:
    """The prompt if all of it is as a prompts file would have it; InputError names the culprit.

    For engines: what Python code puts together has met no check before.
    """
    if not isinstance(prompt, Prompt):
        raise InputError(f"an engine takes a Prompt, not {type(prompt).__name__}")
    data = prompt.to_json()
    if prompt.audio is not None:
        data["audio"] = str(prompt.audio)
    if prompt.history:
        data["history"] = [
            message.to_json() | ({} if message.audio is None else {"audio": str(message.audio)})
            for message in prompt.history
        ]
    return parse_prompt(data, Path())


def check_id(value: object) -> str:
    """Return the id if it can be a file name on every system; raises InputError."""
    if not isinstance(value, str) or not value:
        raise InputError(
            "give every prompt an id, a short text that can be a file name", field="id"
        )
    shown = value if len(value) <= 40 else value[:37] + "..."
    value = unicodedata.normalize("NFC", value)
    for character in value:
        # Letters, marks (accents, vowel signs) and digits of any script.
        if character not in "-_." and unicodedata.category(character)[0] not in "LMN":
            raise InputError(
                f"{shown!r} holds {character!r}; use letters, digits, '-', '_' and '.' only",
                field="id",
            )
    if value.startswith(".") or value.endswith("."):
        raise InputError(f"{shown!r} starts or ends with a dot; remove it", field="id")
    if len(value.encode()) > MAX_ID_BYTES:
        raise InputError(f"{shown!r} is longer than {MAX_ID_BYTES} bytes; shorten it", field="id")
    if re.fullmatch(r"(?i)(con|prn|aux|nul|(com|lpt)[\d¹²³])(\..*)?", value):
        raise InputError(f"{shown!r} is a reserved name on Windows; choose another", field="id")
    return value


def _read_file(path: Path) -> bytes:
    try:
        raw = read_at_most(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} can't be read: {reason}") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        raise InputError(f"{path} is UTF-16 or UTF-32 text; save it as UTF-8")
    return raw


def _read_line(
    line: bytes, number: int, path: Path, taken: dict[str, int], defaults: Mapping[str, Any]
) -> PromptLine | BadLine:
    prompt_id: str | None = None
    try:
        data = _decode(line)
        prompt_id = _safe_id(data)
        if isinstance(data, dict):
            data |= {name: value for name, value in defaults.items() if data.get(name) is None}
        prompt = parse_prompt(data, path.parent)
        # Case-blind, because some file systems are; folding can undo the NFC of check_id.
        same_file = unicodedata.normalize("NFC", prompt.id.casefold())
        first = taken.setdefault(same_file, number)
        if first != number:
            prompt_id = None  # the id belongs to the first row that uses it
            raise InputError(
                f"id {prompt.id!r} is already used in line {first} (upper and lower case count as "
                "the same); choose another",
                field="id",
            )
        return PromptLine(number, prompt)
    except InputError as error:
        place = f"{path.name}:{number}" + (f": {error.field}" if error.field else "")
        return BadLine(number, f"{place}: {error}", error.field, prompt_id)


def _decode(line: bytes) -> object:
    if len(line) > MAX_LINE_BYTES:
        raise InputError(f"the line is longer than {MAX_LINE_BYTES} bytes; split it")
    try:
        return parse_json(
            line.decode("utf-8"),
            object_pairs_hook=_refuse_repeats,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise InputError("the line is not UTF-8; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"the line is not valid JSON: {error.msg} (column {error.colno}); write one object "
            "per line, with no list around them"
        ) from error
    except ValueError as error:
        raise InputError("the line is not usable JSON; simplify it") from error


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in data if names.count(name) > 1)
        raise InputError(f"{_shown(twice)} stands twice in the line; remove one")
    return data


def _refuse_constant(constant: str) -> None:
    raise InputError(f"{constant} is not a JSON number; write a plain number")


def _shown(value: object) -> str:
    """A value in a form short enough for a sentence."""
    if value is None:
        return "null"
    if isinstance(value, (list, dict)):  # its text could be as long or as deep as the line
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a huge number"
    text = repr(value) if isinstance(value, (str, int, float)) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "..."


def _safe_id(data: object) -> str | None:
    try:
        return check_id(data.get("id")) if isinstance(data, dict) else None
    except InputError:
        return None


def _optional_text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError(f"is {_shown(value)}; it must be a text", field=name)
    if not value.strip():
        raise InputError("is empty; write something", field=name)
    if len(value) > MAX_TEXT_CHARACTERS:
        raise InputError(
            f"is {len(value)} characters long; {MAX_TEXT_CHARACTERS} is the most, split it",
            field=name,
        )
    if any(0xD800 <= ord(c) <= 0xDFFF for c in value) or "\0" in value:
        raise InputError("holds broken or NUL characters; remove them", field=name)
    return value


def _mode(value: object, text: str | None, audio: str | None) -> Mode:
    if value is None:  # what is given tells what is meant
        return "lipsync" if audio is not None and text is None else "say"
    for mode in MODES:
        if value == mode:
            return mode
    raise InputError(f"is {_shown(value)}; it must be one of {', '.join(MODES)}", field="mode")


def _check_mode_inputs(
    mode: Mode, text: str | None, audio: str | None, transcript: str | None
) -> None:
    if text is not None and audio is not None and mode != "reply":
        raise InputError(
            "give either text or audio; the words of a recording go into transcript", field="audio"
        )
    if mode == "say" and text is None:
        raise InputError("mode 'say' needs a text", field="text")
    if mode == "lipsync" and audio is None:
        raise InputError("mode 'lipsync' needs an audio file", field="audio")
    if mode == "reply" and text is None and audio is None:
        raise InputError("mode 'reply' needs a text or an audio file", field="text")
    if transcript is not None and audio is None:
        raise InputError("a transcript without audio has no use; give audio or text",
                         field="transcript")  # fmt: skip


def _language(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _LANGUAGE.fullmatch(value):
        raise InputError(
            f"{_shown(value)} is not a language such as en, zh or de", field="language"
        )
    return value.replace("_", "-").lower()


def _rate(value: object) -> float:
    if value is None:
        return 1.0
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Comparing before converting: a JSON integer may be too large for a float.
    if number and MIN_RATE <= value <= MAX_RATE:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise InputError(
        f"is {_shown(value)}; it must be a number from {MIN_RATE} to {MAX_RATE}", field="rate"
    )


def _style(value: object) -> str:
    if value is None:
        return "neutral"
    if not isinstance(value, str) or value not in STYLES:
        raise InputError(
            f"is {_shown(value)}; it must be one of {', '.join(STYLES)}", field="style"
        )
    return value


def _seed(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InputError(f"is {_shown(value)}; it must be a whole number from 0", field="seed")
    return value


def _meta(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"is {_shown(value)}; it must be a JSON object", field="meta")
    try:  # it is copied into clips and manifests, so it must survive the way
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("holds data that JSON can't carry; simplify it", field="meta") from error
    return value
