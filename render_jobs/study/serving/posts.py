# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of a rater's request in, checked values out; anything else is one sentence.

Everything here comes from a machine that we don't know. Numbers are bounded, texts are cut to what
a person writes, unknown fields are dropped.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from exomni_core.errors import InputError
from render_jobs.study.serving.session import RESPONSES

MAX_BODY_BYTES: Final = 32 << 10
MAX_COMMENT: Final = 2000  # characters
_MAX_MS: Final = 24 * 3600 * 1000
_MAX_ROWS: Final = 200  # of a list in the timing log
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_VIEWPORT: Final = re.compile(r"\d{1,5}x\d{1,5}")
_BROWSERS: Final = ("Chrome", "Edge", "Firefox", "Safari", "other")
_COUNTS: Final = (
    "plays",
    "stalls",
    "stalled_ms",
    "frames",
    "frames_dropped",
    "drift_fixes",
    "load_failures",
)
_TIMES: Final = ("first_play_ms", "ready_ms", "watched_ms", "hidden_ms", "drift_max_ms")
_SPANS: Final = ("played", "hidden", "fullscreen", "ended_ms")

Body = Mapping[str, Any]


class NotYoursError(InputError):
    """The request is about something that is not this rater's, or not now."""


class TooManyChangesError(InputError):
    """An answer was changed as often as it may be; the last one stands."""


class OtherTabError(InputError):
    """Another tab of this rater has taken over."""


@dataclass(frozen=True)
class Answer:
    """One answer as the page sent it.

    uuid: made by the page, the same in every repetition. rt_ms: from the first showing of the
    trial to the answer. coverage: share of the clip that was played, 0..1. timing: the rest of the
    log, checked.
    """

    uuid: str
    trial_id: str
    response: str
    rt_ms: int
    coverage: float
    viewport: str
    timing: dict[str, Any] = field(default_factory=dict)


def read_body(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body; InputError."""
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError("the request is no JSON") from error
    if not isinstance(data, dict):
        raise InputError("the request is no JSON object")
    return data


def read_answer(data: Body) -> Answer:
    """The answer in a body; InputError(field=...)."""
    response = data.get("response")
    if response not in RESPONSES:
        raise InputError("the response must be left, tie or right", field="response")
    timing = data.get("timing")
    if not isinstance(timing, dict):
        raise InputError("the timing log is missing", field="timing")
    return Answer(
        uuid=_match(data, "uuid", _UUID),
        trial_id=_match(data, "trial", _ID),
        response=str(response),
        rt_ms=round(number(data, "rt_ms", _MAX_MS)),
        coverage=min(number(timing, "coverage", 2.0), 1.0),
        viewport=read_viewport(data),
        timing=_timing(timing),
    )


def read_tab(data: Body) -> str:
    """Which tab of the rater's browser speaks."""
    return _match(data, "tab", _ID)


def read_trial_id(data: Body) -> str:
    """The trial that a request is about."""
    return _match(data, "trial", _ID)


def read_viewport(data: Body) -> str:
    """The window's size in CSS pixels, such as 1280x800."""
    return _match(data, "viewport", _VIEWPORT)


def read_browser(data: Body) -> str:
    """The browser's family; never the whole user agent."""
    family = data.get("browser")
    return str(family) if family in _BROWSERS else "other"


def read_choice(data: Body, name: str, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    value = data.get(name)
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}", field=name)
    return str(value)


def read_comment(data: Body, name: str = "comment") -> str:
    """What a rater wrote: one paragraph of printable characters, cut to a page."""
    value = data.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text", field=name)
    if len(value) > MAX_COMMENT:
        raise InputError(f"{name} is longer than {MAX_COMMENT} characters", field=name)
    kept = (c if unicodedata.category(c)[0] != "C" else " " for c in value)
    return " ".join("".join(kept).split())


def read_digits(data: Body) -> str:
    """What a rater heard; full-width digits count, blanks and commas don't."""
    value = data.get("digits")
    if not isinstance(value, str) or len(value) > 40:
        raise InputError("digits must be a short text", field="digits")
    return "".join(c for c in unicodedata.normalize("NFKC", value) if c.isdigit())


def number(data: Body, name: str, most: float) -> float:
    """A number from 0 to `most`."""
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} must be a number", field=name)
    if not math.isfinite(value) or not 0 <= value <= most:
        raise InputError(f"{name} must lie in 0 to {most:g}", field=name)
    return float(value)


def _timing(data: Body) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name in _COUNTS:
        if data.get(name) is not None:
            kept[name] = round(number(data, name, 1e7))
    for name in _TIMES:
        if data.get(name) is not None:
            kept[name] = round(number(data, name, _MAX_MS))
    for name in _SPANS:
        if data.get(name) is not None:
            kept[name] = _spans(data[name], name)
    for name in ("small_screen", "portrait", "touch", "correction"):
        if isinstance(data.get(name), bool):
            kept[name] = data[name]
    if data.get("by") in ("mouse", "touch", "keys"):
        kept["by"] = data["by"]
    return kept


def _spans(value: object, name: str) -> list[Any]:
    """A list of numbers, or of pairs of numbers."""
    if not isinstance(value, list) or len(value) > _MAX_ROWS:
        raise InputError(f"{name} must be a short list", field=name)
    rows: list[Any] = []
    for row in value:
        numbers = row if isinstance(row, list) else [row]
        if len(numbers) not in (1, 2):
            raise InputError(f"{name} must hold numbers or pairs of them", field=name)
        checked = [round(number({name: one}, name, _MAX_MS)) for one in numbers]
        rows.append(checked if isinstance(row, list) else checked[0])
    return rows


def _match(data: Body, name: str, pattern: re.Pattern[str]) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InputError(f"{name} is missing or malformed", field=name)
    return value
