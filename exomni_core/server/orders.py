# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON of a new job in, a checked order out: prompt, engine, options, recordings found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from exomni_core.engine import DEFAULT_ENGINE
from exomni_core.errors import InputError
from exomni_core.prompt import parse_prompt
from exomni_core.server.engines import check_options
from exomni_core.server.jobs import Order
from exomni_core.server.uploads import Uploads, is_upload_id

_FIELDS: Final = ("prompt", "engine", "options", "stream")


def read_order(data: dict[str, Any], uploads: Uploads, *, local: bool) -> Order:
    """Check what a client asks for; InputError whose `field` names the culprit.

    local: the client is on this machine, so that it may name files by their whole path.
    """
    for name in data:
        if name not in _FIELDS:
            raise InputError(
                f"unknown field {name[:40]!r}; known are {', '.join(_FIELDS)}", field=name[:40]
            )
    engine, stream = data.get("engine", DEFAULT_ENGINE), data.get("stream", True)
    if not isinstance(engine, str):
        raise InputError("the engine must be a name", field="engine")
    if not isinstance(stream, bool):
        raise InputError("stream must be true or false", field="stream")
    options = check_options(engine, data.get("options") or {}, local=local)
    given = data.get("prompt")
    if not isinstance(given, dict):
        raise InputError('give a prompt such as {"text": "Hello."}', field="prompt")
    names: dict[str, str] = {}
    prompt = {"id": "take"} | _with_files(given, uploads, names, local=local)
    history = prompt.get("history")
    if isinstance(history, list):
        prompt["history"] = [
            _with_files(message, uploads, names, local=local)
            if isinstance(message, dict)
            else message
            for message in history
        ]
    return Order(parse_prompt(prompt, Path()), engine, options, stream, names)


def _with_files(
    data: dict[str, Any], uploads: Uploads, names: dict[str, str], *, local: bool
) -> dict[str, Any]:
    """`data` with its `audio` as a whole path; `names` learns what the client calls an upload."""
    audio = data.get("audio")
    if not isinstance(audio, str):
        return data
    if is_upload_id(audio):
        upload = uploads.find(audio)
        names[str(upload.path)] = upload.name
        return {**data, "audio": str(upload.path)}
    if not local:
        raise InputError(
            "this engine runs on another machine; send the recording first and name its id",
            field="audio",
        )
    if not Path(audio).is_absolute():
        raise InputError("give the whole path of the recording, or an upload's id", field="audio")
    return data
