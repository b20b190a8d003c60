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


@click.command(short_help="Ratings to a table one can publish.")
@click.argument("folder", type=_FOLDER, required=False)
@click.option("--ratings", type=_FILE, metavar="FILE.csv",
              help="Take the ratings from this table instead of the study's own store.",
              )  # fmt: skip
@click.option("--target", metavar="NAME", help="The system whose wins are counted  [default: the "
              "plan's].")  # fmt: skip
@click.option("-o", "--output", type=_NEW_FOLDER,
              help="Folder for report.md, report.html and report.json.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Of the bootstrap.")  # fmt: skip
@json_option
def report(
    folder: Path | None, ratings: Path | None, target: str | None, output: Path | None,
    seed: int, *, as_json: bool,
) -> None:  # fmt: skip
    """Analyse the ratings of the study FOLDER (or of a table) and say what they show.

    Win, Tie, Overall and MMF as the paper has them, tests that respect raters and items, agreement,
    side bias, ranking; every number with and without the exclusions that the plan fixed.
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


@click.command(short_help="How many raters and items a study needs.")
@click.option("--raters", type=click.IntRange(2, 500), required=True, metavar="R",
              help="People who finish.")  # fmt: skip
@click.option("--pairs", type=click.IntRange(2, 1000), required=True, metavar="N",
              help="Items, each rated by every rater.")  # fmt: skip
@click.option("--p", "share", type=_SHARE, default=0.6, show_default=True, metavar="SHARE",
              help="True share of the target's wins among answers that are no tie.")  # fmt: skip
@click.option("--tie", type=click.FloatRange(0, 1, max_open=True), default=0.07, show_default=True,
              metavar="SHARE", help="Share of ties.")  # fmt: skip
@click.option("--sd-rater", type=click.FloatRange(0, 10), default=0.3, show_default=True,
              metavar="SD", help="Spread of raters, on the logit.")  # fmt: skip
@click.option("--sd-item", type=click.FloatRange(0, 10), default=0.8, show_default=True,
              metavar="SD", help="Spread of items, on the logit.")  # fmt: skip
@click.option("--runs", type=click.IntRange(100, 200_000), default=2000, show_default=True,
              metavar="N", help="Simulated studies.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Of the simulation.")  # fmt: skip
@json_option
def power(
    raters: int, pairs: int, share: float, tie: float, sd_rater: float, sd_item: float,
    runs: int, seed: int, *, as_json: bool,
) -> None:  # fmt: skip
    """Simulate the study many times: how often would the headline test find the difference?

    With --p 0.5 there is none, and the answer is the rate of false positives.
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
