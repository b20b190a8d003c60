# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender eval tts|consistency|responses|latency`: speech in, its measures out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from render_jobs.cli.eval_faces import FILE, FOLDER, PLACE, evaluate, finish, output_option
from render_jobs.cli.options import (
    chain,
    engine_option,
    engine_settings,
    json_option,
    omni_options,
    seed_option,
)

if TYPE_CHECKING:
    from render_jobs.evaluation.recogniser import Recogniser

NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)


_seed_option = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
                            metavar="N", help="For the intervals.")  # fmt: skip
_transcript_options = chain(
    click.option("--hyp", type=FILE, metavar="JSONL",
                 help='Transcripts: lines of {"id": ..., "text": ...}.'),
    click.option("--asr", metavar="COMMAND",
                 help="A recogniser: run once per file with {audio}, or once for all with {list}."),
    click.option("--asr-timeout", type=click.FloatRange(min=1), default=300.0, show_default=True,
                 metavar="SECONDS", help="For one file."),
    click.option("--transcripts", type=NEW_FILE, metavar="JSONL",
                 help="Where --asr keeps its transcripts, so that a rerun goes on  [default: "
                      "hyp.jsonl in the output folder]"),
)  # fmt: skip


@evaluate.command(short_help="Score synthesised speech on a Seed-TTS-Eval list (WER or CER).")
@click.option("--meta", type=FILE, required=True, metavar="LIST",
              help="en/meta.lst, zh/meta.lst, zh/hardcase.lst or one like them.")  # fmt: skip
@click.option("--wav-dir", type=FOLDER, help="Folder of UTT.wav.")
@_transcript_options
@click.option("--language", default="", metavar="CODE",
              help="en or zh  [default: what the list's folder is called]")  # fmt: skip
@_seed_option
@output_option
@json_option
def tts(**chosen: Any) -> None:
    """Score the wavs of a Seed-TTS-Eval list by their transcripts, as the benchmark does.

    Wavs and transcripts that are missing are told, and taken as 100 % in a second number.
    """
    from render_jobs.cli.console import ProgressLine
    from render_jobs.evaluation.speech import TtsRun, evaluate_tts
    from render_jobs.evaluation.speech_text import tts_lines, tts_markdown

    run = TtsRun(
        chosen["meta"], chosen["wav_dir"], chosen["hyp"], _recogniser(chosen), chosen["language"],
        chosen["seed"],
    )  # fmt: skip
    with ProgressLine(quiet=chosen["as_json"], unit="files") as line:
        result = evaluate_tts(run, line.frames)
    finish(result, tts_markdown(result), tts_lines(result), chosen)


@evaluate.command(short_help="Compare what was spoken with the answer's text, by duration.")
@click.argument("answers", type=PLACE)
@_transcript_options
@click.option("--system", default="", metavar="NAME", help="Which system's lines of a list.")
@click.option("--language", default="", metavar="CODE", help="For answers that name none.")
@_seed_option
@output_option
@json_option
def consistency(answers: Path, **chosen: Any) -> None:
    """Compare transcripts of the speech in ANSWERS with the text that was to be spoken.

    ANSWERS is a batch run or a responses.jsonl.
    """
    from render_jobs.cli.console import ProgressLine
    from render_jobs.evaluation.speech import ConsistencyRun, evaluate_consistency
    from render_jobs.evaluation.speech_text import consistency_lines, consistency_markdown

    run = ConsistencyRun(
        answers, chosen["hyp"], _recogniser(chosen), chosen["system"], chosen["language"],
        chosen["seed"],
    )  # fmt: skip
    with ProgressLine(quiet=chosen["as_json"], unit="files") as line:
        result = evaluate_consistency(run, line.frames)
    finish(result, consistency_markdown(result), consistency_lines(result), chosen)


@evaluate.command(short_help="Write the responses.jsonl of a batch run, with its sounds as wav.")
@click.argument("run", type=FOLDER)
@click.option("-o", "--output", type=NEW_FILE, required=True, help="The responses.jsonl to write.")
@click.option("--system", default="", metavar="NAME",
              help="What the system is called  [default: its engine]")  # fmt: skip
@click.option("--no-audio", is_flag=True, help="Write no wav files.")
@json_option
def responses(run: Path, output: Path, **chosen: Any) -> None:
    """Write what the batch run RUN answered, one JSON line per prompt, for other people's tools."""
    from render_jobs.cli.console import ProgressLine, print_json
    from render_jobs.evaluation.responses import write_run_responses

    with ProgressLine(quiet=chosen["as_json"], unit="answers") as line:
        facts = write_run_responses(
            run, output, system=chosen["system"], audio=not chosen["no_audio"], on_rows=line.frames
        )
    if chosen["as_json"]:
        print_json(facts)
        return
    counts = facts["counts"]
    failed = f", {counts['n_failed']} without an answer" if counts["n_failed"] else ""
    click.echo(f"wrote {facts['responses']}: {counts['n']} prompts{failed}")


@evaluate.command(short_help="Measure how long an engine's answers take: RTF, first audio, face.")
@click.argument("prompts", type=FILE)
@click.option("--n", type=click.IntRange(min=1), default=100, show_default=True, metavar="N",
              help="Prompts to measure, drawn with the seed.")  # fmt: skip
@click.option("--warmup", type=click.IntRange(min=0), default=3, show_default=True, metavar="N",
              help="Prompts before them that don't count.")  # fmt: skip
@click.option("--stream", is_flag=True, help="Ask for the answer in pieces.")
@engine_option("embedded")
@seed_option("For the draw of the prompts, and for those that name none.")
@omni_options
@output_option
@json_option
def latency(prompts: Path, **chosen: Any) -> None:
    """Measure the engine's times on PROMPTS (JSON lines), one prompt after the other."""
    from render_jobs.cli.console import ProgressLine
    from render_jobs.evaluation.latency import LatencyRun, evaluate_latency
    from render_jobs.evaluation.latency_text import latency_lines, latency_markdown

    names = ("engine", "n", "warmup", "seed", "stream")
    run = LatencyRun(
        prompts, engine_options=engine_settings(chosen), **{name: chosen[name] for name in names}
    )
    with ProgressLine(quiet=chosen["as_json"], unit="prompts") as line:
        result = evaluate_latency(run, line.frames)
    finish(result, latency_markdown(result), latency_lines(result), chosen)


def _recogniser(chosen: Mapping[str, Any]) -> Recogniser | None:
    if chosen["asr"] is None:
        return None
    from render_jobs.evaluation.recogniser import Recogniser

    cache = chosen["transcripts"]
    if cache is None and chosen["output"] is not None:
        cache = chosen["output"] / "hyp.jsonl"
    return Recogniser(chosen["asr"], timeout_s=chosen["asr_timeout"], cache=cache)
