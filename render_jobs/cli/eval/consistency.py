# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender eval consistency`: answers in, errors of speech against its text out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.eval.shared import (
    PLACE,
    finish,
    interval_seed_option,
    output_option,
    recogniser_of,
    system_option,
    transcript_options,
)
from render_jobs.cli.options import json_option


@click.command(short_help="Compare the speech of answers with their text.")
@click.argument("answers", type=PLACE)
@transcript_options
@system_option
@click.option("--language", default="", metavar="CODE", help="Language of answers that name none.")
@interval_seed_option
@output_option
@json_option
def consistency(answers: Path, **chosen: Any) -> None:
    """Compare transcripts of the speech in ANSWERS with the answers' text, by duration.

    ANSWERS is a batch run or a responses.jsonl.
    """
    from render_jobs.cli.console import ProgressLine
    from render_jobs.evaluation.speech import ConsistencyRun, evaluate_consistency
    from render_jobs.evaluation.speech_text import consistency_lines, consistency_markdown

    run = ConsistencyRun(
        answers,
        chosen["hyp"],
        recogniser_of(chosen),
        chosen["system"],
        chosen["language"],
        chosen["seed"],
    )
    with ProgressLine(quiet=chosen["as_json"], unit="files") as line:
        result = evaluate_consistency(run, line.frames)
    finish(result, consistency_markdown(result), consistency_lines(result), chosen)
