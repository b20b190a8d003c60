# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender eval sync`: clips in, tables of how the mouth fits its own speech out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.eval.shared import (
    FILE,
    FOLDER,
    PLACE,
    finish,
    interval_seed_option,
    output_option,
    row_rate_option,
    system_option,
)
from render_jobs.cli.options import chain, json_option, workers_option

_sync_options = chain(
    click.option(
        "--texts",
        type=FILE,
        metavar="JSONL",
        help="Spoken texts: lines with id and one of reference, transcript, text.",
    ),
    click.option(
        "--audio", type=FOLDER, help="Folder of sound files named by id, for faces without sound."
    ),
    click.option(
        "--phones",
        type=FOLDER,
        help="Folder of ID.TextGrid, .ctm or .json files with the times of all speech sounds.",
    ),
    click.option(
        "--realign",
        is_flag=True,
        help="Align the text again even if the clip has times of its sounds.",
    ),
    click.option(
        "--language", default="", metavar="CODE", help="Language of clips that name none."
    ),
    row_rate_option,
    system_option,
    interval_seed_option,
    click.option("--blender", type=FILE, help="Read .blend files with this Blender program."),
)


@click.command(short_help="Measure lip-sync without a reference: closures, lag, smoothness.")
@click.argument("clips", type=PLACE)
@_sync_options
@workers_option()
@output_option
@json_option
def sync(clips: Path, **chosen: Any) -> None:
    """Measure how well the mouths in CLIPS fit their own speech, without reference faces.

    CLIPS is a file (.clip, .blend, or coefficients), a folder of them, a batch run, or a
    responses.jsonl. The spoken text comes from the clip, the list or --texts.
    """
    from render_jobs.cli.console import ProgressLine
    from render_jobs.evaluation.sync import SyncRun, evaluate_sync
    from render_jobs.evaluation.sync_text import sync_lines, sync_markdown

    names = (
        "system",
        "texts",
        "audio",
        "phones",
        "realign",
        "language",
        "fps",
        "seed",
        "workers",
        "blender",
    )
    run = SyncRun(clips, **{name: chosen[name] for name in names})
    with ProgressLine(quiet=chosen["as_json"], unit="clips") as line:
        result = evaluate_sync(run, line.frames)
    finish(result, sync_markdown(result), sync_lines(result), chosen)
