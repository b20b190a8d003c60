# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and help texts in, click options out: those that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from exomni_core.engine import DEFAULT_ENGINE
from exomni_core.prompt import STYLES
from render_jobs.cli.engine_options import SPEECH_HEADING, EngineChoice
from render_jobs.cli.engine_options import HeadedCommand as HeadedCommand
from render_jobs.cli.engine_options import HeadedOption as HeadedOption
from templates.render_engines import RENDER_ENGINES

Command = Callable[..., Any]

NEW_FILE: Final = click.Path(path_type=Path)
EXISTING: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class _OutputOption(click.Option):
    """An option that also accepts its older name `--out`, which help and errors don't mention."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Register the listed names and the older one."""
        super().add_to_parser(parser, ctx)
        parser.add_option(self, ["--out"], self.name, action="store", nargs=1)


def chain(*options: Command) -> Callable[[Command], Command]:
    """Several options as one decorator, in the given order."""
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


def comma_list(text: str) -> tuple[str, ...]:
    """`zh, en` -> ("zh", "en"); nothing stays nothing."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _under(heading: str) -> Callable[..., Command]:
    return functools.partial(click.option, cls=HeadedOption, heading=heading)


_picture, _speech = _under("Picture"), _under(SPEECH_HEADING)

plain_render_options = chain(  # of videos that are put together with others
    _picture(
        "--template",
        default="head",
        show_default=True,
        metavar="NAME|PATH",
        help="Head to render; see: exorender templates.",
    ),
    _picture(
        "--look",
        default="",
        metavar="NAME",
        help="Light and colours: skin, clay, emotalk or demo  [default: the template's]",
    ),
    _picture(
        "--render-engine",
        type=click.Choice(RENDER_ENGINES),
        default="auto",
        show_default=True,
        help="Renderer. auto: fast where it matches workbench, else workbench. eevee and cycles "
        "are slow without a GPU.",
    ),
    _picture(
        "--size",
        metavar="WxH",
        help="Picture size in pixels  [default: the look's, mostly 512x768]",
    ),
    _picture(
        "--fps",
        metavar="RATE",
        help="Frame rate of the video, such as 24, 25, 29.97, 30 or 60  [default: the look's, 30]",
    ),
    _picture(
        "--samples",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Samples per pixel; 0: the template's own setting.",
    ),
    _picture(
        "--head-motion",
        type=click.FloatRange(0, 1),
        default=0,
        metavar="0..1",
        help="How strongly the head moves with the speech; 0: not at all, 1: lively.",
    ),
    _picture(
        "--blender",
        type=EXISTING,
        help="Render with this Blender program instead of the bpy package.",
    ),
)
render_options = chain(
    plain_render_options,
    _picture(
        "--alpha",
        is_flag=True,
        help="Leave out the background; write a transparent .mov (ProRes 4444) or .webm (VP9).",
    ),
    _picture("--contact-sheet", is_flag=True, help="Also write a PNG of twelve frames."),
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON line and nothing else."
)
quiet_option = click.option("--quiet", is_flag=True, help="Show no progress.")
report_options = chain(json_option, quiet_option)

voice_options = chain(
    _speech(
        "--voice",
        metavar="NAME",
        help="Voice, such as f2 or en-us+m3; of another package: SYNTHESISER:VOICE.",
    ),
    _speech("--rate", default=1.0, show_default=True, help="Speaking rate, 0.5 to 2.5."),
)

output_option = click.option(
    "-o", "--output", type=NEW_FILE, required=True, help="File to write: .mp4 or .clip."
)


def workers_option(what: str = "processes") -> Command:
    """The option --workers; what: which processes it counts."""
    return click.option(
        "--workers",
        type=click.IntRange(0, 64),
        default=0,
        metavar="N",
        help=f"Number of {what}; 0: one per core, at most 8.",
    )


def output_folder(text: str, *, required: bool = True) -> Command:
    """-o/--output for a folder of results; text: its help. `--out`, its older name, still works."""
    return click.option(
        "-o",
        "--output",
        cls=_OutputOption,
        required=required,
        help=text,
        type=click.Path(path_type=Path, file_okay=False),
    )


def connection_options(most: int, per_address: int, per_address_help: str) -> Command:
    """How many connections a server of ours keeps open, with its own defaults."""
    return chain(
        click.option(
            "--max-connections",
            type=click.IntRange(8, 10_000),
            default=most,
            show_default=True,
            metavar="N",
            help="Open connections at a time; beyond, one that has sent no whole request is "
            "closed.",
        ),
        click.option(
            "--max-per-address",
            type=click.IntRange(4, 10_000),
            default=per_address,
            show_default=True,
            metavar="N",
            help=per_address_help,
        ),
    )


def engine_option(default: str = DEFAULT_ENGINE) -> Command:
    """The option --engine; default: name of the engine if the user gives none."""
    return _speech(
        "--engine",
        cls=EngineChoice,
        default=default,
        show_default=True,
        help="Engine that makes the speech and the face.",
    )


def seed_option(text: str) -> Command:
    """The option --seed; text: its help."""
    return _speech(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help=text
    )


def language_option(text: str) -> Command:
    """The option --language; text: its help."""
    return _speech("--language", metavar="CODE", help=text)


def style_option(text: str) -> Command:
    """The option --style; text: its help."""
    return _speech(
        "--style",
        type=click.Choice(STYLES),
        default="neutral",
        show_default=True,
        help=text,
    )


def speech_options(engine: str = DEFAULT_ENGINE) -> Callable[[Command], Command]:
    """The options of speech and face; engine: the default engine."""
    return chain(
        engine_option(engine),
        language_option(
            "Language such as en, zh or de  [default: guessed from the writing system; Latin "
            "letters count as English]"
        ),
        style_option("How strongly the face moves."),
        seed_option("Random seed of blinks, gaze and the wording of answers."),
    )
