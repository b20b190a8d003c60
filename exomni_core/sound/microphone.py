# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine's microphone in, samples out, by the optional package sounddevice."""

from __future__ import annotations

import importlib
import threading
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.sound.decoded import MAX_DURATION_S

_MISSING: Final = (
    "to record from the microphone, the engine's Python needs sounddevice; run: "
    "pip install sounddevice"
)


class Microphone:
    """One recording at a time: `start`, then `stop` or `drop`; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream: Any = None
        self._pieces: list[npt.NDArray[np.float32]] = []
        self._samples = 0

    def start(self) -> None:
        """Begin to record, dropping what was; EnvironmentProblem if there is no microphone."""
        self.drop()
        library = _library()
        with self._lock:
            self._pieces, self._samples = [], 0
            try:
                stream = library.InputStream(channels=1, dtype="float32", callback=self._take)
                stream.start()
            except (library.PortAudioError, OSError, ValueError) as error:
                raise EnvironmentProblem(
                    f"the microphone can't be used ({error}); connect one, or choose a recording"
                ) from error
            self._stream = stream

    def stop(self) -> tuple[npt.NDArray[np.float32], int]:
        """(S,) float32 in [-1, 1] and its rate in Hz; InputError if nothing was recorded."""
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is None:
            raise InputError("nothing is being recorded; start the recording first", field="audio")
        rate_hz = round(stream.samplerate)
        stream.stop()
        stream.close()
        if not self._pieces:
            raise InputError("the microphone gave no sound; check it and try again", field="audio")
        joined = np.concatenate(self._pieces)[: round(MAX_DURATION_S * rate_hz)]
        self._pieces = []
        return np.clip(np.nan_to_num(joined), -1.0, 1.0), rate_hz

    def drop(self) -> None:
        """Stop and forget what was recorded."""
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()
            stream.close()

    def _take(self, block: Any, frames: int, *_: Any) -> None:
        """Called by the library, in its own thread, with (frames, 1) samples."""
        stream = self._stream
        if stream is None or self._samples <= MAX_DURATION_S * stream.samplerate:
            self._pieces.append(np.array(block[:, 0], np.float32))
            self._samples += frames


def microphone_state() -> dict[str, Any]:
    """Whether there is something to record with, and if not why, in words."""
    try:
        library = _library()
        library.query_devices(kind="input")
    except EnvironmentProblem as error:
        return {"ready": False, "reason": str(error)}
    except Exception as error:  # noqa: BLE001 (the library's own kinds, which it may lack)
        return {"ready": False, "reason": f"there is no microphone ({error}); connect one"}
    return {"ready": True, "reason": ""}


def _library() -> Any:
    try:
        return importlib.import_module("sounddevice")
    except (ImportError, OSError) as error:  # OSError: it is there, but PortAudio is not
        raise EnvironmentProblem(_MISSING) from error
