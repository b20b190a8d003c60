# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender study report` and `study power`: ratings in, tables and a report out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from render_jobs.cli.options import json_option

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
_NEW_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_SHARE = click.FloatRange(0, 1)
_BAD_SHOWN: Final = 10


@click.command(short_help="Analyse the ratings and write a report.")
@click.argument("folder", type=_FOLDER, required=False)
@click.option(
    "--ratings",
    type=_FILE,
    metavar="FILE.csv",
    help="Read the ratings from this table instead of the study's own database.",
)
@click.option(
    "--target", metavar="NAME", help="The system whose wins are counted  [default: the plan's]"
)
@click.option(
    "-o", "--output", type=_NEW_FOLDER, help="Folder for report.md, report.html and report.json."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed of the bootstrap.",
)
@json_option
def report(
    folder: Path | None,
    ratings: Path | None,
    target: str | None,
    output: Path | None,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Analyse the ratings of the study FOLDER or of a table.

    The report has Win, Tie, Overall and MMF as defined in the paper, tests that account for raters
    and items, agreement, side bias and a ranking. It gives every number with and without the
    exclusions of the plan.
    """
    _need_scipy()
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.study.report.analysis import analyse
    from render_jobs.study.report.sources import gather

    source = gather(folder, ratings, target)
    facts = analyse(source.rows, source.target, source.rules, source.assigned, seed)
    if source.bad:
        facts["cleaning"]["bad_rows"] = [str(row) for row in source.bad]
    files: tuple[Path, ...] = ()
    if output is not None:
        from render_jobs.study.report.compose import write_report

        files = write_report(source, facts, output, seed=seed)
    if as_json:
        print_json(facts)
    else:
        _tell(facts, source.target, files)
    if source.bad:
        sys.exit(EXIT_SOME_FAILED)


def _tell(facts: dict[str, Any], target: str, files: tuple[Path, ...]) -> None:
    from render_jobs.cli.console import printable
    from render_jobs.study.report.compose import summary_lines

    bad = facts["cleaning"].get("bad_rows", [])
    for row in bad[:_BAD_SHOWN]:
        click.echo(f"Note: left out {printable(row)}", err=True)
    if len(bad) > _BAD_SHOWN:
        click.echo(f"Note: left out {len(bad) - _BAD_SHOWN} more rows", err=True)
    for line in summary_lines(facts, target):
        click.echo(printable(line))
    for path in files:
        click.echo(f"wrote {path}")


@click.command(short_help="Estimate how many raters and items a study needs.")
@click.option(
    "--raters",
    type=click.IntRange(2, 500),
    required=True,
    metavar="R",
    help="Number of raters who finish.",
)
@click.option(
    "--pairs",
    type=click.IntRange(2, 1000),
    required=True,
    metavar="N",
    help="Number of items; every rater rates each.",
)
@click.option(
    "--p",
    "share",
    type=_SHARE,
    default=0.6,
    show_default=True,
    metavar="SHARE",
    help="True share of the target's wins among answers other than ties.",
)
@click.option(
    "--tie",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.07,
    show_default=True,
    metavar="SHARE",
    help="True share of ties.",
)
@click.option(
    "--sd-rater",
    type=click.FloatRange(0, 10),
    default=0.3,
    show_default=True,
    metavar="SD",
    help="Standard deviation between raters, in logits.",
)
@click.option(
    "--sd-item",
    type=click.FloatRange(0, 10),
    default=0.8,
    show_default=True,
    metavar="SD",
    help="Standard deviation between items, in logits.",
)
@click.option(
    "--runs",
    type=click.IntRange(100, 200_000),
    default=2000,
    show_default=True,
    metavar="N",
    help="Number of simulated studies.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed of the simulation.",
)
@json_option
def power(
    raters: int,
    pairs: int,
    share: float,
    tie: float,
    sd_rater: float,
    sd_item: float,
    runs: int,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Simulate the study many times and print how often the main test finds the difference.

    With --p 0.5 there is no difference, and the result is the rate of false positives.
    """
    _need_scipy()
    from render_jobs.cli.console import print_json
    from render_jobs.study.report.power import Design, simulate

    design = Design(raters, pairs, share, tie, sd_rater, sd_item)
    found = simulate(design, runs=runs, seed=seed)
    if as_json:
        print_json(found.facts())
        return
    for line in found.lines():
        click.echo(line)


def _need_scipy() -> None:
    from importlib.util import find_spec

    from exomni_core.errors import EnvironmentProblem

    if find_spec("scipy") is None:
        raise EnvironmentProblem(
            "the statistics need scipy; install it with: pip install 'exomni-blender[study]'"
        )
