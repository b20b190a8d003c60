# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of a study's log in, linked lines out: each holds the hash of the one before.

A linked line ends with {"n": its number, "salt", "prev": the hash before, "hash": its own}. A line
of an older log, or one that is damaged, counts by its bytes. Where a rater took answers back, a
stub stands with the line's number and hashes: the chain goes on, and what was said is gone (the
salt as well, so that nobody can find it by trying).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

REMOVED: Final = b'{"event":"removed"'
START: Final = "0" * 64
HEAD_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS journal_head "
    "(one INTEGER PRIMARY KEY, number INTEGER NOT NULL, hash TEXT NOT NULL);"
)
_LINKED: Final = re.compile(
    rb'(?P<body>\{.*),"chain":\{"n":(?P<n>\d{1,12}),"salt":"(?P<salt>[0-9a-f]*)",'
    rb'"prev":"(?P<prev>[0-9a-f]{64})","hash":"(?P<hash>[0-9a-f]{64})"\}\}\n'
)


@dataclass(frozen=True)
class Head:
    """The end of a chain: number and hash of its last line; 0 and zeros before the first."""

    number: int = 0
    hash: str = START


@dataclass(frozen=True)
class Link:
    """A line with its place. stated: it says its number and hashes itself. is_stub: its content
    was taken back. is_true: its hash is that of its content (of a stub: can't be known, True)."""

    line: bytes
    number: int
    prev: str
    hash: str
    stated: bool
    is_stub: bool
    is_true: bool


def linked(lines: Iterable[bytes], head: Head) -> tuple[list[bytes], Head]:
    """Lines of JSON objects with their links, and the chain's new end."""
    done: list[bytes] = []
    for line in lines:
        body, number, salt = line.rstrip(b"\n")[:-1], head.number + 1, secrets.token_hex(8)
        own = _hash(head.hash, number, salt, body)
        done.append(body + _tail(number, salt, head.hash, own))
        head = Head(number, own)
    return done, head


def links(lines: Iterable[bytes]) -> Iterator[Link]:
    """Whole lines in order, each with its place; nothing is refused."""
    head = Head()
    for line in lines:
        found = _LINKED.fullmatch(line)
        if found is None:
            own = _hash(head.hash, head.number + 1, "", line)
            link = Link(line, head.number + 1, head.hash, own, False, False, True)
        else:
            number, prev, own = int(found["n"]), found["prev"].decode(), found["hash"].decode()
            salt, body = found["salt"].decode(), found["body"]
            is_stub = body == REMOVED
            is_true = is_stub or own == _hash(prev, number, salt, body)
            link = Link(line, number, prev, own, True, is_stub, is_true)
        yield link
        head = Head(link.number, link.hash)


def stub(link: Link) -> bytes:
    """What stands in the place of a line that is taken back."""
    return REMOVED + _tail(link.number, "", link.prev, link.hash)


def head_of(lines: Iterable[bytes]) -> Head:
    """The chain's end."""
    head = Head()
    for link in links(lines):
        head = Head(link.number, link.hash)
    return head


def keep_head(db: sqlite3.Connection, head: Head) -> None:
    """Let the database know the chain's end, so that a cut is noticed."""
    row = (head.number, head.hash)
    db.execute("INSERT OR REPLACE INTO journal_head VALUES (1, ?, ?)", row)


def known_head(db: sqlite3.Connection) -> Head:
    """The chain's end as the database knows it; the start where it knows none."""
    try:
        row = db.execute("SELECT number, hash FROM journal_head").fetchone()
    except sqlite3.OperationalError:  # of a study from before the chain
        return Head()
    return Head() if row is None else Head(row[0], row[1])


def _tail(number: int, salt: str, prev: str, own: str) -> bytes:
    text = f',"chain":{{"n":{number},"salt":"{salt}","prev":"{prev}","hash":"{own}"}}}}\n'
    return text.encode("ascii")


def _hash(prev: str, number: int, salt: str, body: bytes) -> str:
    return hashlib.sha256(f"{prev} {number} {salt} ".encode("ascii") + body).hexdigest()
