# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths, options and a finished result in, click options and printed tables out: for `eval`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from render_jobs.cli.options import chain
from render_jobs.evaluation.imports.voicebench import SUBSETS

if TYPE_CHECKING:
    from render_jobs.evaluation.recogniser import Recogniser

PLACE: Final = click.Path(exists=True, path_type=Path)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)
NEW_FOLDER: Final = click.Path(file_okay=False, path_type=Path)

subset_option = click.option(
    "--subset",
    type=click.Choice(SUBSETS),
    default="commoneval",
    show_default=True,
    help="Subset of VoiceBench.",
)
output_option = click.option(
    "-o", "--output", type=NEW_FOLDER, help="Folder for result.json, rows.csv and table.md."
)
system_option = click.option(
    "--system", default="", metavar="NAME", help="Use only this system's rows of a list."
)
interval_seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed of the confidence intervals.",
)
row_rate_option = click.option(
    "--fps",
    type=click.FloatRange(1, 240),
    metavar="RATE",
    help="Frame rate of arrays and CSV files that don't state one.",
)
transcript_options = chain(
    click.option(
        "--hyp", type=FILE, metavar="JSONL", help='Transcripts: lines of {"id": ..., "text": ...}.'
    ),
    click.option(
        "--asr",
        metavar="COMMAND",
        help="Command of a speech recogniser; it runs once per file with {audio}, or once for all "
        "files with {list}.",
    ),
    click.option(
        "--asr-timeout",
        type=click.FloatRange(min=1),
        default=300.0,
        show_default=True,
        metavar="SECONDS",
        help="Time limit for one file.",
    ),
    click.option(
        "--transcripts",
        type=NEW_FILE,
        metavar="JSONL",
        help="File in which --asr saves transcripts, so that a repeated run resumes  [default: "
        "hyp.jsonl in the output folder]",
    ),
)


def finish(result: dict[str, Any], markdown: str, lines: list[str], chosen: dict[str, Any]) -> None:
    """Write and print a result; exit code 1 if some clips failed or nothing was scored.

    With a folder, the printed JSON leaves the rows to the files in it.
    """
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.evaluation.output import write_result

    output = chosen["output"]
    files = write_result(output, result, markdown) if output else []
    if chosen["as_json"]:
        shown = {k: v for k, v in result.items() if k != "rows" or not files}
        print_json(shown | {"files": [str(path) for path in files]})
    else:
        for note in result["settings"].get("notes", ()):
            click.echo(f"Note: {note}", err=True)
        for warning in result.get("warnings", ()):
            click.echo(
                f"Note: {warning['warning']} ({warning['clips']} clips, such as "
                f"{warning['example']})",
                err=True,
            )
        for failure in result["failures"][:10]:
            click.echo(f"Not scored: {failure['id']}: {failure['reason']}", err=True)
        if (more := len(result["failures"]) - 10) > 0:
            click.echo(f"Not scored: {more} more", err=True)
        click.echo("\n".join(lines))
        for path in files:
            click.echo(f"wrote {path}")
    if result["counts"]["n_failed"] or not result["counts"]["n_scored"]:
        sys.exit(EXIT_SOME_FAILED)


def recogniser_of(chosen: Mapping[str, Any]) -> Recogniser | None:
    """The recogniser of --asr with its cache, or None without --asr."""
    if chosen["asr"] is None:
        return None
    from render_jobs.evaluation.recogniser import Recogniser

    cache = chosen["transcripts"]
    if cache is None and chosen["output"] is not None:
        cache = chosen["output"] / "hyp.jsonl"
    return Recogniser(chosen["asr"], timeout_s=chosen["asr_timeout"], cache=cache)
