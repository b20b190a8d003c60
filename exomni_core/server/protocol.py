# SPDX-License-Identifier: GPL-3.0-or-later
"""Events, errors and limits that the engine process and its clients agree on <-> bytes.

The standard library alone, because both sides of it also run in Blender's own Python.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final

from exomni_core.errors import ExOmniError, InputError, WorkerError, error_to_json
from exomni_core.storage.documents import json_bytes

SERVICE: Final = "exomni"
PROTOCOL: Final = 1  # raise it when an older client would misread what the server says
PROTOCOL_HEADER: Final = "X-Exomni-Protocol"
DEFAULT_PORT: Final = 7767

HEARTBEAT_S: Final = 2.0  # an empty line in a stream of events, so that a dead peer is noticed
MAX_JSON_BYTES: Final = 8 << 20
MAX_UPLOAD_BYTES: Final = 100 << 20  # of a recording, and of a clip
MAX_WAITING: Final = 16  # jobs in the queue, besides the one at work
MIN_TOKEN_CHARACTERS: Final = 16

ENDINGS: Final = ("done", "failed", "cancelled")  # each job ends with exactly one of them
UPLOAD_ID: Final = re.compile(r"upload-[0-9a-f]{32}")

Event = dict[str, Any]


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(32)


def event_line(event: Mapping[str, Any]) -> bytes:
    """An event as a line of a stream."""
    return json_bytes(event) + b"\n"


def parse_event(line: bytes) -> Event | None:
    """The event of a line; None for a heartbeat. Raises WorkerError for anything else."""
    if not line.strip():
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise unreadable() from error
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise unreadable()
    return event


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request's body; InputError says what is wrong with it."""
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InputError("the request is not UTF-8; send JSON in UTF-8") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"the request is not valid JSON: {error.msg} (character {error.pos})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError("the request is not usable JSON; simplify it") from error
    if not isinstance(data, dict):
        raise InputError("the request is not a JSON object")
    return data


def error_fields(error: ExOmniError) -> dict[str, Any]:
    """An error as it travels: its sentence, its kind and the field it is about.

    Clients know the finer kinds only; an error of no such kind goes as a WorkerError.
    """
    fields = error_to_json(error)
    return fields | {"kind": WorkerError.__name__} if fields["kind"] == "ExOmniError" else fields


def unreadable() -> WorkerError:
    """For an answer that breaks the protocol."""
    return WorkerError("the engine process gave an unreadable answer; start it again")


def slices(data: bytes | memoryview, size: int = 1 << 20) -> Iterator[memoryview]:
    """`data` in pieces, so that a time-out counts for each piece and not for the whole."""
    view = memoryview(data)
    for start in range(0, len(view), size):
        yield view[start : start + size]


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
