# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording and, if known, its words in -> its timed sounds, their route and confidence out.

Another package adds a listener through the entry point group `exomni.listeners`, which names a
class that takes no arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from exomni_core.engine import CancelCheck, ProgressCallback
from exomni_core.errors import InputError
from exomni_core.phonetics.track import Track
from exomni_core.registry import LISTENERS, Registry

DEFAULT_LISTENER: Final = "sphinx"


@dataclass(frozen=True)
class ListenerFacts:
    """What a listener can do, for menus and docs.

    title: its name for people. languages: codes in which it finds sounds (empty: any).
    recognises: codes in which it finds words that were not given.
    """

    title: str
    languages: tuple[str, ...]
    recognises: tuple[str, ...] = ()


@runtime_checkable
class Listener(Protocol):
    """What every listener offers; made without arguments, and quickly: `listen` may load."""

    def facts(self) -> ListenerFacts:
        """What it can do."""
        ...

    def version(self) -> str:
        """Changes whenever it would hear the same recording otherwise; part of content hashes."""
        ...

    def reason(self) -> str:
        """Why it can't listen on this machine, as one sentence; empty if it can."""
        ...

    def listen(
        self,
        samples: npt.NDArray[np.float32],
        sample_rate_hz: int,
        *,
        transcript: str | None,
        language: str | None,
        budget_s: float,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Track:
        """Find what is said in `samples`, (S,) in [-1, 1].

        transcript: its words, if they are known. language: None means that of the transcript.
        budget_s: wall seconds for recognising words. The track's route tells how the sounds were
        found, its confidence how sure they are. Raises InputError for an unknown language, and
        Cancelled; never fails for the sound.
        """
        ...


def _made(_: str, found: Any) -> Listener:
    listener = found()
    if not isinstance(listener, Listener):
        raise InputError("it lacks methods of exomni_core.listening.listener.Listener")
    return listener


HEARERS: Final = Registry[Listener](
    LISTENERS, "listener", {DEFAULT_LISTENER: "exomni_core.listening.listen:SphinxListener"}, _made
)


def find_listener(name: str) -> Listener:
    """The listener of that name.

    Raises InputError(field="listener") for an unknown one, EnvironmentProblem for a broken one.
    """
    return HEARERS.find(name)
