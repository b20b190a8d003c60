# SPDX-License-Identifier: GPL-3.0-or-later
"""A step of a batch as plain data in, what it makes out: clips, a video or a contact sheet.

`generate` has an engine make clips; `video` draws a clip; `sheet` draws a finished video's contact
sheet. A step that makes clips tells of each: {"event": "made", "id", "what": "clip" or "video",
"facts": fields of its row, "sha256", "seconds"}, or {"event": "bad", "id", ...} with its error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from exomni_core.storage.files import replacing, sha256_file
from render_jobs.batch.generate_worker import order_for
from render_jobs.batch.plan import Item
from render_jobs.settings import RenderSettings, settings_from_json
from render_jobs.video.make import render_video, render_worker
from render_jobs.video.mux import contact_sheet
from render_jobs.workers.executor import Action, Crew, LocalExecutor, Step, Workplace
from render_jobs.workers.pool import WorkerCommand
from render_jobs.workers.wire import Send, WireMessage

GENERATE: Final = "generate"
VIDEO: Final = "video"
SHEET: Final = "sheet"
# Engines give signs of life; one that gives none may take a busy machine's hour.
_GENERATE_S: Final = 3600.0
_FACTS: Final = ("duration_s", "frames", "route", "confidence", "notes")


def generate_step(items: Sequence[Item], clips: Sequence[Path]) -> Step:
    """Make a clip of each item, several at a time if the engine can; clips: where they go."""
    orders = [
        order_for(item.prompt, clip, item.clip_key) for item, clip in zip(items, clips, strict=True)
    ]
    inputs = {path: sha256 for item in items for path, sha256 in item.recordings.items()}
    return Step(GENERATE, {"prompts": orders}, inputs, tuple(map(str, clips)))


def video_step(
    clip: Path,
    clip_sha256: str,
    video: Path,
    key: str,
    settings: RenderSettings,
    sheet: Path | None = None,
) -> Step:
    """Draw the clip; key: the video's content key. sheet: where its contact sheet goes, if any."""
    request = {
        "clip": str(clip.resolve()),
        "video": str(video),
        "sheet": str(sheet) if sheet else None,
        "settings": settings.to_json(),
        "key": key,
    }
    outputs = (str(video), str(sheet)) if sheet else (str(video),)
    return Step(VIDEO, request, {str(clip.resolve()): clip_sha256}, outputs)


def sheet_step(video: Path, video_sha256: str, sheet: Path) -> Step:
    """Draw the contact sheet of a finished video."""
    request = {"video": str(video), "sheet": str(sheet)}
    return Step(SHEET, request, {str(video): video_sha256}, (str(sheet),))


def local_executor(crews: Sequence[Crew], work: Path) -> LocalExecutor:
    """An executor on this machine that knows the steps of a batch."""
    return LocalExecutor(ACTIONS, COMMANDS, crews, work)


# ----------------------------------------------------------------------- what is done for each step


def _generate(request: Mapping[str, Any], place: Workplace, send: Send) -> WireMessage:
    assert place.worker is not None

    def heard(message: WireMessage) -> None:
        if message["event"] == "made":
            facts = {name: message[name] for name in _FACTS}
            told = {name: message[name] for name in ("event", "id", "sha256", "seconds")}
            send({**told, "what": "clip", "facts": facts})
        elif message["event"] == "bad":
            send({name: value for name, value in message.items() if name != "job"})

    orders = [
        {**order, "clip": str(place.here(order["clip"])), "files": dict(place.files)}
        for order in request["prompts"]
    ]
    asked = {"job": orders[0]["prompt"]["id"], "prompts": orders}
    place.worker.ask(asked, heard, _GENERATE_S)
    return {}


def _video(request: Mapping[str, Any], place: Workplace, send: Send) -> WireMessage:
    assert place.worker is not None
    result = render_video(
        place.worker,
        place.here(request["clip"]),
        place.here(request["video"]),
        settings_from_json(request["settings"]),
        request["key"],
        work=place.work,
        sheet=place.here(request["sheet"]) if request["sheet"] else None,
        on_frames=lambda count: send({"event": "frames", "count": count}),
    )
    return {**asdict(result), "notes": list(result.notes)}


def _sheet(request: Mapping[str, Any], place: Workplace, send: Send) -> WireMessage:  # noqa: ARG001
    sheet = place.here(request["sheet"])
    with replacing(sheet) as unfinished:
        contact_sheet(place.here(request["video"]), unfinished)
    return {"sheet_sha256": sha256_file(sheet)}


def _generate_worker(options: Mapping[str, Any], work: Path) -> WorkerCommand:
    """options: `engine` and its `options`."""
    module = "render_jobs.batch.generate_worker"
    argv = (sys.executable, "-m", module, options["engine"], json.dumps(options["options"]))
    return WorkerCommand("generate worker", argv, {"TMPDIR": str(work)})


def _render_worker(options: Mapping[str, Any], work: Path) -> WorkerCommand:
    """options: `blender`, the user's own program, or None."""
    blender = options["blender"]
    return render_worker(work, Path(blender) if blender else None)


GENERATORS: Final = "generators"
RENDERERS: Final = "renderers"
HELPERS: Final = "helpers"  # threads
ACTIONS: Final = {
    GENERATE: Action(GENERATORS, _generate),
    VIDEO: Action(RENDERERS, _video),
    SHEET: Action(HELPERS, _sheet),
}
COMMANDS: Final = {GENERATORS: _generate_worker, RENDERERS: _render_worker}


def renderers(blender: Path | None, size: int) -> Crew:
    """The crew that draws; blender: the user's own program."""
    return Crew(RENDERERS, {"blender": str(blender) if blender else None}, size)
