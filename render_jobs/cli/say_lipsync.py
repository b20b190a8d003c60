# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender say` and `lipsync`: one line or recording in, one video or clip out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.chosen import line_prompt, video_options
from render_jobs.cli.engine_options import engine_options, engine_settings
from render_jobs.cli.options import (
    EXISTING,
    HeadedCommand,
    output_option,
    render_options,
    report_options,
    speech_options,
    voice_options,
)


@click.command(cls=HeadedCommand)
@click.argument("text")
@output_option
@speech_options()
@engine_options
@voice_options
@render_options
@report_options
def say(text: str, output: Path, **chosen: Any) -> None:
    """Speak TEXT and write a talking head (.mp4) or its clip (.clip)."""
    _make({"mode": "say", "text": text}, output, chosen)


@click.command(cls=HeadedCommand, short_help="Animate a recording; write a video or a clip.")
@click.argument("audio", type=EXISTING)
@click.option(
    "--transcript",
    help="The words spoken in the recording; with them the lips are much more exact.",
)
@output_option
@speech_options()
@engine_options
@render_options
@report_options
def lipsync(audio: Path, transcript: str | None, output: Path, **chosen: Any) -> None:
    """Animate the recording AUDIO and write a talking head (.mp4) or its clip (.clip)."""
    data = {"mode": "lipsync", "audio": str(audio.resolve()), "transcript": transcript}
    _make(data, output, chosen)


def _make(data: dict[str, Any], output: Path, chosen: dict[str, Any]) -> None:
    from render_jobs.batch.single import make
    from render_jobs.cli.console import ProgressLine, tell

    prompt = line_prompt(data, chosen)
    options, video = engine_settings(chosen), video_options(chosen)
    with ProgressLine(quiet=chosen["quiet"] or chosen["as_json"]) as line:
        facts = make(
            prompt,
            output,
            chosen["engine"],
            video,
            engine_options=options,
            progress=line.stage,
            on_frames=line.frames,
        )
    tell(facts, as_json=chosen["as_json"], quiet=chosen["quiet"])
