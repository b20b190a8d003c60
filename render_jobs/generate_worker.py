# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts in, clip files out: the process that holds an engine, so that its faults stay there.

Started as `python -m render_jobs.generate_worker ENGINE`; speaks the protocol of `wire.py`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from exomni_core.clip import save_clip
from exomni_core.engine import Progress, load_engine
from exomni_core.prompt import Prompt, parse_prompt
from render_jobs.single import clip_notes
from render_jobs.wire import Message, Send, serve


def request_for(prompt: Prompt, clip: Path, key: str) -> Message:
    """The request that makes `clip` from `prompt`; `key` is stored in the clip's provenance."""
    data = {**prompt.to_json()}
    if prompt.audio is not None:
        data["audio"] = str(prompt.audio.resolve())
    return {"prompt": data, "clip": str(clip), "key": key}


def main() -> None:
    """Serve until stdin ends."""
    engine = load_engine(sys.argv[1])

    def start() -> Message:
        return {"engine": engine.name, "version": engine.version()}

    def handle(request: Message, send: Send) -> Message:
        started = time.perf_counter()
        prompt = parse_prompt(request["prompt"], Path())

        def progress(step: Progress) -> None:
            send({"event": "progress", "stage": step.stage, "done": step.done})

        clip = engine.generate(prompt, progress=progress)
        clip = replace(clip, provenance={**clip.provenance, "key": request["key"]})
        sha256 = save_clip(clip, request["clip"])
        return {
            "sha256": sha256,
            "duration_s": round(clip.duration_s, 6),
            "frames": len(clip.weights),
            "route": clip.route,
            "confidence": round(clip.confidence, 4),
            "notes": clip_notes(clip),
            "seconds": round(time.perf_counter() - started, 4),
        }

    serve(start, handle)


if __name__ == "__main__":
    main()
