# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender eval responses`: a batch run in, its responses.jsonl and wavs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.eval.shared import FOLDER, NEW_FILE
from render_jobs.cli.options import json_option


@click.command(short_help="Write the responses.jsonl and the wavs of a batch run.")
@click.argument("run", type=FOLDER)
@click.option("-o", "--output", type=NEW_FILE, required=True, help="The responses.jsonl to write.")
@click.option(
    "--system", default="", metavar="NAME", help="Name of the system  [default: its engine]"
)
@click.option("--no-audio", is_flag=True, help="Don't write wav files.")
@json_option
def responses(run: Path, output: Path, **chosen: Any) -> None:
    """Write the answers of the batch run RUN for other tools, one JSON line per prompt."""
    from render_jobs.cli.console import ProgressLine, print_json
    from render_jobs.evaluation.responses import write_run_responses

    with ProgressLine(quiet=chosen["as_json"], unit="answers") as line:
        facts = write_run_responses(
            run, output, system=chosen["system"], audio=not chosen["no_audio"], on_rows=line.frames
        )
    if chosen["as_json"]:
        print_json(facts)
        return
    counts = facts["counts"]
    failed = f", {counts['n_failed']} without an answer" if counts["n_failed"] else ""
    click.echo(f"wrote {facts['responses']}: {counts['n']} prompts{failed}")
