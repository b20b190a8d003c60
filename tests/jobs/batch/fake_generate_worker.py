# SPDX-License-Identifier: GPL-3.0-or-later
"""A generate worker whose engine makes several clips at a time, and fails or dies as it is told.

It notes each group that it was asked for in the file named in its first argument.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exomni_core.clip import Clip, frame_count
from exomni_core.errors import InputError
from exomni_core.prompt import Prompt
from exomni_core.storage.files import temporary_name
from render_jobs.batch.generate_worker import GenerateWorker
from render_jobs.workers.wire import WireMessage, serve


class FakeEngine:
    """Texts: "bad" is refused, "bug" hits a fault of ours, "crash" and "half" end the process."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def generate(self, prompt: Prompt, **hooks: Any) -> Clip:
        return self.generate_many([prompt], **hooks)[0]

    def generate_many(self, prompts: Sequence[Prompt], **hooks: Any) -> list[Clip]:
        with open(self.log, "a") as log:
            log.write(" ".join(prompt.id for prompt in prompts) + "\n")
        texts = [prompt.text for prompt in prompts]
        if "half" in texts:  # killed in the middle of writing
            temporary_name(self.log.parent / "out" / "clips" / "x.clip").write_bytes(b"half")
        if "crash" in texts or "half" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        if "bug" in texts:
            raise ZeroDivisionError("oops")
        if "bad" in texts:
            raise InputError("the text is odd", field="text")
        assert not hooks["cancel"]()
        return [
            Clip(
                audio=np.zeros(1600, np.float32),
                sample_rate_hz=16_000,
                weights=np.zeros((frame_count(0.1, 30.0), 52), np.float32),
                fps=30.0,
                text=prompt.text or "",
                prompt=prompt.to_json(),
                engine="fake",
            )
            for prompt in prompts
        ]


class FakeWorker(GenerateWorker):
    def start(self) -> WireMessage:
        self._engine = FakeEngine(Path(self._name))  # type: ignore[assignment]
        return {}


if __name__ == "__main__":
    worker = FakeWorker(sys.argv[1], {})
    serve(worker.start, worker.handle)
