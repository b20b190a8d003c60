# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's secret in, the raters' links out; the database keeps only hashes of what they hold.

All tokens come from one random secret in `raters.json` (readable by its owner alone), so that the
links of a study stay the same from run to run and can be printed again.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from exomni_core.errors import InputError
from exomni_core.storage.foreign import load_json
from render_jobs.study.tables import table

RATERS_FILE: Final = "raters.json"
PROLIFIC_FILE: Final = "prolific.csv"
_TOKEN_BYTES: Final = 18


@dataclass(frozen=True)
class Keys:
    """What only the study's keeper knows; all tokens come from it."""

    secret: bytes

    def rater_token(self, seat: int, generation: int = 0) -> str:
        """The token in a rater's link. generation: how often the seat was given anew."""
        return self._token(f"rater/{seat}/{generation}")

    @property
    def admin_token(self) -> str:
        """The token of the page with the progress."""
        return self._token("admin")

    @property
    def join_token(self) -> str:
        """The token of the link that gives a newcomer the next free seat."""
        return self._token("join")

    def person_hash(self, person: str) -> str:
        """A recruiting platform's id for a person, made unreadable (32 hex digits)."""
        return self._mac(f"person/{person.strip()}").hex()[:32]

    def digits(self, rater_id: str, attempt: int, count: int = 4) -> str:
        """What the sound check of a rater says at an attempt: digits 1 to 9, no two alike."""
        stream = self._mac(f"digits/{rater_id}/{attempt}")
        left = list("123456789")
        return "".join(left.pop(byte % len(left)) for byte in stream[:count])

    def _token(self, purpose: str) -> str:
        return base64.urlsafe_b64encode(self._mac(purpose)[:_TOKEN_BYTES]).decode("ascii")

    def _mac(self, purpose: str) -> bytes:
        return hmac.new(self.secret, purpose.encode("utf-8", "replace"), hashlib.sha256).digest()


def token_hash(token: str) -> str:
    """What the database keeps of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def rater_name(seat: int, generation: int = 0) -> str:
    """The code that stands for a rater in all exports, such as R01 or, second on a seat, R01.2."""
    return f"R{seat + 1:02d}" + (f".{generation + 1}" if generation else "")


def load_keys(folder: Path, *, make: bool = True) -> Keys:
    """The study's keys; made on first use. Raises InputError where they can't be read or made."""
    path = Path(folder) / RATERS_FILE
    try:
        if make and not path.exists():
            _write_keys(path)
        secret = bytes.fromhex(load_json(path)["secret"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "it is not what this program wrote"
        raise InputError(f"{path} can't be used ({reason}); restore it") from error
    if len(secret) < 16:
        raise InputError(f"{path} holds too short a secret; restore it")
    return Keys(secret)


def _write_keys(path: Path) -> None:
    text = json.dumps({"secret": secrets.token_hex(32)}, indent=1) + "\n"
    with contextlib.suppress(FileExistsError):  # private from its first moment
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            target.write(text)


def base_url(text: str) -> str:
    """An address that links start with, without the last slash; InputError if it is none."""
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"{text!r} is no address; give one such as https://lab.example.org", field="base-url"
        )
    return text.strip().rstrip("/")


def rater_links(keys: Keys, base: str, places: list[tuple[int, int]]) -> list[tuple[str, str]]:
    """(rater, link) for each (seat, generation)."""
    return [
        (rater_name(seat, generation), f"{base}/r/{keys.rater_token(seat, generation)}")
        for seat, generation in places
    ]


def links_csv(links: list[tuple[str, str]]) -> str:
    """The links as a table with a header."""
    return table(("rater_id", "link"), links)
