# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender batch`: a prompts file in, a folder of clips and videos out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from render_jobs.cli.chosen import batch_options
from render_jobs.cli.engine_options import engine_options
from render_jobs.cli.options import (
    EXISTING,
    HeadedCommand,
    engine_option,
    language_option,
    output_folder,
    render_options,
    report_options,
    seed_option,
    style_option,
    workers_option,
)


@click.command(cls=HeadedCommand)
@click.argument("prompts", type=EXISTING)
@output_folder("Folder for the results  [default: named after PROMPTS]", required=False)
@workers_option("processes per stage")
@click.option("--no-video", is_flag=True, help="Make clips only.")
@click.option("--overwrite", is_flag=True, help="Make everything again, finished rows too.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Use only the first N lines.",
)
@report_options
@engine_option()
@language_option("Language of prompts that name none.")
@style_option("How strongly the face moves, for prompts that name no style.")
@seed_option("Random seed of prompts that name none.")
@engine_options
@render_options
def batch(prompts: Path, **chosen: Any) -> None:
    """Make a clip and a video of every line in PROMPTS (JSON lines).

    Run the same command again to resume a stopped run; finished rows are kept.
    """
    from render_jobs.batch.run import run_batch
    from render_jobs.cli.console import (
        EXIT_SOME_FAILED,
        make_display,
        print_json,
        print_summary,
        summary_json,
    )

    options = batch_options(prompts, chosen)
    display = make_display(quiet=chosen["quiet"] or chosen["as_json"])
    try:
        summary = run_batch(options, display)
    finally:
        display.close()
    if chosen["as_json"]:
        print_json(summary_json(summary, options, display.elapsed_s))
    else:
        print_summary(summary, options, display)
    if summary.count("failed"):
        sys.exit(EXIT_SOME_FAILED)
