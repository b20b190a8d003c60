# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors, each one sentence that a user can act on; errors <-> plain data."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any, Final


class ExOmniError(Exception):
    """Base of all errors we raise on purpose; `str(error)` is one sentence for the user."""


class InputError(ExOmniError):
    """The user's input (a prompt, a recording, a file, an option) can't be used as it is.

    `field` names the part of the input that is wrong, where there is one.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ClipError(InputError):
    """A clip file or a clip's contents break the clip contract."""


class EnvironmentProblem(ExOmniError):  # noqa: N818 (EnvironmentError is Python's)
    """This machine lacks something the job needs; the sentence says how to get it."""


class WorkerError(ExOmniError):
    """A helper process died, hung or answered nonsense; the job it held can be tried again."""


class Cancelled(ExOmniError):  # noqa: N818 (no error of anybody's)
    """The user asked to stop; nothing unfinished is left behind."""


_KINDS: Final[Mapping[str, type[ExOmniError]]] = {
    kind.__name__: kind
    for kind in (ClipError, InputError, EnvironmentProblem, WorkerError, Cancelled, ExOmniError)
}


_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def full_disk(error: BaseException, what: str = "") -> EnvironmentProblem | None:
    """The sentence for a write that failed because there is no room; None for any other error.

    what: could not be written; by default the file that the error names.
    """
    if not isinstance(error, OSError) or error.errno not in _FULL:
        return None
    what = what or str(error.filename or "a file")
    return EnvironmentProblem(
        f"{what} can't be written ({error.strerror}); free some space, then run the same command "
        "again"
    )


def _no_memory(error: BaseException) -> WorkerError | None:
    """The sentence for an error that means a lack of memory; None for any other."""
    lacks = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if lacks or isinstance(error, MemoryError) or "can't start new thread" in str(error):
        return WorkerError("memory ran out; try --workers 1 or close other programs")
    return None


def error_to_json(error: BaseException) -> dict[str, Any]:
    """An error as it travels: `error`, its sentence; `kind`, the nearest of ours; maybe `field`.

    An exception that is none of ours is a fault of the program, and the sentence says so.
    """
    error = full_disk(error) or _no_memory(error) or error
    names = [kind.__name__ for kind in type(error).__mro__]
    if not isinstance(error, ExOmniError):
        text = f"an unexpected fault ({names[0]}: {error}); please report it"
        return {"error": text, "kind": ExOmniError.__name__}
    data: dict[str, Any] = {"error": str(error), "kind": next(n for n in names if n in _KINDS)}
    field = getattr(error, "field", None)
    return data | {"field": field} if field else data


def error_from_json(
    data: Mapping[str, Any], fallback: type[ExOmniError] = ExOmniError
) -> ExOmniError:
    """The inverse of `error_to_json`; `fallback` where the data names no kind that we know."""
    sentence = str(data.get("error") or "it failed and said nothing; try again")
    kind = _KINDS.get(str(data.get("kind")), fallback)
    field = data.get("field")
    if issubclass(kind, InputError):
        return kind(sentence, field=field if isinstance(field, str) else None)
    return kind(sentence)
