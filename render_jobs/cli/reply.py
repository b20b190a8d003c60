# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender reply`: a question in; the answer as text and talking head out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exomni_core.engine import ANSWERING_ENGINE, load_engine
from render_jobs.cli.chosen import line_prompt, video_options
from render_jobs.cli.engine_options import engine_options, engine_settings
from render_jobs.cli.options import (
    EXISTING,
    NEW_FILE,
    HeadedCommand,
    render_options,
    report_options,
    speech_options,
)

if TYPE_CHECKING:
    from exomni_core.prompt import Prompt


@click.command(cls=HeadedCommand, short_help="Answer a line or a recording with the neural engine.")
@click.argument("text", required=False)
@click.option("-o", "--output", type=NEW_FILE, help="File to write: .mp4 or .clip.")
@click.option("--text-only", is_flag=True, help="Print the answer; write no file.")
@click.option(
    "--stream", is_flag=True, help="Show the answer while the engine writes and speaks it."
)
@click.option(
    "--audio", type=EXISTING, help="Recording to answer, or recording that TEXT asks about."
)
@click.option(
    "--system",
    metavar="TEXT",
    help="System prompt: the role of the model and the style of its answers.",
)
@click.option(
    "--history",
    type=EXISTING,
    help='JSON file with the earlier turns: [{"role": "user", "text": "Hi."}, '
    '{"role": "assistant", "text": ...}].',
)
@click.option(
    "--temperature",
    type=float,
    metavar="T",
    help="0 always picks the most likely word; higher values vary more  [default: 0.2]",
)
@click.option(
    "--top-p",
    type=float,
    metavar="P",
    help="Pick from the most likely words up to this total probability, at most 1  [default: the "
    "model's]",
)
@click.option(
    "--max-tokens",
    type=int,
    metavar="N",
    help="Longest answer in tokens  [default: the model's]",
)
@report_options
@speech_options(ANSWERING_ENGINE)
@engine_options
@render_options
def reply(text: str | None, output: Path | None, **chosen: Any) -> None:
    """Answer TEXT, a recording, or both; print the answer and write it as a talking head.

    This needs the neural engine (pip install '.[omni]') and its weights (exorender models pull).
    """
    _check_usage(text, output, chosen)
    prompt = _question(text, chosen)
    if output is None:
        _answer_in_writing(prompt, chosen)
    else:
        _answer_aloud(prompt, output, chosen)


def _check_usage(text: str | None, output: Path | None, chosen: dict[str, Any]) -> None:
    if text is None and chosen["audio"] is None:
        raise click.UsageError("Give a TEXT to answer, or a recording with --audio.")
    if output is None and not chosen["text_only"]:
        raise click.UsageError(
            "Name the file to write with -o (.mp4 or .clip), or give --text-only."
        )
    for option, clashes in (("-o", output), ("--stream", chosen["stream"])):
        if chosen["text_only"] and clashes:
            raise click.UsageError(f"--text-only makes no clip; leave {option} out.")


def _question(text: str | None, chosen: dict[str, Any]) -> Prompt:
    data = {name: chosen[name] for name in ("system", "temperature", "top_p", "max_tokens")}
    if chosen["audio"] is not None:
        data["audio"] = str(chosen["audio"].absolute())
    if chosen["history"] is not None:
        data["history"] = _history(chosen["history"])
    return line_prompt({"id": "answer", "mode": "reply", "text": text, **data}, chosen)


def _history(path: Path) -> Any:
    """The file's JSON, unchecked, with absolute paths of recordings."""
    from exomni_core.errors import InputError
    from exomni_core.storage.foreign import load_json

    try:
        messages = load_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not a JSON file ({error}); write a list of messages such as "
            '[{"role": "user", "text": "..."}]',
            field="history",
        ) from error
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(message.get("audio"), str):
            message["audio"] = str(path.absolute().parent / message["audio"])
    return messages


def _answer_in_writing(prompt: Prompt, chosen: dict[str, Any]) -> None:
    from render_jobs.cli.console import print_json, printable

    text = load_engine(chosen["engine"], **engine_settings(chosen)).answer(prompt)
    if chosen["as_json"]:
        print_json({"text": text})
    else:
        click.echo(printable(text))


def _answer_aloud(prompt: Prompt, output: Path, chosen: dict[str, Any]) -> None:
    from render_jobs.batch.single import make
    from render_jobs.cli.console import ProgressLine, printable, tell

    options, video = engine_settings(chosen), video_options(chosen)
    with ProgressLine(quiet=chosen["quiet"] or chosen["as_json"]) as line:
        facts = make(
            prompt,
            output,
            chosen["engine"],
            video,
            engine_options=options,
            progress=None if chosen["stream"] else line.stage,
            on_frames=line.frames,
            on_text=line.text if chosen["stream"] else None,
        )
    on_screen = chosen["stream"] and not chosen["quiet"]
    if not chosen["as_json"] and not (on_screen and sys.stdout.isatty() and sys.stderr.isatty()):
        click.echo(printable(facts["text"]))
    tell(facts, as_json=chosen["as_json"], quiet=chosen["quiet"])
