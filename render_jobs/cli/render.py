# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender render`: a clip file in, its video out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.chosen import video_options
from render_jobs.cli.options import (
    EXISTING,
    NEW_FILE,
    HeadedCommand,
    render_options,
    report_options,
)
from templates.render_engines import RENDER_ENGINES


@click.command(cls=HeadedCommand)
@click.argument("clip", type=EXISTING)
@click.option(
    "-o",
    "--output",
    type=NEW_FILE,
    required=True,
    help="The .mp4 file to write (with --alpha: .mov or .webm).",
)
@click.option(
    "--engine",
    "same_engine",
    type=click.Choice(RENDER_ENGINES),
    help="Same as --render-engine.",
)
@render_options
@report_options
def render(clip: Path, output: Path, same_engine: str | None, **chosen: Any) -> None:
    """Render the clip file CLIP to a video."""
    from render_jobs.batch.single import render_clip
    from render_jobs.cli.console import ProgressLine, tell

    chosen["render_engine"] = same_engine or chosen["render_engine"]
    with ProgressLine(quiet=chosen["quiet"] or chosen["as_json"]) as line:
        facts = render_clip(clip, output, video_options(chosen), on_frames=line.frames)
    tell(facts, as_json=chosen["as_json"], quiet=chosen["quiet"])
