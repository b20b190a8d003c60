# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender pairs`: runs of two or more systems in, a study folder out."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from render_jobs.cli.options import (
    HeadedCommand,
    HeadedOption,
    comma_list,
    plain_render_options,
    render_settings,
    report_options,
)

_PICTURE = ("template", "look", "render_engine", "size", "fps", "samples", "head_motion")
_FOLDER = click.Path(path_type=Path, file_okay=False)
_RUN = click.Path(path_type=Path, file_okay=False, exists=True)


_read = functools.partial(click.option, cls=HeadedOption, heading="What raters read")


@click.command(cls=HeadedCommand, short_help="Make a human A/B study from two runs.")
@click.argument("runs", nargs=-1, required=True, type=_RUN, metavar="RUN_A RUN_B [RUN_C ...]")
@click.option("-o", "--out", type=_FOLDER, required=True, help="Folder for the study.")
@click.option("--n", "count", type=click.IntRange(min=1), metavar="N",
              help="Items in each comparison, over all languages  [default: 20, or as many as "
                   "there are].")  # fmt: skip
@click.option("--raters", type=click.IntRange(1, 1000), default=8, show_default=True, metavar="N",
              help="Seats; an even number balances the sides of each pair.")  # fmt: skip
@click.option("--languages", default="", metavar="CODES",
              help="Such as zh,en; equally many items of each  [default: all].")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Draws the items and the orders.")  # fmt: skip
@click.option("--audio", type=click.Choice(["shared", "own"]), default="shared", show_default=True,
              help="shared: both faces to the target's speech; own: one after the other, each to "
                   "its own.")  # fmt: skip
@click.option("--stimulus", type=click.Choice(["composite", "dual"]), default="composite",
              show_default=True, help="One video of both sides, or two videos.")  # fmt: skip
@click.option("--target", default="", metavar="NAME",
              help="The system that the study is about  [default: the first run].")  # fmt: skip
@click.option("--names", default="", metavar="A,B",
              help="What the systems are called in the results  [default: the folders' names].",
              )  # fmt: skip
@click.option("--all-pairs", is_flag=True, help="Compare every two systems, not only with the "
              "target.")  # fmt: skip
@click.option("--min-s", type=click.FloatRange(0.2), default=3.0, show_default=True, metavar="S",
              help="Leave out what is shorter.")  # fmt: skip
@click.option("--max-s", type=click.FloatRange(0.5), default=20.0, show_default=True, metavar="S",
              help="Leave out what is longer.")  # fmt: skip
@click.option("--workers", type=click.IntRange(0, 64), default=0, metavar="N",
              help="Processes; 0: one per core, 8 at most.")  # fmt: skip
@click.option("--force", is_flag=True, help="Make a study anew that has no ratings yet.")
@_read("--title", default="", metavar="TEXT", help="Of the page.")
@_read("--contact", default="", metavar="TEXT", help="Whom they may ask.")
@_read("--storage", default="", metavar="TEXT",
        help="Where and how long answers are kept, as a sentence.")  # fmt: skip
@_read("--texts", type=click.Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE", help="Own protocol and consent (JSON).")  # fmt: skip
@report_options
@plain_render_options
def pairs(runs: tuple[Path, ...], out: Path, **chosen: Any) -> None:
    """Make a study from what two or more systems made of the same prompts.

    A RUN is a folder that exorender batch or exorender systems run made, or a folder of clips
    (.clip) or of videos named by prompt id. The first is the target; each other is compared with
    it. Clips without a video are rendered with the options under Picture, by default as the other
    runs were.

    The result is frozen: study.json names every video by its hash, the order of every rater, the
    protocol, the analysis and the rules of exclusion. Serve it with exorender study serve.
    """
    from render_jobs.cli.console import print_json
    from render_jobs.study.making.balance import balance_table
    from render_jobs.study.making.pairs import PairOptions, build_study, facts_of

    given = {name: chosen[name] for name in (
        "count", "raters", "seed", "audio", "stimulus", "target", "all_pairs", "title", "min_s",
        "max_s", "force", "texts", "contact", "storage", "blender", "workers")}  # fmt: skip
    context = click.get_current_context()
    asked = any(
        context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _PICTURE
    )
    options = PairOptions(
        runs=runs, out=out, languages=comma_list(chosen["languages"]),
        names=comma_list(chosen["names"]),
        settings=render_settings(chosen) if asked else None, **given,
    )  # fmt: skip
    with _Steps(quiet=chosen["quiet"] or chosen["as_json"]) as steps:
        built = build_study(options, steps.tell)
    if chosen["as_json"]:
        print_json(facts_of(built))
        return
    for note in built.notes:
        click.echo(f"Note: {note}", err=True)
    if chosen["quiet"]:
        return
    reasons: dict[str, list[str]] = {}
    for one in built.study.dropped:
        reasons.setdefault(one.reason, []).append(one.item)
    for reason, items in reasons.items():
        shown = ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
        click.echo(f"left out {shown}: {reason}")
    for what, much in balance_table(built.study.balance):
        click.echo(f"{what:30} {much}")
    click.echo(f"plan {built.study.plan_sha256}")
    click.echo(f"wrote {out}; show it with: exorender study serve {out}")


class _Steps:
    """One line on a terminal: the step, then a count of what it has done; nothing in a pipe."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._step, self._count, self._open = "", 0, False

    def __enter__(self) -> _Steps:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            click.echo(err=True)

    def tell(self, text: str) -> None:
        """A new step, `.` for one thing done, `+N` for N frames."""
        if text == ".":
            self._count += 1
        elif text.startswith("+"):
            self._count += int(text[1:])
        else:
            self._step, self._count = text, 0
        if self._shown:
            self._open = True
            click.echo(f"\r{self._step} {self._count or ''}".ljust(60), nl=False, err=True)
