# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts in, clip files out: the process that holds an engine, so that its faults stay there.

Started as `python -m render_jobs.batch.generate_worker ENGINE OPTIONS`, OPTIONS being a JSON
object; speaks the protocol of `wire.py`.

Request: {"job", "prompts": [{"prompt", "clip", "key"}, ...]}; an order may have "files", which says
of some paths in its prompt where those files really lie. Events: {"event": "progress"} now and
then; for each prompt {"event": "made", "id", ...} with the clip's facts, or {"event": "bad", "id",
...} with its error; at last {"event": "done"}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exomni_core.clip import Clip, save_clip
from exomni_core.clip_notes import clip_notes
from exomni_core.engine import Engine, Progress, load_engine
from exomni_core.errors import error_to_json
from exomni_core.prompt import Prompt, parse_prompt
from render_jobs.workers.wire import BEAT_S, Send, WireMessage, serve


@dataclass(frozen=True)
class _Order:
    """One clip to make."""

    prompt: Prompt
    clip: Path
    key: str


def order_for(prompt: Prompt, clip: Path, key: str) -> dict[str, Any]:
    """What makes `clip` from `prompt`, as plain data; `key` is stored in the clip's provenance."""
    data = prompt.to_json()
    if prompt.audio is not None:
        data["audio"] = str(prompt.audio.resolve())
    for message, plain in zip(prompt.history, data.get("history", ()), strict=True):
        if message.audio is not None:
            plain["audio"] = str(message.audio.resolve())
    return {"prompt": data, "clip": str(clip), "key": key}


class GenerateWorker:
    """Serves requests one after another with one engine."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self._name, self._options = name, options
        self._engine: Engine | None = None

    def start(self) -> WireMessage:
        """Make the engine; raises what `load_engine` raises."""
        self._engine = load_engine(self._name, **self._options)
        return {"engine": self._engine.name, "version": self._engine.version()}

    def handle(self, request: WireMessage, send: Send) -> WireMessage:
        """Make each clip that is asked for; a prompt that fails harms no other."""
        self._serve([_read_order(order) for order in request["prompts"]], send)
        return {}

    def _serve(self, orders: Sequence[_Order], send: Send) -> None:
        """All at once; if that fails, each half by itself, so that only what is bad fails."""
        started = time.perf_counter()
        try:
            clips = self._make([order.prompt for order in orders], send)
        except Exception as error:  # noqa: BLE001 (told to the parent; the worker lives on)
            if len(orders) == 1:
                send({"event": "bad", "id": orders[0].prompt.id, **error_to_json(error)})
                return
            middle = len(orders) // 2
            self._serve(orders[:middle], send)
            self._serve(orders[middle:], send)
            return
        seconds = (time.perf_counter() - started) / len(orders)
        for order, clip in zip(orders, clips, strict=True):
            try:
                event = {"event": "made", **_save(clip, order), "seconds": round(seconds, 4)}
            except Exception as error:  # noqa: BLE001 (such as a full disk)
                event = {"event": "bad", **error_to_json(error)}
            send({"id": order.prompt.id, **event})

    def _make(self, prompts: list[Prompt], send: Send) -> list[Clip]:
        assert self._engine is not None
        last_word = time.monotonic()

        def progress(step: Progress) -> None:
            nonlocal last_word
            last_word = time.monotonic()
            send({"event": "progress", "stage": step.stage, "done": step.done})

        def beat() -> bool:
            """Asked all the time whether to stop: a sign of life, so that nobody thinks us hung."""
            nonlocal last_word
            if time.monotonic() - last_word > BEAT_S:
                last_word = time.monotonic()
                send({"event": "progress"})
            return False

        if len(prompts) == 1:
            return [self._engine.generate(prompts[0], progress=progress, cancel=beat)]
        return self._engine.generate_many(prompts, progress=progress, cancel=beat)


def _read_order(data: Mapping[str, Any]) -> _Order:
    files = data.get("files", {})

    def moved(part: Mapping[str, Any]) -> dict[str, Any]:
        return {key: files.get(v, v) if key == "audio" else v for key, v in part.items()}

    prompt = moved(data["prompt"])
    if "history" in prompt:
        prompt["history"] = [moved(message) for message in prompt["history"]]
    return _Order(parse_prompt(prompt, Path()), Path(data["clip"]), data["key"])


def _save(clip: Clip, order: _Order) -> WireMessage:
    """Write the clip; the facts that the manifest tells."""
    clip = replace(clip, provenance={**clip.provenance, "key": order.key})
    return {
        "sha256": save_clip(clip, order.clip),
        "duration_s": round(clip.duration_s, 6),
        "frames": len(clip.weights),
        "route": clip.route,
        "confidence": round(clip.confidence, 4),
        "notes": clip_notes(clip),
    }


def main() -> None:
    """Serve until stdin ends."""
    worker = GenerateWorker(sys.argv[1], json.loads(sys.argv[2]))
    serve(worker.start, worker.handle)


if __name__ == "__main__":
    main()
