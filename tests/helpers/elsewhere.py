# SPDX-License-Identifier: GPL-3.0-or-later
"""An executor as on another machine: JSON text goes there and back, and files by their hashes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from render_jobs.workers.executor import LocalExecutor, Step


class Elsewhere:
    """Passes steps on to `inner`, which sees only its own folder `node` and what JSON can hold."""

    def __init__(self, inner: LocalExecutor, node: Path) -> None:
        self.inner, self.node = inner, node
        self.steps: list[Step] = []
        self._files: dict[int, dict[str, Path]] = {}  # output here -> there

    def prepare(self, kind: str) -> None:
        self.inner.prepare(kind)

    def submit(self, step: Step) -> int:
        self.steps.append(step)
        there = {path: self._bring(Path(path), sha256) for path, sha256 in step.inputs.items()}
        outputs = {}
        for path in step.outputs:
            outputs[path] = self.node / f"out-{len(self.steps)}" / path.lstrip("/")
            outputs[path].parent.mkdir(parents=True, exist_ok=True)
        sent = Step(**json.loads(json.dumps(vars(step))))
        moved = {path: str(place) for path, place in (there | outputs).items()}
        number = self.inner.submit(sent, moved)
        self._files[number] = outputs
        return number

    def take(self) -> tuple[int, dict[str, Any]]:
        number, message = self.inner.take()
        told: dict[str, Any] = json.loads(json.dumps(message))
        for here, there in self._files[number].items():
            if there.exists():
                Path(here).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(there, here)
        return number, told

    def close(self) -> None:
        self.inner.close()

    def kill(self) -> None:
        self.inner.kill()

    def _bring(self, path: Path, sha256: str) -> Path:
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256, path
        there = self.node / "inputs" / sha256 / path.name
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(data)
        return there
