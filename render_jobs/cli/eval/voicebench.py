# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender eval voicebench ...`: answers in, files for VoiceBench's scripts out.

They also run those scripts and read the results back.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from render_jobs.cli.eval.shared import (
    FILE,
    FOLDER,
    PLACE,
    subset_option,
    system_option,
)
from render_jobs.cli.options import json_option


@click.group(name="voicebench", short_help="Exchange files with VoiceBench's own scripts.")
def voicebench_files() -> None:
    """Write files for VoiceBench's own scripts, run the scripts, and read their results."""


@voicebench_files.command(short_help="Write answers in the format of VoiceBench's scripts.")
@click.argument("answers", type=PLACE)
@subset_option
@click.option(
    "--model", required=True, metavar="NAME", help="Name of the model, used in the file names."
)
@click.option(
    "--modality",
    type=click.Choice(["audio", "text"]),
    default="audio",
    show_default=True,
    help="What the model received.",
)
@click.option(
    "--prompts",
    type=FILE,
    metavar="JSONL",
    help="The imported prompts, for answers that lack the data set's fields.",
)
@system_option
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the files.",
)
@json_option
def write(answers: Path, output: Path, **chosen: Any) -> None:
    """Write the answers in ANSWERS, a batch run or a responses.jsonl, for VoiceBench."""
    from render_jobs.cli.console import print_json
    from render_jobs.evaluation.voicebench import write_voicebench

    names = ("model", "subset", "modality", "prompts", "system")
    facts = write_voicebench(answers, output, **{name: chosen[name] for name in names})
    if chosen["as_json"]:
        print_json(facts)
        return
    counts = facts["counts"]
    if counts["n_empty"]:
        click.echo(
            f"Note: {counts['n_empty']} prompts have no answer; their line has an empty response, "
            f"such as {facts['empty'][0]} (advbench counts that as a refusal)",
            err=True,
        )
    for path in facts["files"]:
        click.echo(f"wrote {path}")


@voicebench_files.command(short_help="Run your checkout of VoiceBench on files.")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--checkout", type=FOLDER, required=True, help="The folder with evaluate.py.")
@click.option(
    "--python", default=sys.executable, metavar="PATH", help="Python that runs the checkout."
)
@click.option(
    "--evaluator",
    default="",
    metavar="NAME",
    help="Name of VoiceBench's evaluator  [default: chosen by subset]",
)
@json_option
def run(files: tuple[Path, ...], **chosen: Any) -> None:
    """Run api_judge.py (where a judge is needed) and evaluate.py on FILES."""
    from exomni_core.errors import InputError, WorkerError
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.evaluation.voicebench import VoiceBenchRun, run_voicebench

    settings = VoiceBenchRun(chosen["checkout"], chosen["python"], chosen["evaluator"])
    results, failures = [], []
    for file in files:
        try:
            results.append(run_voicebench(file, settings))
        except (InputError, WorkerError) as error:
            failures.append({"file": str(file), "reason": str(error)})
    if chosen["as_json"]:
        print_json({"results": results, "failures": failures})
    for result in () if chosen["as_json"] else results:
        click.echo(f"wrote {result['file']}: {result['result']}")
    for failure in () if chosen["as_json"] else failures:
        click.echo(f"Failed: {failure['file']}: {failure['reason']}", err=True)
    if failures:
        sys.exit(EXIT_SOME_FAILED)


@voicebench_files.command(short_help="Show results of VoiceBench's scripts as a table.")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for result.json, rows.csv and table.md.",
)
@json_option
def read(files: tuple[Path, ...], **chosen: Any) -> None:
    """Read FILES (result-*.json or .jsonl) and show their numbers unchanged."""
    from render_jobs.cli.console import print_json
    from render_jobs.evaluation.output import write_result
    from render_jobs.evaluation.voicebench import read_voicebench, voicebench_markdown

    result = read_voicebench(files)
    text = voicebench_markdown(result)
    written = write_result(chosen["output"], result, text) if chosen["output"] else []
    if chosen["as_json"]:
        print_json({**result, "files": [str(path) for path in written]})
        return
    click.echo(text)
    for path in written:
        click.echo(f"wrote {path}")
