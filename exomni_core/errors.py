# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors: each carries one sentence that a user can act on."""

from __future__ import annotations


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
