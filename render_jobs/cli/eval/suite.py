# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender eval suite`: a TOML of systems, sets and metrics in, one report out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from render_jobs.cli.eval.shared import FILE, NEW_FOLDER
from render_jobs.cli.options import json_option, quiet_option, workers_option


@click.command(short_help="Measure many systems on many sets; write tables and a report.")
@click.argument("config", type=FILE)
@click.option(
    "-o", "--output", type=NEW_FOLDER, help="Folder for the results  [default: named after CONFIG]"
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Use only the first N prompts of each set.",
)
@workers_option()
@quiet_option
@json_option
def suite(
    config: Path, output: Path | None, limit: int, workers: int, *, quiet: bool, as_json: bool
) -> None:
    """Measure the systems in CONFIG (TOML); write rows, tables and a report into one folder.

    Run the same command again to resume a stopped run. docs/evaluation.md describes CONFIG.
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


class _Teller:
    """Prints one line per step on stderr; on a terminal with a count."""

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
