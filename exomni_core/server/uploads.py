# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients' recordings in, files named by us out; `protocol.py` has the size that is refused."""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from exomni_core.errors import InputError
from exomni_core.server.protocol import UPLOAD_ID

KEPT_UPLOADS: Final = 32
KEPT_BYTES: Final = 1 << 30
_PIECE: Final = 1 << 16
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True)
class Upload:
    """A file that a client sent. name: what the client calls it, for messages and clips."""

    path: Path
    name: str
    size: int


class Readable(Protocol):
    """What an upload is read from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


class Uploads:
    """The recordings that are kept; the oldest that no job needs give way to new ones."""

    def __init__(self, folder: Path, in_use: Callable[[], set[str]]) -> None:
        """in_use: tells the paths that jobs need."""
        self._folder = folder
        self._in_use = in_use
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def receive(self, name: str, source: Readable, size: int) -> str:
        """Read `size` bytes and keep them; returns the id. ConnectionError if fewer come.

        Raises OSError if they can't be written. `name` gives the ending only, nothing else of it
        becomes part of a path.
        """
        shown = plain_name(name)
        upload_id = f"upload-{secrets.token_hex(16)}"
        ending = Path(shown).suffix
        path = self._folder / (upload_id + (ending if _SUFFIX.fullmatch(ending) else ""))
        try:
            with open(path, "xb") as target:
                copy(source, target, size)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        with self._lock:
            self._uploads[upload_id] = Upload(path, shown, size)
            self._forget()
        return upload_id

    def find(self, upload_id: str) -> Upload:
        """The upload of that id; InputError(field="audio") if it isn't there."""
        with self._lock:
            if upload_id in self._uploads:
                return self._uploads[upload_id]
        raise InputError(
            "this recording is not on the server any more; send it again", field="audio"
        )

    def _forget(self) -> None:
        needed = self._in_use()
        newest = next(reversed(self._uploads))
        for upload_id, upload in list(self._uploads.items()):
            size = sum(one.size for one in self._uploads.values())
            if len(self._uploads) <= KEPT_UPLOADS and size <= KEPT_BYTES:
                return
            if upload_id != newest and str(upload.path) not in needed:
                with contextlib.suppress(OSError):
                    upload.path.unlink(missing_ok=True)
                del self._uploads[upload_id]


def is_upload_id(text: str) -> bool:
    """Whether `text` has the form of an upload's id."""
    return UPLOAD_ID.fullmatch(text) is not None


def plain_name(name: str) -> str:
    """The last part of a name that came from elsewhere, without what no file name holds."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(". ")
    return kept[-80:] or "recording"


def copy(source: Readable, target: Any, size: int) -> None:
    """Write `size` bytes of `source` to `target`; ConnectionError if fewer come."""
    left = size
    while left:
        piece = source.read(min(_PIECE, left))
        if not piece:
            raise ConnectionError("the upload ended early")
        target.write(piece)
        left -= len(piece)
