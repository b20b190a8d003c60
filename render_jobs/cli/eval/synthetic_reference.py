# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender eval synthetic-reference`: a run in, made-up reference faces out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from render_jobs.cli.eval.shared import NEW_FOLDER, PLACE, system_option
from render_jobs.cli.options import json_option


@click.command(
    name="synthetic-reference", short_help="Make artificial reference faces for tests and examples."
)
@click.argument("run", type=PLACE)
@click.option("-o", "--output", type=NEW_FOLDER, required=True, help="Folder for ID.json.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Random seed of the disturbances.",
)
@system_option
@json_option
def synthetic_reference(run: Path, output: Path, seed: int, system: str, *, as_json: bool) -> None:
    """Make an artificial reference face for every clip of RUN.

    Each is the clip's own face, smoothed, damped, delayed and disturbed. Use them to test an
    evaluation, not to judge quality; every file is marked as synthetic.
    """
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.evaluation.suite.synthetic import make_references

    facts = make_references(run, output, seed=seed, system=system)
    if as_json:
        print_json(facts)
    else:
        for failure in facts["failures"][:10]:
            click.echo(f"Not made: {failure['id']}: {failure['reason']}", err=True)
        counts = facts["counts"]
        click.echo(
            f"wrote {output}: {counts['n_made']} synthetic references of {counts['n']} clips"
        )
    if facts["failures"]:
        sys.exit(EXIT_SOME_FAILED)
