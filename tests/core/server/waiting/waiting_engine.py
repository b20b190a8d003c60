# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine that does what the prompt's text says, to test what is around engines.

`steps=4 pause=0.1`: so many chunks, so long for each. Or one of `crash`, `die`, `hang`, `helper`.
"""

import os
import subprocess
import sys
import time

import numpy as np

from exomni_core.clip import Clip
from exomni_core.engine import Capabilities, Chunk, EngineDefaults, Progress, stop_if

RATE_HZ, FPS, STEP_S = 8000, 30.0, 0.5


class WaitingEngine(EngineDefaults):
    """Takes its time."""

    name = "embedded"

    def __init__(self, *, default_seed=0):
        print("a library that prints", default_seed)

    def capabilities(self):
        """Says."""
        return Capabilities(modes=("say",), languages=(), needs="", fps=FPS)

    def version(self):
        """Is not used."""
        return "waiting"

    def generate(self, prompt, *, progress=None, cancel=None):
        """Make the clip."""
        return list(self.stream(prompt, progress=progress, cancel=cancel))[-1].clip

    def stream(self, prompt, *, progress=None, cancel=None):
        """Yield chunks."""
        if prompt.text == "crash":
            raise TypeError("two\nlines")
        if prompt.text == "die":
            os._exit(7)
        if prompt.text == "hang":  # as deep in C code: asked to stop, it does not hear
            time.sleep(60)
        if prompt.text == "helper":
            code = "import time; time.sleep(60)"
            helper = subprocess.Popen([sys.executable, "-c", code])
            helper.wait()
        wanted = dict(part.split("=") for part in prompt.text.split())
        steps, pause_s = int(wanted["steps"]), float(wanted["pause"])
        size = int(wanted.get("size", STEP_S * RATE_HZ))
        rows = round(size / RATE_HZ * FPS)
        audio = np.zeros(steps * size, np.float32)
        weights = np.zeros((steps * rows, 52), np.float32)
        for k in range(steps):
            time.sleep(pause_s)
            stop_if(cancel)
            if progress is not None:
                progress(Progress("waiting", (k + 1) / steps))
            clip = None
            if k == steps - 1:
                clip = Clip(audio, RATE_HZ, weights, FPS, text=prompt.text,
                            prompt=prompt.to_json(), engine=self.name)  # fmt: skip
            yield Chunk(
                k * size / RATE_HZ,
                audio[k * size : (k + 1) * size],
                RATE_HZ,
                weights[k * rows : (k + 1) * rows],
                FPS,
                f"{k}",
                clip,
            )

    def close(self):
        """Say so in the log."""
        print("the waiting engine is closed", file=sys.stderr)
