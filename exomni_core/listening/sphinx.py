# SPDX-License-Identifier: GPL-3.0-or-later
"""16 kHz samples and a task in -> timed speech sounds out, from pocketsphinx in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from exomni_core.engine import CancelCheck, stop_if
from exomni_core.errors import WorkerError
from exomni_core.phonetics.phones import ARPABET_TO_IPA
from exomni_core.processes.guard import attended
from exomni_core.processes.life import PATIENCE, LifeWatch, Patience, how_it_ended

SAMPLE_RATE_HZ: Final = 16000
_FRAME_S: Final = 0.01
_OFFSET_S: Final = 0.01  # pocketsphinx reports boundaries 10 ms early (measured)
_SCRIPT: Final = Path(__file__).with_name("sphinx_process.py")
_ASK_S: Final = 0.1  # how often the user's wish to stop is asked for

Task = Literal["align", "recognise", "allphone"]


@dataclass(frozen=True)
class Sound:
    """A sound that the recogniser found.

    symbol: IPA, "" for silence or noise. score: log per 10 ms frame, near -10 fits, below -24 does
    not (0 where the task gives none). word: number of its word in the question, -1 for none.
    """

    symbol: str
    start_s: float
    end_s: float
    score: float
    word: int


@dataclass(frozen=True)
class Piece:
    """A stretch of the recording, start to end in samples, with its words in ARPAbet if known."""

    start: int
    end: int
    pronunciations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heard:
    """What was found in one piece: sounds by time, and words (only when recognising)."""

    sounds: tuple[Sound, ...]
    words: tuple[str, ...]


def ask_sphinx(
    task: Task,
    samples: npt.NDArray[np.int16],
    pieces: Sequence[Piece],
    *,
    timeout_s: float,
    cancel: CancelCheck | None = None,
) -> list[Heard | None]:
    """Run one task over the pieces; None for a piece in which nothing was found.

    Raises WorkerError if the process crashes or takes longer than `timeout_s`, and Cancelled.
    """
    request = {
        "task": task,
        "pieces": [
            {"start": p.start, "end": p.end, "words": list(p.pronunciations)} for p in pieces
        ],
    }
    message = json.dumps(request).encode() + b"\n" + samples.astype("<i2").tobytes()
    answer = json.loads(_run(message, timeout_s, cancel))
    return [_heard(found, piece) for found, piece in zip(answer["pieces"], pieces, strict=True)]


class _LostError(Exception):
    """The process was killed or hung, which says nothing of the question; why."""


def _run(
    message: bytes, timeout_s: float, cancel: CancelCheck | None, patience: Patience = PATIENCE
) -> bytes:
    """Send `message` to a fresh process and return its answer, never waiting longer than asked.

    A process that is killed or gives no sign of life is replaced once.
    """
    complaint = ""
    for _ in range(2):
        try:
            return _run_once(message, timeout_s, cancel, patience)
        except _LostError as error:
            complaint = str(error)
    raise WorkerError(f"the recogniser {complaint}; try again")


def _run_once(
    message: bytes, timeout_s: float, cancel: CancelCheck | None, patience: Patience
) -> bytes:
    argv = [sys.executable, "-I", str(_SCRIPT), *_package_folder()]
    # Files, as communicate() loses what it has not sent yet when its time-out strikes.
    with tempfile.TemporaryFile() as question:
        question.write(message)
        question.seek(0)
        pipe = subprocess.PIPE
        with attended(argv, stdin=question, stdout=pipe, stderr=pipe) as process:
            output, errors = _answer(process, timeout_s, cancel, patience)
    if process.returncode < 0:
        raise _LostError(how_it_ended(process.returncode))
    if process.returncode:
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        detail = lines[-1] if lines else f"exit status {process.returncode}"
        raise WorkerError(f"the recogniser stopped unexpectedly ({detail})")
    return output


def _answer(
    process: subprocess.Popen[bytes],
    timeout_s: float,
    cancel: CancelCheck | None,
    patience: Patience,
) -> tuple[bytes, bytes]:
    """What the process wrote and complained of, once it has ended."""
    deadline = time.monotonic() + timeout_s
    watch, looked = LifeWatch(process.pid, patience, alone=True), time.monotonic()
    while True:
        try:
            return process.communicate(timeout=_ASK_S)
        except subprocess.TimeoutExpired:
            stop_if(cancel)
            now = time.monotonic()
            if now - looked >= patience.look_s:
                looked = now
                if watch.is_hung():
                    raise _LostError(
                        f"gave no sign of life for {watch.limit_s:.0f} s and was stopped"
                    ) from None
            if now > deadline:
                raise WorkerError(
                    f"recognising the recording took longer than {timeout_s:.0f} s"
                ) from None


def is_installed() -> bool:
    """Whether pocketsphinx is there, and its compiled part is one for this Python."""
    return any(
        Path(folder, "pocketsphinx", f"_pocketsphinx{ending}").is_file()
        for folder in _package_folder()
        for ending in EXTENSION_SUFFIXES
    )


def _package_folder() -> list[str]:
    """Where pocketsphinx lies: a new process looks elsewhere than Blender, which brings its own."""
    spec = find_spec("pocketsphinx")
    return [str(Path(spec.origin).parents[1])] if spec and spec.origin else []


def _heard(found: Any, piece: Piece) -> Heard | None:
    if found is None:
        return None
    begin_s = piece.start / SAMPLE_RATE_HZ + _OFFSET_S
    sounds = tuple(
        Sound(
            symbol=ARPABET_TO_IPA.get(name, ""),  # SIL, and noises such as +BREATH+
            start_s=begin_s + start * _FRAME_S,
            end_s=begin_s + (start + length) * _FRAME_S,
            score=float(score),
            word=int(word),
        )
        for name, start, length, score, word in found["phones"]
    )
    return Heard(sounds, tuple(found.get("words", ())))
