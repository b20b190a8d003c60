# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as plain data: kind, sentence and field survive; what is none of ours is a fault."""

from __future__ import annotations

import errno
import json

import pytest

from exomni_core.errors import (
    Cancelled,
    ClipError,
    EnvironmentProblem,
    ExOmniError,
    InputError,
    WorkerError,
    error_from_json,
    error_to_json,
)
from exomni_core.storage.logs import last_line


class FinerError(ClipError):
    """A kind that the other side does not know."""


@pytest.mark.parametrize(
    "kind", [Cancelled, ClipError, EnvironmentProblem, ExOmniError, InputError, WorkerError]
)
def test_an_error_comes_back_as_it_was(kind):
    again = error_from_json(json.loads(json.dumps(error_to_json(kind("no such luck")))))
    assert type(again) is kind
    assert str(again) == "no such luck"


def test_the_field_and_the_nearest_kind_come_along():
    again = error_from_json(error_to_json(FinerError("cut", field="audio")))
    assert (type(again), again.field) == (ClipError, "audio")


def test_what_is_none_of_ours_is_told_as_a_fault():
    again = error_from_json(error_to_json(ZeroDivisionError("oops")))
    assert type(again) is ExOmniError
    assert str(again) == "an unexpected fault (ZeroDivisionError: oops); please report it"


def test_strange_data_is_still_an_error():
    again = error_from_json({"kind": "Surprise", "field": 3}, WorkerError)
    assert type(again) is WorkerError
    assert str(again)
    assert error_from_json({"kind": "InputError", "error": "x", "field": 3}).field is None


@pytest.mark.parametrize(
    ("written", "line"),
    [(b"", ""), ("a\n\nb \r\n \n", "b"), (b"\xff\x07x", "\ufffdx"), ("y" * 400, "y" * 300)],
)
def test_the_last_line_of_a_log(written, line):
    assert last_line(written) == line


def test_a_lack_of_memory_is_told_as_one():
    for error in (
        MemoryError(),
        OSError(errno.ENOMEM, "x"),
        RuntimeError("can't start new thread"),
    ):
        told = error_to_json(error)
        assert told["kind"] == "WorkerError"
        assert "memory ran out; try --workers 1" in told["error"]
