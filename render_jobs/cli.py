# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender`: options in, one library call per verb, results on stdout, exit code out.

Exit codes: 0 all done, 1 some rows failed, 2 usage or input, 3 environment, 130 interrupted.
Heavy imports happen inside the verbs, so that `--help` is instant.
"""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exomni_core import __version__
from render_jobs.cli_models import models

if TYPE_CHECKING:
    from render_jobs.settings import RenderSettings
    from render_jobs.single import VideoOptions

Command = Callable[..., Any]
_FILE = click.Path(path_type=Path)
_MOST_WORKERS = 8  # by default; each keeps a Blender of 0.7 GB
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Group(click.Group):
    """Turns our errors into one line on stderr (or one JSON line) and the documented exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        from exomni_core.errors import ExOmniError

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # put things in order, then end
        try:
            return super().invoke(ctx)
        except ExOmniError as error:
            from render_jobs.console import describe, exit_code, print_json

            if "--json" in sys.argv:
                print_json({"error": describe(error), "exit_code": exit_code(error)})
            else:
                click.echo(f"Error: {describe(error)}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            from render_jobs.console import EXIT_INTERRUPTED

            again = " Run the same command again to go on." if "batch" in sys.argv else ""
            click.echo(f"\nStopped.{again}", err=True)
            sys.exit(EXIT_INTERRUPTED)

    def main(self, *args: Any, **options: Any) -> Any:
        """As click does it, but a usage error is JSON too where JSON was asked for."""
        if "--json" not in sys.argv:
            return super().main(*args, **options)
        from render_jobs.console import EXIT_USAGE, print_json

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


main.add_command(models)


def _chain(*options: Command) -> Callable[[Command], Command]:
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


_render_options = _chain(
    click.option("--template", default="head", show_default=True, metavar="NAME|PATH",
                 help="Head to render; see: exorender templates."),
    click.option("--render-engine", type=click.Choice(["workbench", "eevee", "cycles"]),
                 default="workbench", show_default=True,
                 help="Blender's render engine; the other two are slow without a GPU."),
    click.option("--size", default="512x768", show_default=True, metavar="WxH",
                 help="Picture size in pixels."),
    click.option("--fps", default="30", show_default=True, metavar="RATE",
                 help="Frame rate of the video, such as 24, 25, 29.97, 30 or 60."),
    click.option("--samples", type=click.IntRange(min=0), default=0, metavar="N",
                 help="Samples per pixel; 0 is the template's own setting."),
    click.option("--blender", type=_EXISTING, help="Render with this Blender program instead."),
    click.option("--contact-sheet", is_flag=True, help="Also write a PNG of twelve frames."),
)  # fmt: skip
_engine_options = _chain(
    click.option("--engine", default="embedded", show_default=True,
                 help="Engine that makes speech and face."),
    click.option("--language", metavar="CODE",
                 help="Such as en, zh or de; guessed from the script, Latin letters count as "
                      "English."),
    click.option("--style", type=click.Choice(["quiet", "neutral", "lively"]), default="neutral",
                 show_default=True, help="How strongly the face moves."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
                 help="For blinks, brows and gaze."),
)  # fmt: skip
_report_options = _chain(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON line, nothing else."),
    click.option("--quiet", is_flag=True, help="No progress."),
)
_voice_options = _chain(
    click.option("--voice", metavar="NAME", help="The engine's voice, such as f2 or en-us+m3."),
    click.option("--rate", default=1.0, show_default=True, help="Speaking rate, 0.5 to 2.5."),
)
_output_option = click.option(
    "-o", "--output", type=_FILE, required=True, help="File to write: .mp4 or .clip."
)


@main.command()
@click.argument("prompts", type=_EXISTING)
@click.option("--out", type=_FILE, help="Folder for the results [default: named after PROMPTS].")
@click.option("--engine", default="embedded", show_default=True, help="Engine that speaks.")
@click.option("--workers", type=click.IntRange(0, 64), default=0, metavar="N",
              help="Processes per stage; 0: one per core, 8 at most.")  # fmt: skip
@click.option("--no-video", is_flag=True, help="Make clips only.")
@click.option("--overwrite", is_flag=True, help="Make everything anew.")
@click.option("--limit", type=click.IntRange(min=0), default=0, metavar="N",
              help="Only the first N lines.")  # fmt: skip
@click.option("--language", metavar="CODE", help="For prompts that name none.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="For prompts that name none.")  # fmt: skip
@_render_options
@_report_options
def batch(prompts: Path, **chosen: Any) -> None:
    """Make a clip and a video of every line in PROMPTS (JSON lines).

    A run that was stopped or killed goes on where it was when the same command runs again.
    """
    from render_jobs.batch import run_batch
    from render_jobs.console import EXIT_SOME_FAILED, make_display, print_summary, summary_json
    from render_jobs.console import print_json as emit

    options = _batch_options(prompts, chosen)
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
@_output_option
@_engine_options
@_voice_options
@_render_options
@_report_options
def say(text: str, output: Path, **chosen: Any) -> None:
    """Speak TEXT and write a talking head (.mp4) or its clip (.clip)."""
    _make({"mode": "say", "text": text}, output, chosen)


@main.command()
@click.argument("audio", type=_EXISTING)
@click.option("--transcript", help="What is said in the recording; makes the lips far better.")
@_output_option
@_engine_options
@_render_options
@_report_options
def lipsync(audio: Path, transcript: str | None, output: Path, **chosen: Any) -> None:
    """Animate the recording AUDIO; the sound stays as it is."""
    data = {"mode": "lipsync", "audio": str(audio.resolve()), "transcript": transcript}
    _make(data, output, chosen)


@main.command()
@click.argument("clip", type=_EXISTING)
@click.option("-o", "--output", type=_FILE, required=True, help="The .mp4 file to write.")
@_render_options
@_report_options
def render(clip: Path, output: Path, **chosen: Any) -> None:
    """Render the clip file CLIP to an mp4."""
    from render_jobs.single import render_clip

    with _FrameCounter(chosen) as counter:
        facts = render_clip(clip, output, _video_options(chosen), on_frames=counter.add)
    _tell(facts, chosen, "video")


@main.command()
@click.argument("source", type=_EXISTING)
@click.argument("target", type=_FILE)
@click.option("--audio", type=_EXISTING, help="The sound for a clip made from face data alone.")
@click.option("--fps", type=float, help="Rows per second, for a source that doesn't say.")
@_report_options
def convert(
    source: Path, target: Path, audio: Path | None, fps: float | None, **chosen: Any
) -> None:
    """Convert between .clip, A2F .json, Live Link .csv and .npy.

    A clip made from face data alone is silent unless --audio gives it a sound.
    """
    from exomni_core.formats import convert as convert_file

    facts = convert_file(source, target, audio=audio, fps=fps)
    notes = []
    if facts.get("sound") == "silence":
        notes.append("the clip is silent; --audio gives it a sound")
    if facts.get("missing_channels"):
        notes.append(f"the source lacks {', '.join(facts['missing_channels'])}; they stay at 0")
    _tell({"target": str(target), **facts, "notes": notes}, chosen, "target")


@main.command()
@click.argument("clip", type=_EXISTING)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line, nothing else.")
def info(clip: Path, *, as_json: bool) -> None:
    """Say what is in the clip file CLIP."""
    from exomni_core.clip import load_clip
    from render_jobs.console import print_json as emit
    from render_jobs.single import clip_facts

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
def templates(*, as_json: bool) -> None:
    """List the heads that --template can name."""
    from render_jobs.console import print_json as emit
    from templates.library import list_templates

    rows = [
        {"name": t.name, "title": t.title, "licence": t.licence, "source": t.source}
        for t in list_templates()
    ]
    if as_json:
        emit({"templates": rows})
        return
    for row in rows:
        click.echo(f"{row['name']:10} {row['title']} ({row['licence']})")
    click.echo("A path works too: --template /path/to/head.npz, a .blend, or a template folder.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line, nothing else.")
@click.option("--blender", type=_EXISTING, help="Check rendering with this Blender program.")
def doctor(*, as_json: bool, blender: Path | None) -> None:
    """Check this machine and print a report to paste."""
    from render_jobs.console import EXIT_ENVIRONMENT
    from render_jobs.console import print_json as emit
    from render_jobs.doctor import examine, healthy

    findings = examine(blender)
    if as_json:
        emit({"healthy": healthy(findings), "findings": [vars(f) for f in findings]})
    else:
        for finding in findings:
            click.echo(f"{finding.state:7} {finding.what:22} {finding.detail}")
    if not healthy(findings):
        sys.exit(EXIT_ENVIRONMENT)


class _FrameCounter:
    """One line that counts frames on a terminal; silent in a pipe."""

    def __init__(self, chosen: dict[str, Any]) -> None:
        self._show = sys.stderr.isatty() and not (chosen["as_json"] or chosen["quiet"])
        self._frames = 0

    def __enter__(self) -> _FrameCounter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._show and self._frames:
            click.echo(err=True)

    def add(self, count: int) -> None:
        self._frames += count
        if self._show:
            click.echo(f"\r{self._frames} frames", nl=False, err=True)


def _make(data: dict[str, Any], output: Path, chosen: dict[str, Any]) -> None:
    from exomni_core.prompt import parse_prompt
    from render_jobs.single import make

    wanted = ("language", "voice", "rate", "style", "seed")
    given = {n: chosen[n] for n in wanted if n in chosen}
    prompt = parse_prompt({"id": "line", **data, **given}, Path())
    with _FrameCounter(chosen) as counter:
        video = _video_options(chosen)
        facts = make(prompt, output, chosen["engine"], video, on_frames=counter.add)
    _tell(facts, chosen, "video" if "video" in facts else "clip")


def _tell(facts: dict[str, Any], chosen: dict[str, Any], main_fact: str) -> None:
    from render_jobs.console import print_json as emit

    if chosen["as_json"]:
        emit(facts)
        return
    for note in facts.get("notes", ()):
        click.echo(f"Note: {note}", err=True)
    if not chosen["quiet"]:
        how = ", ".join(str(facts[n]) for n in ("language", "route") if facts.get(n))
        click.echo(f"wrote {facts[main_fact]}" + (f" ({how})" if how else ""))
        if "sheet" in facts:
            click.echo(f"wrote {facts['sheet']}")


def _settings(chosen: dict[str, Any]) -> RenderSettings:
    from exomni_core.errors import InputError
    from exomni_core.retime import parse_frame_rate
    from render_jobs.settings import RenderSettings

    width, cross, height = chosen["size"].lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise InputError(f"{chosen['size']!r} is not a size such as 512x768", field="size")
    return RenderSettings(
        template=chosen["template"],
        engine=chosen["render_engine"],
        width=int(width),
        height=int(height),
        frame_rate=parse_frame_rate(chosen["fps"]),
        samples=chosen["samples"],
    )


def _video_options(chosen: dict[str, Any]) -> VideoOptions:
    from render_jobs.single import VideoOptions

    return VideoOptions(_settings(chosen), chosen["blender"], chosen["contact_sheet"])


def _batch_options(prompts: Path, chosen: dict[str, Any]) -> Any:
    import os

    from render_jobs.batch_plan import BatchOptions

    return BatchOptions(
        prompts=prompts,
        out=chosen["out"]
        or prompts.with_name(prompts.stem if prompts.suffix else f"{prompts.name}-out"),
        engine=chosen["engine"],
        settings=_settings(chosen),
        workers=chosen["workers"] or min(os.cpu_count() or 1, _MOST_WORKERS),
        video=not chosen["no_video"],
        overwrite=chosen["overwrite"],
        limit=chosen["limit"],
        seed=chosen["seed"],
        language=chosen["language"],
        blender=chosen["blender"],
        sheets=chosen["contact_sheet"],
    )


if __name__ == "__main__":
    main()
