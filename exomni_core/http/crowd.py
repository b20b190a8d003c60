# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections in, out which of them may stay: limits in total and for each address.

A server that is full closes a connection that still owes it a request, rather than turn a newcomer
away: so nobody who sends a request at once is shut out by those who send theirs byte by byte.
"""

from __future__ import annotations

import ipaddress
import math
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

_RESERVED: Final = 8  # at most an eighth; for this machine's own programs


@dataclass
class _Member:
    """One open connection. deadline: None while its request is here and is answered.

    known: it has sent a whole request, or passed the gates with one.
    """

    address: str
    since: float
    deadline: float | None = None
    known: bool = False


@dataclass(frozen=True)
class Entry:
    """Whether a newcomer may come in, and which connection has to go for it."""

    allowed: bool
    closed: socket.socket | None = None


class Crowd:
    """All connections of a server; for any thread. Times are monotonic seconds."""

    def __init__(self, most: int, per_address: int) -> None:
        """most: at a time. per_address: the same from one address; this machine may use all.

        Other machines together leave some of `most` to this one.
        """
        self._most, self._per_address = most, per_address
        self._reserved = min(_RESERVED, most // 8)
        self._members: dict[socket.socket, _Member] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._members)

    def enter(self, connection: socket.socket, address: str) -> Entry:
        """Count a newcomer in, if need be in the place of one without a request."""
        local = is_own(address)
        with self._lock:
            same = [c for c, m in self._members.items() if m.address == address]
            crowded: list[socket.socket] | None = None
            if not local and len(same) >= self._per_address:
                crowded = same
            elif len(self._members) >= self._most - (0 if local else self._reserved):
                crowded = list(self._members)
            closed = self._first_to_go(crowded) if crowded is not None else None
            if crowded is not None and closed is None:
                return Entry(allowed=False)
            if closed is not None:
                del self._members[closed]
            # It is given a deadline as soon as its thread runs.
            self._members[connection] = _Member(address, time.monotonic(), math.inf)
            return Entry(allowed=True, closed=closed)

    def leave(self, connection: socket.socket) -> None:
        """It has ended."""
        with self._lock:
            self._members.pop(connection, None)

    def watch(self, connection: socket.socket, seconds: float | None, *, known: bool) -> None:
        """It owes a request, or the rest of one, by so many seconds from now; None: nothing."""
        with self._lock:
            member = self._members.get(connection)
            if member is not None:
                member.deadline = None if seconds is None else time.monotonic() + seconds
                member.known = member.known or known

    def take_late(self) -> list[socket.socket]:
        """The connections whose time has run out; they don't count any more."""
        now = time.monotonic()
        with self._lock:
            late = [
                connection
                for connection, member in self._members.items()
                if member.deadline is not None and member.deadline < now
            ]
            for connection in late:
                del self._members[connection]
        return late

    def _first_to_go(self, crowd: list[socket.socket]) -> socket.socket | None:
        """Who never sent a whole request goes first, then of the busiest address, the oldest."""
        counts = Counter(member.address for member in self._members.values())

        def rank(connection: socket.socket) -> tuple[bool, int, float]:
            member = self._members[connection]
            return member.known, -counts[member.address], member.since

        waiting = [c for c in crowd if self._members[c].deadline is not None]
        return min(waiting, key=rank, default=None)


def is_own(address: str) -> bool:
    """Whether a connection's address is one of this machine's own programs."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
