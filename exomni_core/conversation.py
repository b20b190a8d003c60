# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data in, a conversation's earlier messages and the sampling of the answer out, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from exomni_core.errors import InputError

OptionalText = Callable[[Mapping[str, Any], str], str | None]
Role = Literal["user", "assistant"]
MAX_MESSAGES: Final = 200
MAX_TEMPERATURE: Final = 5.0
MAX_TOKENS: Final = 16_384
REPLY_FIELDS: Final = ("system", "temperature", "top_p", "max_tokens")
_KEYS: Final = ("role", "text", "audio")


@dataclass(frozen=True)
class Message:
    """What was said before. A user's message is text, audio or both; the assistant's is text."""

    role: Role
    text: str | None = None
    audio: Path | None = None

    def __post_init__(self) -> None:
        if isinstance(self.audio, str):  # as everybody writes it
            object.__setattr__(self, "audio", Path(self.audio))

    def to_json(self) -> dict[str, Any]:
        """Plain data; the audio by file name, so no path leaks."""
        data: dict[str, Any] = {"role": self.role}
        if self.text is not None:
            data["text"] = self.text
        if self.audio is not None:
            data["audio"] = self.audio.name
        return data


def parse_reply(
    data: Mapping[str, Any], mode: str, folder: Path, optional_text: OptionalText
) -> dict[str, Any]:
    """The fields of a prompt that only mode reply takes; InputError if another mode has one."""
    for name in (*REPLY_FIELDS, "history"):
        if mode != "reply" and data.get(name) is not None:
            raise InputError(f"only mode 'reply' takes {name}; remove it", field=name)
    most = _number(data.get("max_tokens"), "max_tokens", 1, MAX_TOKENS, whole=True)
    return {
        "system": optional_text(data, "system"),
        "history": _history(data.get("history"), folder, optional_text),
        "temperature": _number(data.get("temperature"), "temperature", 0.0, MAX_TEMPERATURE),
        "top_p": _number(data.get("top_p"), "top_p", 0.01, 1.0),
        "max_tokens": None if most is None else int(most),
    }


def _history(value: object, folder: Path, optional_text: OptionalText) -> tuple[Message, ...]:
    """A list of messages; audio paths are relative to `folder`. InputError(field="history")."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_MESSAGES:
        raise InputError(
            f"must be a list of up to {MAX_MESSAGES} messages such as "
            '{"role": "user", "text": ...}',
            field="history",
        )
    return tuple(
        _message(entry, number, folder, optional_text) for number, entry in enumerate(value)
    )


def _message(
    entry: object,
    number: int,
    folder: Path,
    optional_text: OptionalText,
) -> Message:
    where = f"message {number + 1}"
    if not isinstance(entry, dict):
        raise InputError(
            f'{where} must be an object such as {{"role": "user", "text": ...}}', field="history"
        )
    for key in entry:
        if key not in _KEYS:
            raise InputError(
                f"{where} has the unknown key {str(key)[:40]!r}; known are role, text and audio",
                field="history",
            )
    role = entry.get("role")
    if role not in ("user", "assistant"):
        raise InputError(f"{where} needs the role user or assistant", field="history")
    try:
        text, audio = optional_text(entry, "text"), optional_text(entry, "audio")
    except InputError as error:
        raise InputError(f"{where}: {error.field} {error}", field="history") from error
    if text is None and audio is None:
        raise InputError(f"{where} is empty; give it a text", field="history")
    if role == "assistant" and audio is not None:
        raise InputError(f"{where} is the assistant's; it takes a text only", field="history")
    return Message(role, text, None if audio is None else folder / audio)


def _number(
    value: object, name: str, low: float, high: float, *, whole: bool = False
) -> float | None:
    """A number from `low` to `high`, or None; InputError that names the field."""
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and (not whole or isinstance(value, int)) and low <= value <= high:  # type: ignore[operator]
        return value  # type: ignore[return-value]
    kind = "whole number" if whole else "number"
    raise InputError(f"must be a {kind} from {low:g} to {high:g}", field=name)
