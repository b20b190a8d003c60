# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender eval import ...` and `eval voicebench ...`: other people's data."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from render_jobs.cli.eval_faces import FILE, FOLDER, PLACE, evaluate
from render_jobs.cli.eval_speech import NEW_FILE
from render_jobs.cli.options import comma_list, json_option

if TYPE_CHECKING:
    from render_jobs.evaluation.imports.tables import Entry

__all__ = ["evaluate"]  # with all its commands

Command = Callable[..., Any]
_SUBSETS: Final = (
    "alpacaeval", "alpacaeval_full", "commoneval", "wildvoice", "openbookqa", "mmsu", "sd-qa",
    "mtbench", "ifeval", "bbh", "advbench",
)  # fmt: skip
_subset_option = click.option(
    "--subset", type=click.Choice(_SUBSETS), default="commoneval", show_default=True
)


def _import_options(mode: str) -> Callable[[Command], Command]:
    options = (
        click.option("-o", "--output", type=NEW_FILE, required=True, metavar="JSONL",
                     help="The prompts file to write."),
        click.option("--mode", type=click.Choice(["reply", "lipsync", "say"]), default=mode,
                     show_default=True, help="What an engine shall do with each."),
        click.option("--input", "given", type=click.Choice(["audio", "text"]), default="audio",
                     show_default=True, help="For reply: what the engine gets."),
        json_option,
    )  # fmt: skip
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


@evaluate.group(name="import", short_help="A prompts file of a benchmark that you have.")
def import_() -> None:
    """Make a prompts file of a benchmark that you have downloaded."""


@import_.command(name="a2f-bench", short_help="UniTalker's release (A2F-Bench), as a user's turns.")
@click.argument("root", type=FOLDER)
@click.option("--sets", default="D6", show_default=True, metavar="D6,...")
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test",
              show_default=True)  # fmt: skip
@click.option("--texts", type=FILE, metavar="CSV|JSONL",
              help="What is said: columns id (the sound's name) and text.")  # fmt: skip
@click.option("--language", default="", metavar="CODE", help="Of sets other than D6.")
@_import_options("reply")
def a2f_bench(root: Path, **chosen: Any) -> None:
    """Read ROOT (unitalker_data_release_V1)."""
    from render_jobs.evaluation.imports.sets import a2f_bench as read
    from render_jobs.evaluation.imports.sets import read_texts

    texts = read_texts(chosen["texts"]) if chosen["texts"] else {}
    sets = comma_list(chosen["sets"])
    entries = read(root, sets=sets, split=chosen["split"], texts=texts, language=chosen["language"])
    _write("a2f-bench", entries, chosen)


@import_.command(name="ex-a2f-en", short_help="A table of translations: id, zh, en, wav.")
@click.argument("table", type=PLACE)
@_import_options("reply")
def ex_a2f_en(table: Path, **chosen: Any) -> None:
    """Read TABLE (.csv or .jsonl); see docs/evaluation.md for how to make one."""
    from render_jobs.evaluation.imports.sets import ex_a2f_en as read

    _write("ex-a2f-en", read(table), chosen)


@import_.command(short_help="CommonEval, out of a download of VoiceBench.")
@click.argument("root", type=PLACE)
@_import_options("reply")
def commoneval(root: Path, **chosen: Any) -> None:
    """Read ROOT, which holds the folder commoneval or is it."""
    from render_jobs.evaluation.imports.voicebench import voicebench as read

    _write("commoneval", read(root, subset="commoneval"), chosen)


@import_.command(short_help="Any subset of VoiceBench.")
@click.argument("root", type=PLACE)
@_subset_option
@click.option("--split", default="", metavar="NAME", help="Such as test, or usa in sd-qa.")
@_import_options("reply")
def voicebench(root: Path, **chosen: Any) -> None:
    """Read ROOT, a download of VoiceBench: parquet files, or exported rows with their sounds."""
    from render_jobs.evaluation.imports.voicebench import voicebench as read

    _write("voicebench", read(root, subset=chosen["subset"], split=chosen["split"]), chosen)


@import_.command(name="seed-tts", short_help="The lists of Seed-TTS-Eval, as lines to say.")
@click.argument("root", type=PLACE)
@click.option("--lists", default="", metavar="en,zh,zh-hard", help="[default: all that are there]")
@click.option("--language", default="", metavar="CODE", help="Of a list that doesn't tell.")
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
                f"Note: {counts['n_renamed']} names stand twice or can't be file names; their ids "
                "differ (meta keeps the name)", err=True
            )  # fmt: skip
        splits = ", ".join(f"{name} {count}" for name, count in counts["splits"].items())
        left = f"; {counts['n_failed']} left out" if counts["n_failed"] else ""
        click.echo(f"wrote {facts['prompts']}: {counts['n_written']} prompts ({splits}){left}")
    if counts["n_failed"]:
        sys.exit(EXIT_SOME_FAILED)


@evaluate.group(name="voicebench", short_help="To VoiceBench's own scripts and back.")
def voicebench_files() -> None:
    """Write what VoiceBench's own scripts read, run them, and read their results."""


@voicebench_files.command(short_help="Write the answers as VoiceBench's scripts read them.")
@click.argument("answers", type=PLACE)
@_subset_option
@click.option("--model", required=True, metavar="NAME", help="What the files are called after.")
@click.option("--modality", type=click.Choice(["audio", "text"]), default="audio",
              show_default=True, help="What the model got.")  # fmt: skip
@click.option("--prompts", type=FILE, metavar="JSONL",
              help="The imported prompts, for answers without the data set's fields.")  # fmt: skip
@click.option("--system", default="", metavar="NAME", help="Which system's lines of a list.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Folder for the files.")  # fmt: skip
@json_option
def write(answers: Path, output: Path, **chosen: Any) -> None:
    """Write the files of ANSWERS, a batch run or a responses.jsonl."""
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
            f"Note: {counts['n_empty']} prompts have no answer and are written with an empty one, "
            f"such as {facts['empty'][0]} (advbench counts that as a refusal)", err=True
        )  # fmt: skip
    for path in facts["files"]:
        click.echo(f"wrote {path}")


@voicebench_files.command(short_help="Have your checkout of VoiceBench judge and evaluate files.")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--checkout", type=FOLDER, required=True, help="The folder with evaluate.py.")
@click.option("--python", default=sys.executable, metavar="PATH", help="Its Python.")
@click.option("--evaluator", default="", metavar="NAME", help="[default: by the subset]")
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


@voicebench_files.command(short_help="Put results of VoiceBench's scripts into our table.")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for result.json, rows.csv and table.md.")  # fmt: skip
@json_option
def read(files: tuple[Path, ...], **chosen: Any) -> None:
    """Read FILES (result-*.json or .jsonl); what they say stays as it is."""
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
