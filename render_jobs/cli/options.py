# SPDX-License-Identifier: GPL-3.0-or-later
"""Option groups that several verbs share, and what the user chose in them -> library objects."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from templates.render_engines import RENDER_ENGINES

if TYPE_CHECKING:
    from exomni_core.prompt import Prompt
    from render_jobs.batch.plan import BatchOptions
    from render_jobs.batch.single import VideoOptions
    from render_jobs.settings import RenderSettings

Command = Callable[..., Any]
Chosen = Mapping[str, Any]
NEW_FILE: Final = click.Path(path_type=Path)
EXISTING: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_MOST_WORKERS: Final = 8  # by default; each keeps a Blender of 0.7 GB
_OMNI: Final = ("model", "device", "dtype", "quantize", "max_memory", "compat", "align", "rows")
_POWERS: Final = {"k": 1, "m": 2, "g": 3, "t": 4}


class HeadedOption(click.Option):
    """An option that --help lists under a heading of its own."""

    def __init__(self, *names: Any, heading: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.heading = heading


class HeadedCommand(click.Command):
    """A command whose --help shows options by heading; those without one come first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per heading."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            heading = getattr(parameter, "heading", "Options")
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                sections.setdefault(heading, []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def chain(*options: Command) -> Callable[[Command], Command]:
    """Several options as one decorator, in that order."""
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


def comma_list(text: str) -> tuple[str, ...]:
    """`zh, en` -> ("zh", "en"); nothing stays nothing."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _under(heading: str) -> Callable[..., Command]:
    return functools.partial(click.option, cls=HeadedOption, heading=heading)


_picture, _speech = _under("Picture"), _under("Speech and face")
_omni = _under("Neural engine (--engine omni)")

plain_render_options = chain(  # of videos that are put together with others
    _picture("--template", default="head", show_default=True, metavar="NAME|PATH",
             help="Head to render; see: exorender templates."),
    _picture("--look", default="", metavar="NAME",
             help="Light and colours: skin, clay, emotalk or demo  [default: the template's]"),
    _picture("--render-engine", type=click.Choice(RENDER_ENGINES),
             default="auto", show_default=True,
             help="What draws the picture; auto is fast where it shows what workbench would; "
                  "eevee and cycles are slow without a GPU."),
    _picture("--size", metavar="WxH",
             help="Picture size in pixels  [default: the look's, mostly 512x768]"),
    _picture("--fps", metavar="RATE",
             help="Frame rate of the video, such as 24, 25, 29.97, 30 or 60  [default: the "
                  "look's, 30]"),
    _picture("--samples", type=click.IntRange(min=0), default=0, metavar="N",
             help="Samples per pixel; 0 is the template's own setting."),
    _picture("--head-motion", type=click.FloatRange(0, 1), default=0, metavar="0..1",
             help="Move the head to the speech, 1 being lively."),
    _picture("--blender", type=EXISTING, help="Render with this Blender program instead."),
)  # fmt: skip
render_options = chain(
    plain_render_options,
    _picture("--alpha", is_flag=True,
             help="No background: write a transparent .mov (ProRes 4444) or .webm (VP9)."),
    _picture("--contact-sheet", is_flag=True, help="Also write a PNG of twelve frames."),
)  # fmt: skip

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON line, nothing else."
)
report_options = chain(json_option, click.option("--quiet", is_flag=True, help="No progress."))

voice_options = chain(
    _speech("--voice", metavar="NAME", help="The engine's voice, such as f2 or en-us+m3."),
    _speech("--rate", default=1.0, show_default=True, help="Speaking rate, 0.5 to 2.5."),
)

output_option = click.option(
    "-o", "--output", type=NEW_FILE, required=True, help="File to write: .mp4 or .clip."
)

omni_options = chain(
    _omni("--model", type=NEW_FILE, metavar="PATH",
          help="The models' folder  [default: where 'exorender models pull' puts them]"),
    _omni("--device", metavar="NAME",
          help="auto, cpu, cuda or cuda:1  [default: auto, the GPU if there is one]"),
    _omni("--dtype", type=click.Choice(["auto", "float32", "bfloat16"]),
          help="Precision  [default: auto, bfloat16 on a GPU, else float32]"),
    _omni("--quantize", type=click.Choice(["none", "int8", "int4"]),
          help="Keep the language models' weights in fewer bits, to save memory  "
               "[default: none]"),
    _omni("--max-memory", metavar="SIZE",
          help="Stop if the weights take more than this, such as 16GB."),
    _omni("--compat", type=click.Choice(["fixed", "reference"]),
          help="reference keeps the published model's faults, to compare with it  "
               "[default: fixed]"),
    _omni("--align", is_flag=True, help="Find the times of words and sounds in the speech."),
)  # fmt: skip

rows_option = _omni("--rows", type=click.IntRange(min=1), metavar="N",
                    help="Prompts worked on at a time  [default: 8]")  # fmt: skip


def engine_option(default: str) -> Command:
    """--engine, and which one if it is not given."""
    return _speech("--engine", default=default, show_default=True, metavar="[embedded|omni]",
                   help="What makes speech and face.")  # fmt: skip


def seed_option(text: str) -> Command:
    """--seed; text: what it is for."""
    return _speech("--seed", type=click.IntRange(min=0), default=0, show_default=True,
                   metavar="N", help=text)  # fmt: skip


def language_option(text: str) -> Command:
    """--language; text: what it is for."""
    return _speech("--language", metavar="CODE", help=text)


def style_option(text: str) -> Command:
    """--style; text: what it is for."""
    return _speech("--style", type=click.Choice(["quiet", "neutral", "lively"]), default="neutral",
                   show_default=True, help=text)  # fmt: skip


def speech_options(engine: str) -> Callable[[Command], Command]:
    """What a line is spoken with; `engine` is the one that is used if none is named."""
    return chain(
        engine_option(engine),
        language_option("Such as en, zh or de; guessed from the script, Latin letters count as "
                        "English."),
        style_option("How strongly the face moves."),
        seed_option("For all that is left to chance: blinks, gaze, how an answer is drawn."),
    )  # fmt: skip


def engine_settings(chosen: Chosen) -> dict[str, Any]:
    """The options for `load_engine`, as plain data; those not given are left to the engine.

    Raises InputError for an option of the neural engine beside another engine.
    """
    given = {name: chosen[name] for name in _OMNI if chosen.get(name) not in (None, False)}
    if given and chosen["engine"] != "omni":
        from exomni_core.errors import InputError

        option = f"--{next(iter(given)).replace('_', '-')}"
        raise InputError(
            f"{option} is an option of the neural engine; add --engine omni, or leave {option} out"
        )
    if "model" in given:
        given["model"] = str(given["model"].absolute())
    if "max_memory" in given:
        given["max_memory_bytes"] = parse_size(given.pop("max_memory"))
    return given


def parse_size(text: str) -> int:
    """`16GB`, `16 GiB`, `800mb`, `1.5T` -> bytes; InputError(field="max-memory") for nonsense."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([kmgt])(i?)b?", text.strip().lower())
    size = 0
    if found is not None:
        number, unit, binary = found.groups()
        size = int(float(number) * (1024 if binary else 1000) ** _POWERS[unit])
    if not size:
        from exomni_core.errors import InputError

        raise InputError(
            f"{text!r} is not an amount of memory such as 16GB, 16GiB or 800MB", field="max-memory"
        )
    return size


def line_prompt(data: Mapping[str, Any], chosen: Chosen) -> Prompt:
    """The prompt that a command line describes; InputError."""
    from exomni_core.prompt import parse_prompt

    wanted = ("language", "voice", "rate", "style", "seed")
    given = {name: chosen[name] for name in wanted if name in chosen}
    return parse_prompt({"id": "line", **data, **given}, Path())


def render_settings(chosen: Chosen) -> RenderSettings:
    """How the picture is to be; InputError."""
    from exomni_core.errors import InputError
    from exomni_core.retime import parse_frame_rate
    from render_jobs.settings import RenderSettings

    size, fps = _size_and_rate(chosen)
    width, cross, height = size.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise InputError(f"{size!r} is not a size such as 512x768", field="size")
    return RenderSettings(
        template=chosen["template"],
        engine=chosen["render_engine"],
        width=int(width),
        height=int(height),
        frame_rate=parse_frame_rate(fps),
        samples=chosen["samples"],
        look=chosen["look"],
        alpha=chosen.get("alpha", False),
        head_motion=chosen["head_motion"],
    )


def _size_and_rate(chosen: Chosen) -> tuple[str, str]:
    """As given, else the look's own; InputError for a template or look that doesn't exist."""
    size, fps = chosen["size"], chosen["fps"]
    if chosen.get("no_video"):
        return size or "512x768", fps or "30"
    if chosen["look"] or not (size and fps):
        from templates.library import find_look, find_template

        look = find_look(chosen["look"], find_template(chosen["template"]))
        size, fps = size or f"{look.width}x{look.height}", fps or f"{look.fps:g}"
    return size, fps


def video_options(chosen: Chosen) -> VideoOptions:
    """How one video is made; InputError."""
    from render_jobs.batch.single import VideoOptions

    return VideoOptions(render_settings(chosen), chosen["blender"], chosen["contact_sheet"])


def batch_options(prompts: Path, chosen: Chosen) -> BatchOptions:
    """What a batch run does; InputError."""
    from render_jobs.batch.plan import BatchOptions
    from render_jobs.workers.cores import usable_cores

    named = prompts.with_name(prompts.stem if prompts.suffix else f"{prompts.name}-out")
    return BatchOptions(
        prompts=prompts,
        out=chosen["out"] or named,
        engine=chosen["engine"],
        engine_options=engine_settings(chosen),
        settings=render_settings(chosen),
        workers=chosen["workers"] or min(usable_cores(), _MOST_WORKERS),
        video=not chosen["no_video"],
        overwrite=chosen["overwrite"],
        limit=chosen["limit"],
        seed=chosen["seed"],
        language=chosen["language"],
        style=chosen["style"],
        blender=chosen["blender"],
        sheets=chosen["contact_sheet"],
    )
