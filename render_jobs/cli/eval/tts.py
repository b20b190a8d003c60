# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender eval tts`: synthesised speech and its list in, error rates out."""

from __future__ import annotations

from typing import Any

import click

from render_jobs.cli.eval.shared import (
    FILE,
    FOLDER,
    finish,
    interval_seed_option,
    output_option,
    recogniser_of,
    transcript_options,
)
from render_jobs.cli.options import json_option


@click.command(short_help="Score synthesised speech on a Seed-TTS-Eval list (WER or CER).")
@click.option(
    "--meta",
    type=FILE,
    required=True,
    metavar="LIST",
    help="The list: en/meta.lst, zh/meta.lst, zh/hardcase.lst or similar.",
)
@click.option("--wav-dir", type=FOLDER, help="Folder of the wavs, each named after its utterance.")
@transcript_options
@click.option(
    "--language",
    default="",
    metavar="CODE",
    help="en or zh  [default: the name of the list's folder]",
)
@interval_seed_option
@output_option
@json_option
def tts(**chosen: Any) -> None:
    """Score the wavs of a Seed-TTS-Eval list by their transcripts, as the benchmark does it.

    Missing wavs and transcripts are listed. A second number counts each as an error of 100 %.
    """
    from render_jobs.cli.console import ProgressLine
    from render_jobs.evaluation.speech import TtsRun, evaluate_tts
    from render_jobs.evaluation.speech_text import tts_lines, tts_markdown

    run = TtsRun(
        chosen["meta"],
        chosen["wav_dir"],
        chosen["hyp"],
        recogniser_of(chosen),
        chosen["language"],
        chosen["seed"],
    )
    with ProgressLine(quiet=chosen["as_json"], unit="files") as line:
        result = evaluate_tts(run, line.frames)
    finish(result, tts_markdown(result), tts_lines(result), chosen)
