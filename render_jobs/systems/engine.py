# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine of ours as a system: prompts with its own fields in, a batch run out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from exomni_core.storage.files import write_text
from render_jobs.batch.folder import Row
from render_jobs.batch.plan import BatchOptions
from render_jobs.batch.run import run_batch
from render_jobs.batch.runner import Observer
from render_jobs.systems.config import EngineSystem
from render_jobs.systems.items import SystemItem, SystemOptions, read_items, write_item_wav
from render_jobs.workers.executor import ExecutorMaker


def run_engine(
    system: EngineSystem, options: SystemOptions, observer: Observer, make_executor: ExecutorMaker
) -> list[Row]:
    """Let `batch` do it, on prompts that carry the system's fields and the other run's speech."""
    items, bad = read_items(options.prompts, options.audio_from)
    raw = options.prompts.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = {item.line: _engine_line(system, item, options, raw[item.line - 1]) for item in items}
    for line in bad:  # it stays a bad one, so that it is counted
        lacking = json.dumps({"id": line.id, "mode": "lipsync"})
        lines[line.line] = lacking if line.field == "audio" and line.id else _text(raw, line.line)
    prompts = options.out / "prompts.jsonl"
    write_text(prompts, "".join(lines[number] + "\n" for number in sorted(lines)))
    batch = BatchOptions(
        prompts=prompts,
        out=options.out,
        engine=system.engine,
        engine_options=system.options,
        settings=options.settings,
        workers=options.workers or 1,
        video=options.video,
        overwrite=options.overwrite,
        limit=options.limit,
        blender=options.blender,
    )
    return list(run_batch(batch, observer, make_executor).rows)


def _engine_line(system: EngineSystem, item: SystemItem, options: SystemOptions, raw: bytes) -> str:
    """The line of the prompts file for this engine: its own fields, paths made absolute."""
    line: dict[str, Any] = {**json.loads(raw), **system.prompt}
    if item.from_run:
        for name in ("text", "voice", "rate", "history"):
            line.pop(name, None)
        wav = write_item_wav(item, options.out / "audio", None)
        line |= {"mode": "lipsync", "audio": str(wav.resolve())}
        line |= {"transcript": item.text} if item.text else {}
        line |= {"language": item.language} if item.language else {}
        return json.dumps(line, ensure_ascii=False)
    for part in (line, *line.get("history", ())):
        if isinstance(part, dict) and part.get("audio"):
            part["audio"] = str((options.prompts.parent / part["audio"]).resolve())
    return json.dumps(line, ensure_ascii=False)


def _text(raw: Sequence[bytes], line: int) -> str:
    return raw[line - 1].decode("utf-8", "replace").strip()
