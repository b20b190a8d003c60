# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation in, the prompt's token ids out, with a marker wherever a recording is heard.

Spec 3: the chat template replaces the tokenizer's own. What the user types never becomes a control
token here: only our own pieces of the template do (in the release, a typed `<speech>` injects a
block of sound).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.omni.config import SPEECH_MARKER_ID, Compat

SPEECH: Final = "<speech>"
SYSTEM: Final = (
    "You are a multimodal assistant that understands both speech and text, and can respond using "
    "natural language or synthesized speech."
)
MOST_TURNS: Final = 40  # of the past, besides the system message
_OPEN, _CLOSE = "<|im_start|>", "<|im_end|>"


@dataclass(frozen=True)
class Turn:
    """role: `system`, `user` or `assistant`. content: SPEECH where `recordings` are heard.

    heard: number of recordings in the turn; the first SPEECH markers stand for them, and later ones
    are text that the user typed.
    """

    role: str
    content: str
    heard: int = 0


def user_turn(text: str | None, *, speaks: bool) -> Turn:
    """What the user says, by voice, in writing or both."""
    if not speaks:
        return Turn("user", text or "")
    return Turn("user", f"{SPEECH}\n{text}" if text else SPEECH, heard=1)


def past_turn(text: str | None, *, spoke: bool) -> Turn:
    """A user's turn as the release remembers it: without its sound (compat="reference")."""
    if not spoke:
        return Turn("user", text or "")
    return Turn("user", f"[Speech] {text}" if text else "[Speech input]")


def recent(turns: Sequence[Turn], system: str | None) -> list[Turn]:
    """The system message and the last MOST_TURNS turns."""
    return [Turn("system", system or SYSTEM), *turns[-MOST_TURNS:]]


def framed(turns: Sequence[Turn]) -> Iterator[str | Turn]:
    """The prompt as the release writes it: markup, and the turns whose content it encloses."""
    for turn in turns:
        yield f"{_OPEN}{turn.role}\n"
        yield turn
        yield f"{_CLOSE}\n"
    yield f"{_OPEN}assistant\n"


class TextTokenizer:
    """The checkpoint's Qwen tokenizer. Raises InputError for a folder without one."""

    def __init__(self, folder: Path) -> None:
        from transformers import Qwen2Tokenizer

        try:
            self._tokenizer: Any = Qwen2Tokenizer.from_pretrained(
                str(folder), local_files_only=True
            )
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{folder} holds no tokenizer that can be read ({reason}); get it again: "
                f"exorender models pull ex-omni --models {folder.parent}",
                field="model",
            ) from error

    @property
    def end_id(self) -> int:
        """The token that closes a turn."""
        return self.plain_ids_of(_CLOSE, special=True)[0]

    def plain_ids_of(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`; control tokens in it count as such only if `special`."""
        if not text:
            return []
        ids = self._tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=not special
        )
        return [int(i) for i in ids]

    def prompt_ids(self, turns: Sequence[Turn], compat: Compat = "fixed") -> list[int]:
        """The ids of `framed(turns)`, SPEECH_MARKER_ID where a recording is heard."""
        ids: list[int] = []
        for piece in framed(turns):
            if isinstance(piece, Turn):
                ids += self._content_ids(piece, compat)
            else:
                ids += self.plain_ids_of(piece, special=True)
        return ids

    def _content_ids(self, turn: Turn, compat: Compat) -> list[int]:
        reference = compat == "reference"
        pieces = turn.content.split(SPEECH, -1 if reference else turn.heard)
        ids = self.plain_ids_of(pieces[0], special=reference)
        for piece in pieces[1:]:
            ids += [SPEECH_MARKER_ID, *self.plain_ids_of(piece, special=reference)]
        return ids

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of `ids` without control tokens, stripped."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def pieces_of(self, ids: Sequence[int]) -> str:
        """The text of `ids` with its spaces, to show a reply while it is written."""
        return str(
            self._tokenizer.decode(
                list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )


# Where a reply may be cut for speech: after the end of a sentence, else of a clause.
_SENTENCE: Final = re.compile(r"[.!?。！？…][\"'”’)\]]*\s*$")
_CLAUSE: Final = re.compile(r"[,;:，；：、—\n][\"'”’)\]]*\s*$")


def ends_sentence(text: str) -> bool:
    """Whether `text` ends where a sentence does."""
    return _SENTENCE.search(text) is not None


def ends_clause(text: str) -> bool:
    """Whether `text` ends where a speaker may pause."""
    return ends_sentence(text) or _CLAUSE.search(text) is not None
