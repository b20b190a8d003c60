# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender eval suite` and `eval synthetic-reference`: many tables in one go."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from render_jobs.cli.eval_data import evaluate
from render_jobs.cli.eval_faces import FILE, NEW_FOLDER, PLACE, workers_option
from render_jobs.cli.options import json_option

__all__ = ["evaluate"]  # with all its commands


@evaluate.command(short_help="Systems by sets by metrics: one folder with tables and a report.")
@click.argument("config", type=FILE)
@click.option("-o", "--output", type=NEW_FOLDER,
              help="Folder for everything  [default: named after CONFIG].")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), default=0, metavar="N",
              help="Only the first N prompts of each set.")  # fmt: skip
@workers_option
@click.option("--quiet", is_flag=True, help="Show no progress.")
@json_option
def suite(
    config: Path, output: Path | None, limit: int, workers: int, *, quiet: bool, as_json: bool
) -> None:
    """Measure what CONFIG (TOML) names, and write rows, tables and a report into one folder.

    A killed run goes on where it stopped. docs/evaluation.md tells the configuration.
    """
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.evaluation.suite.config import read_config
    from render_jobs.evaluation.suite.report import write_report
    from render_jobs.evaluation.suite.run import SuiteOptions, run_suite

    out = output or config.with_name(f"{config.stem}-evaluation")
    with _Teller(quiet=quiet or as_json) as tell:
        done = run_suite(read_config(config), SuiteOptions(out, limit, workers), tell)
    files = write_report(done, out)
    counts = done.record["counts"]
    if as_json:
        print_json({**done.record, "out": str(out), "files": [str(path) for path in files]})
    else:
        click.echo(
            f"{counts['n_scored']} of {counts['n']} rows scored, {counts['n_failed']} failed"
        )
        for path in files:
            click.echo(f"wrote {path}")
    if counts["n_failed"] or not counts["n_scored"]:
        sys.exit(EXIT_SOME_FAILED)


@evaluate.command(
    name="synthetic-reference", short_help="Make up reference faces, for tests and examples."
)
@click.argument("run", type=PLACE)
@click.option("-o", "--output", type=NEW_FOLDER, required=True, help="Folder for ID.json.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Of the disturbances.")  # fmt: skip
@click.option("--system", default="", metavar="NAME", help="Which system's lines of a list.")
@json_option
def synthetic_reference(run: Path, output: Path, seed: int, system: str, *, as_json: bool) -> None:
    """Make up a reference face for every clip of RUN: its own, smoothed, damped, late, disturbed.

    They show that an evaluation works; they say nothing about quality, and are named synthetic.
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


class _Teller:
    """One line on stderr for every step; in a terminal it counts."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._what, self._count = quiet, "", 0

    def __enter__(self) -> _Teller:
        return self

    def __exit__(self, *_: object) -> None:
        if self._what:
            click.echo(err=True)

    def __call__(self, what: str, count: int) -> None:
        if self._quiet:
            return
        if what != self._what:
            self.__exit__()
            self._what, self._count = what, 0
            click.echo(what, nl=False, err=True)
        self._count += count
        if count and sys.stderr.isatty():
            click.echo(f"\r{what} {self._count}", nl=False, err=True)
