# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses of a face in, pictures of them out, drawn by a render worker in a separate process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exomni_core.arrays import FloatArray, Pixels
from render_jobs.settings import RenderSettings
from render_jobs.video.make import SILENCE_S, render_worker
from render_jobs.workers.pool import Worker


@dataclass(frozen=True, eq=False)
class StillDrawer:
    """Draws poses; keeps one Blender running."""

    worker: Worker
    folder: Path

    def draw(
        self,
        weights: FloatArray,
        settings: RenderSettings,
        on_frames: Callable[[int], None] | None = None,
    ) -> Pixels:
        """(n, 52) weights -> (n, H, W, 3) uint8 sRGB pictures, first row on top.

        on_frames: called with the number of new pictures. Raises what the worker raises:
        ExOmniError.
        """
        poses, pictures = self.folder / "poses.npy", self.folder / "pictures.npy"
        np.save(poses, np.asarray(weights, np.float32))
        request = {
            "job": "stills",
            "stills": str(poses),
            "pictures": str(pictures),
            "settings": settings.to_json(),
        }
        done = 0

        def heard(message: dict[str, Any]) -> None:
            nonlocal done
            if on_frames is not None and message.get("event") == "progress":
                on_frames(message["done"] - done)
                done = message["done"]

        self.worker.ask(request, heard, silence_s=SILENCE_S)
        drawn: Pixels = np.load(pictures, allow_pickle=False)
        return drawn


@contextmanager
def still_drawer(blender: Path | None = None) -> Iterator[StillDrawer]:
    """A drawer that is ready; its process and files are gone afterwards.

    blender: the user's own program instead of the Python module. Raises EnvironmentProblem if
    Blender can't draw here.
    """
    with tempfile.TemporaryDirectory(prefix="exomni-stills-") as folder:
        worker = Worker(render_worker(Path(folder), blender))
        try:
            worker.wait_ready()
            yield StillDrawer(worker, Path(folder))
        finally:
            worker.stop(now=True)
