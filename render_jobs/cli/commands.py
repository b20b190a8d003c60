# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender`: options in, one library call per verb, results on stdout, exit code out.

Exit codes: 0 all done, 1 some rows failed, 2 usage or input, 3 environment, 130 interrupted.
Heavy imports happen inside the verbs, so that `--help` is instant.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from exomni_core import __version__
from render_jobs.cli.addon import addon
from render_jobs.cli.eval_suite import evaluate
from render_jobs.cli.models import models
from render_jobs.cli.options import (
    EXISTING,
    NEW_FILE,
    HeadedCommand,
    batch_options,
    engine_option,
    engine_settings,
    language_option,
    line_prompt,
    omni_options,
    output_option,
    render_options,
    report_options,
    rows_option,
    seed_option,
    speech_options,
    style_option,
    video_options,
    voice_options,
)
from render_jobs.cli.pairs import pairs
from render_jobs.cli.reply import reply
from render_jobs.cli.serve import serve
from render_jobs.cli.study import study
from render_jobs.cli.systems import systems
from render_jobs.cli.templates import templates
from templates.render_engines import RENDER_ENGINES


class _Group(click.Group):
    """Turns our errors into one line on stderr (or one JSON line) and the documented exit code."""

    command_class = HeadedCommand

    def invoke(self, ctx: click.Context) -> Any:
        from exomni_core.errors import ExOmniError

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # put things in order, then end
        # Threads that spin while they wait take the cores from Blender and from each other: on a
        # busy machine the neural engine then takes ten times as long. Read when torch starts.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            return super().invoke(ctx)
        except ExOmniError as error:
            from render_jobs.cli.console import describe, exit_code, print_json

            if "--json" in sys.argv:
                print_json({"error": describe(error), "exit_code": exit_code(error)})
            else:
                click.echo(f"Error: {describe(error)}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            from render_jobs.cli.console import EXIT_INTERRUPTED

            goes_on = {"batch", "run", "suite"}.intersection(sys.argv[1:4])
            again = " Run the same command again to go on." if goes_on else ""
            click.echo(f"\nStopped.{again}", err=True)
            sys.exit(EXIT_INTERRUPTED)

    def main(self, *args: Any, **options: Any) -> Any:
        """As click does it, but a usage error is JSON too where JSON was asked for."""
        if "--json" not in sys.argv:
            return super().main(*args, **options)
        from render_jobs.cli.console import EXIT_USAGE, print_json

        try:
            options["standalone_mode"] = False
            sys.exit(super().main(*args, **options) or 0)
        except click.ClickException as error:
            print_json({"error": error.format_message(), "exit_code": EXIT_USAGE})
            sys.exit(EXIT_USAGE)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="exorender")
def main() -> None:
    """Turn lines of text and recordings into talking, animated faces.

    Exit codes: 0 all done, 1 some rows failed, 2 usage or input, 3 environment, 130 stopped.
    """


main.add_command(addon)
main.add_command(evaluate)
main.add_command(models)
main.add_command(pairs)
main.add_command(reply)
main.add_command(serve)
main.add_command(templates)
main.add_command(study)
main.add_command(systems)


@main.command()
@click.argument("prompts", type=EXISTING)
@click.option("--out", type=NEW_FILE, help="Folder for the results [default: named after PROMPTS].")
@click.option("--workers", type=click.IntRange(0, 64), default=0, metavar="N",
              help="Processes per stage; 0: one per core, 8 at most.")  # fmt: skip
@click.option("--no-video", is_flag=True, help="Make clips only.")
@click.option("--overwrite", is_flag=True, help="Make everything anew.")
@click.option("--limit", type=click.IntRange(min=0), default=0, metavar="N",
              help="Only the first N lines.")  # fmt: skip
@report_options
@engine_option("embedded")
@language_option("For prompts that name none.")
@style_option("How strongly the face moves, for prompts that name none.")
@seed_option("For prompts that name none.")
@rows_option
@omni_options
@render_options
def batch(prompts: Path, **chosen: Any) -> None:
    """Make a clip and a video of every line in PROMPTS (JSON lines).

    A run that was stopped or killed goes on where it was when the same command runs again.
    """
    from render_jobs.batch.run import run_batch
    from render_jobs.cli.console import EXIT_SOME_FAILED, make_display, print_summary, summary_json
    from render_jobs.cli.console import print_json as emit

    options = batch_options(prompts, chosen)
    display = make_display(quiet=chosen["quiet"] or chosen["as_json"])
    try:
        summary = run_batch(options, display)
    finally:
        display.close()
    if chosen["as_json"]:
        emit(summary_json(summary, options, display.elapsed_s))
    else:
        print_summary(summary, options, display)
    if summary.count("failed"):
        sys.exit(EXIT_SOME_FAILED)


@main.command()
@click.argument("text")
@output_option
@speech_options("embedded")
@omni_options
@voice_options
@render_options
@report_options
def say(text: str, output: Path, **chosen: Any) -> None:
    """Speak TEXT and write a talking head (.mp4) or its clip (.clip)."""
    _make({"mode": "say", "text": text}, output, chosen)


@main.command()
@click.argument("audio", type=EXISTING)
@click.option("--transcript", help="What is said in the recording; makes the lips far better.")
@output_option
@speech_options("embedded")
@omni_options
@render_options
@report_options
def lipsync(audio: Path, transcript: str | None, output: Path, **chosen: Any) -> None:
    """Animate the recording AUDIO; the sound stays as it is."""
    data = {"mode": "lipsync", "audio": str(audio.resolve()), "transcript": transcript}
    _make(data, output, chosen)


@main.command()
@click.argument("clip", type=EXISTING)
@click.option("-o", "--output", type=NEW_FILE, required=True,
              help="The .mp4 file to write (with --alpha: .mov or .webm).")  # fmt: skip
@click.option("--engine", "same_engine", type=click.Choice(RENDER_ENGINES),
              help="The same as --render-engine.")  # fmt: skip
@render_options
@report_options
def render(clip: Path, output: Path, same_engine: str | None, **chosen: Any) -> None:
    """Render the clip file CLIP to a video."""
    from render_jobs.batch.single import render_clip
    from render_jobs.cli.console import ProgressLine

    chosen["render_engine"] = same_engine or chosen["render_engine"]
    with ProgressLine(quiet=chosen["quiet"] or chosen["as_json"]) as line:
        facts = render_clip(clip, output, video_options(chosen), on_frames=line.frames)
    _tell(facts, chosen)


@main.command(short_help="Convert between clips, A2F .json, Live Link .csv, .npy, .wav.")
@click.argument("source", type=EXISTING)
@click.argument("target", type=NEW_FILE)
@click.option("--audio", type=EXISTING, help="The sound for a clip made from face data alone.")
@click.option("--fps", type=float, help="Rows per second, for a source that doesn't say.")
@report_options
def convert(
    source: Path, target: Path, audio: Path | None, fps: float | None, **chosen: Any
) -> None:
    """Convert between .clip, A2F .json, Live Link .csv and .npy; a clip to its .wav.

    A clip made from face data alone is silent unless --audio gives it a sound.
    """
    from exomni_core.formats.convert import convert as convert_file

    facts = convert_file(source, target, audio=audio, fps=fps)
    notes = []
    if facts.get("sound") == "silence":
        notes.append("the clip is silent; --audio gives it a sound")
    if facts.get("missing_channels"):
        notes.append(f"the source lacks {', '.join(facts['missing_channels'])}; they stay at 0")
    _tell({"target": str(target), **facts, "notes": notes}, chosen)


@main.command()
@click.argument("clip", type=EXISTING)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line, nothing else.")
def info(clip: Path, *, as_json: bool) -> None:
    """Say what is in the clip file CLIP."""
    from exomni_core.clip import load_clip
    from render_jobs.batch.single import clip_facts
    from render_jobs.cli.console import print_json as emit

    loaded = load_clip(clip)
    facts = {"file": str(clip), **clip_facts(loaded)}
    facts |= {"words": len(loaded.words), "phones": len(loaded.phones)}
    peaks = sorted(zip(loaded.weights.max(axis=0), loaded.channels, strict=True), reverse=True)
    facts["strongest"] = {name: round(float(peak), 2) for peak, name in peaks[:8]}
    facts |= {"prompt": dict(loaded.prompt), "provenance": dict(loaded.provenance)}
    if as_json:
        emit(facts)
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{n} {v}" for n, v in value.items())
        elif isinstance(value, list):
            value = "; ".join(value)
        click.echo(f"{name:15} {value}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line, nothing else.")
@click.option("--blender", type=EXISTING, help="Check rendering with this Blender program.")
def doctor(*, as_json: bool, blender: Path | None) -> None:
    """Check this machine and print a report to paste."""
    from render_jobs.cli.console import EXIT_ENVIRONMENT
    from render_jobs.cli.console import print_json as emit
    from render_jobs.cli.doctor import examine, healthy

    findings = examine(blender)
    if as_json:
        emit({"healthy": healthy(findings), "findings": [vars(f) for f in findings]})
    else:
        for finding in findings:
            click.echo(f"{finding.state:7} {finding.what:22} {finding.detail}")
    if not healthy(findings):
        sys.exit(EXIT_ENVIRONMENT)


def _make(data: dict[str, Any], output: Path, chosen: dict[str, Any]) -> None:
    from render_jobs.batch.single import make
    from render_jobs.cli.console import ProgressLine

    prompt = line_prompt(data, chosen)
    options, video = engine_settings(chosen), video_options(chosen)
    with ProgressLine(quiet=chosen["quiet"] or chosen["as_json"]) as line:
        facts = make(
            prompt, output, chosen["engine"], video,
            engine_options=options, progress=line.stage, on_frames=line.frames,
        )  # fmt: skip
    _tell(facts, chosen)


def _tell(facts: dict[str, Any], chosen: dict[str, Any]) -> None:
    from render_jobs.cli.console import tell

    tell(facts, as_json=chosen["as_json"], quiet=chosen["quiet"])


if __name__ == "__main__":
    main()
