# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender eval import ...`: a downloaded benchmark in, a prompts file out."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from render_jobs.cli.eval.shared import FILE, FOLDER, NEW_FILE, PLACE, subset_option
from render_jobs.cli.options import comma_list, json_option

if TYPE_CHECKING:
    from render_jobs.evaluation.imports.tables import Entry

Command = Callable[..., Any]


def _import_options(mode: str) -> Callable[[Command], Command]:
    options = (
        click.option(
            "-o",
            "--output",
            type=NEW_FILE,
            required=True,
            metavar="JSONL",
            help="The prompts file to write.",
        ),
        click.option(
            "--mode",
            type=click.Choice(["reply", "lipsync", "say"]),
            default=mode,
            show_default=True,
            help="What the engine does with each prompt.",
        ),
        click.option(
            "--input",
            "given",
            type=click.Choice(["audio", "text"]),
            default="audio",
            show_default=True,
            help="With --mode reply: whether the engine hears the audio or reads the text.",
        ),
        json_option,
    )
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


@click.group(name="import", short_help="Make a prompts file from a benchmark.")
def import_() -> None:
    """Make a prompts file from a benchmark that you have downloaded."""


@import_.command(name="a2f-bench", short_help="A2F-Bench, from UniTalker's data release.")
@click.argument("root", type=FOLDER)
@click.option(
    "--sets", default="D6", show_default=True, metavar="D6,...", help="Data sets to read."
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Split to read.",
)
@click.option(
    "--texts",
    type=FILE,
    metavar="CSV|JSONL",
    help="Transcripts: a table with the columns id (the sound's name) and text.",
)
@click.option("--language", default="", metavar="CODE", help="Language of sets other than D6.")
@_import_options("reply")
def a2f_bench(root: Path, **chosen: Any) -> None:
    """Read ROOT, the folder unitalker_data_release_V1, as a user's turns."""
    from render_jobs.evaluation.imports.sets import a2f_bench as read
    from render_jobs.evaluation.imports.sets import read_texts

    texts = read_texts(chosen["texts"]) if chosen["texts"] else {}
    sets = comma_list(chosen["sets"])
    entries = read(root, sets=sets, split=chosen["split"], texts=texts, language=chosen["language"])
    _write("a2f-bench", entries, chosen)


@import_.command(
    name="ex-a2f-en", short_help="Ex-A2F-EN, from a table of translations: id, zh, en, wav."
)
@click.argument("table", type=PLACE)
@_import_options("reply")
def ex_a2f_en(table: Path, **chosen: Any) -> None:
    """Read TABLE (.csv or .jsonl); see docs/evaluation.md for how to make one."""
    from render_jobs.evaluation.imports.sets import ex_a2f_en as read

    _write("ex-a2f-en", read(table), chosen)


@import_.command(short_help="CommonEval, from a download of VoiceBench.")
@click.argument("root", type=PLACE)
@_import_options("reply")
def commoneval(root: Path, **chosen: Any) -> None:
    """Read ROOT: the folder commoneval, or the folder that contains it."""
    from render_jobs.evaluation.imports.voicebench import voicebench as read

    _write("commoneval", read(root, subset="commoneval"), chosen)


@import_.command(short_help="Any subset of VoiceBench, from a download.")
@click.argument("root", type=PLACE)
@subset_option
@click.option(
    "--split", default="", metavar="NAME", help="Split to read, such as test, or usa for sd-qa."
)
@_import_options("reply")
def voicebench(root: Path, **chosen: Any) -> None:
    """Read ROOT, a download of VoiceBench: parquet files, or exported rows with their sounds."""
    from render_jobs.evaluation.imports.voicebench import voicebench as read

    _write("voicebench", read(root, subset=chosen["subset"], split=chosen["split"]), chosen)


@import_.command(name="seed-tts", short_help="Seed-TTS-Eval, as lines to say.")
@click.argument("root", type=PLACE)
@click.option(
    "--lists", default="", metavar="en,zh,zh-hard", help="Lists to read  [default: all in ROOT]"
)
@click.option(
    "--language",
    default="",
    metavar="CODE",
    help="Language of a list whose name doesn't state one.",
)
@_import_options("say")
def seed_tts(root: Path, **chosen: Any) -> None:
    """Read ROOT, the folder with en/meta.lst and so on, or one list."""
    from render_jobs.evaluation.imports.sets import seed_tts as read

    lists = comma_list(chosen["lists"])
    _write("seed-tts", read(root, lists=lists, language=chosen["language"]), chosen)


def _write(bench: str, entries: Iterable[Entry], chosen: dict[str, Any]) -> None:
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.evaluation.imports.tables import ImportOptions, import_prompts

    options = ImportOptions(bench, chosen["mode"], chosen["given"])
    facts = import_prompts(entries, chosen["output"], options)
    counts = facts["counts"]
    if chosen["as_json"]:
        print_json(facts)
    else:
        for failure in facts["failures"][:10]:
            click.echo(f"Left out: {failure['id']}: {failure['reason']}", err=True)
        if (more := counts["n_failed"] - 10) > 0:
            click.echo(f"Left out: {more} more", err=True)
        if counts["n_renamed"]:
            click.echo(
                f"Note: {counts['n_renamed']} names are duplicates or can't be file names; they "
                f"got other ids (meta keeps the names)",
                err=True,
            )
        splits = ", ".join(f"{name} {count}" for name, count in counts["splits"].items())
        left = f"; {counts['n_failed']} left out" if counts["n_failed"] else ""
        click.echo(f"wrote {facts['prompts']}: {counts['n_written']} prompts ({splits}){left}")
    if counts["n_failed"]:
        sys.exit(EXIT_SOME_FAILED)
