# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender pairs`: runs of two or more systems in, a study folder out."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from render_jobs.cli.chosen import render_settings
from render_jobs.cli.options import (
    HeadedCommand,
    HeadedOption,
    comma_list,
    output_folder,
    plain_render_options,
    report_options,
    workers_option,
)

if TYPE_CHECKING:
    from render_jobs.study.making.pairs import Built

_PICTURE = ("template", "look", "render_engine", "size", "fps", "samples", "head_motion")
# Options of the command that are the fields of PairOptions of the same name.
_GIVEN = (
    "count",
    "raters",
    "seed",
    "audio",
    "stimulus",
    "target",
    "all_pairs",
    "title",
    "min_s",
    "max_s",
    "force",
    "texts",
    "contact",
    "storage",
    "blender",
    "workers",
)
_RUN = click.Path(path_type=Path, file_okay=False, exists=True)


_read = functools.partial(click.option, cls=HeadedOption, heading="What raters read")


@click.command(cls=HeadedCommand, short_help="Make a human A/B study from two or more runs.")
@click.argument("runs", nargs=-1, required=True, type=_RUN, metavar="RUN_A RUN_B [RUN_C ...]")
@output_folder("Folder for the study.")
@click.option(
    "--n",
    "count",
    type=click.IntRange(min=1),
    metavar="N",
    help="Items in each comparison, over all languages  [default: 20, or all if there are fewer]",
)
@click.option(
    "--raters",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    metavar="N",
    help="Number of raters; an even number balances the sides of each pair.",
)
@click.option(
    "--languages",
    default="",
    metavar="CODES",
    help="Languages, such as zh,en; each gets the same number of items  [default: all]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed that selects the items and the orders.",
)
@click.option(
    "--audio",
    type=click.Choice(["shared", "own"]),
    default="shared",
    show_default=True,
    help="shared: both faces play together to the target's speech; own: one face plays after the "
    "other, each with its own speech.",
)
@click.option(
    "--stimulus",
    type=click.Choice(["composite", "dual"]),
    default="composite",
    show_default=True,
    help="One video of both sides, or two videos.",
)
@click.option(
    "--target",
    default="",
    metavar="NAME",
    help="The system that the others are compared with  [default: the first run]",
)
@click.option(
    "--names",
    default="",
    metavar="A,B",
    help="Names of the systems in the results  [default: the folders' names]",
)
@click.option(
    "--all-pairs",
    is_flag=True,
    help="Compare every system with every other, not only with the target.",
)
@click.option(
    "--min-s",
    type=click.FloatRange(0.2),
    default=3.0,
    show_default=True,
    metavar="S",
    help="Leave out shorter clips.",
)
@click.option(
    "--max-s",
    type=click.FloatRange(0.5),
    default=20.0,
    show_default=True,
    metavar="S",
    help="Leave out longer clips.",
)
@workers_option()
@click.option("--force", is_flag=True, help="Overwrite the study if nobody has rated yet.")
@_read("--title", default="", metavar="TEXT", help="Title of the page.")
@_read(
    "--contact",
    default="",
    metavar="TEXT",
    help="Name and address for questions of raters.",
)
@_read(
    "--storage",
    default="",
    metavar="TEXT",
    help="One sentence: where and how long the answers are stored.",
)
@_read(
    "--texts",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="JSON file with your own protocol and consent texts.",
)
@report_options
@plain_render_options
def pairs(runs: tuple[Path, ...], output: Path, **chosen: Any) -> None:
    """Make a study from runs of two or more systems on the same prompts.

    A RUN is a folder written by `exorender batch` or `exorender systems run`, or a folder of clips
    (.clip) or videos named by prompt id. The first run is the target; every other run is compared
    with it. Clips without a video are rendered with the options under Picture; by default with the
    settings of the other runs.

    The result is frozen: study.json contains the hash of every video, the order for every rater,
    the protocol, the analysis plan and the exclusion rules. Serve it with `exorender study serve`.
    """
    from render_jobs.cli.console import print_json
    from render_jobs.study.making.pairs import PairOptions, build_study, facts_of

    context = click.get_current_context()
    asked = any(
        context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _PICTURE
    )
    options = PairOptions(
        runs=runs,
        out=output,
        languages=comma_list(chosen["languages"]),
        names=comma_list(chosen["names"]),
        settings=render_settings(chosen) if asked else None,
        **{name: chosen[name] for name in _GIVEN},
    )
    with _Steps(quiet=chosen["quiet"] or chosen["as_json"]) as steps:
        built = build_study(options, steps.tell)
    if chosen["as_json"]:
        print_json(facts_of(built))
    else:
        _tell(built, quiet=chosen["quiet"])


def _tell(built: Built, *, quiet: bool) -> None:
    """Print the notes on a study on stderr, and what it holds on stdout."""
    from render_jobs.study.making.balance import balance_table

    for note in built.notes:
        click.echo(f"Note: {note}", err=True)
    if quiet:
        return
    reasons: dict[str, list[str]] = {}
    for one in built.study.dropped:
        reasons.setdefault(one.reason, []).append(one.item)
    for reason, items in reasons.items():
        shown = ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
        click.echo(f"excluded {shown}: {reason}")
    for what, much in balance_table(built.study.balance):
        click.echo(f"{what:30} {much}")
    click.echo(f"plan {built.study.plan_sha256}")
    click.echo(f"wrote {built.folder}; serve it with: exorender study serve {built.folder}")


class _Steps:
    """One line on a terminal: the step and a count. A pipe gets nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._step, self._count, self._open = "", 0, False

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            click.echo(err=True)

    def tell(self, text: str) -> None:
        """Show a new step; `.` counts one finished thing, `+N` counts N frames."""
        if text == ".":
            self._count += 1
        elif text.startswith("+"):
            self._count += int(text[1:])
        else:
            self._step, self._count = text, 0
        if self._shown:
            self._open = True
            click.echo(f"\r{self._step} {self._count or ''}".ljust(60), nl=False, err=True)
