# SPDX-License-Identifier: GPL-3.0-or-later
"""What click parsed in, library objects out: prompts and settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from render_jobs.cli.engine_options import engine_settings as engine_settings
from render_jobs.cli.engine_options import parse_size as parse_size

if TYPE_CHECKING:
    from exomni_core.prompt import Prompt
    from render_jobs.batch.plan import BatchOptions
    from render_jobs.batch.single import VideoOptions
    from render_jobs.settings import RenderSettings

Chosen = Mapping[str, Any]


def line_prompt(data: Mapping[str, Any], chosen: Chosen) -> Prompt:
    """The prompt that a command line describes; InputError."""
    from exomni_core.prompt import parse_prompt

    wanted = ("language", "voice", "rate", "style", "seed")
    given = {name: chosen[name] for name in wanted if name in chosen}
    return parse_prompt({"id": "line", **data, **given}, Path())


def render_settings(chosen: Chosen) -> RenderSettings:
    """The picture settings that the user chose; InputError."""
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
    """Size and frame rate: the given ones, else the look's. InputError for an unknown name."""
    size, fps = chosen["size"], chosen["fps"]
    if chosen.get("no_video"):
        return size or "512x768", fps or "30"
    if chosen["look"] or not (size and fps):
        from templates.library import find_look, find_template

        look = find_look(chosen["look"], find_template(chosen["template"]))
        size, fps = size or f"{look.width}x{look.height}", fps or f"{look.fps:g}"
    return size, fps


def video_options(chosen: Chosen) -> VideoOptions:
    """The settings of one video; InputError."""
    from render_jobs.batch.single import VideoOptions

    return VideoOptions(render_settings(chosen), chosen["blender"], chosen["contact_sheet"])


def batch_options(prompts: Path, chosen: Chosen) -> BatchOptions:
    """The settings of a batch run; InputError."""
    from render_jobs.batch.plan import BatchOptions
    from render_jobs.workers.cores import MOST_WORKERS, usable_cores

    named = prompts.with_name(prompts.stem if prompts.suffix else f"{prompts.name}-out")
    return BatchOptions(
        prompts=prompts,
        out=chosen["output"] or named,
        engine=chosen["engine"],
        engine_options=engine_settings(chosen),
        settings=render_settings(chosen),
        workers=chosen["workers"] or min(usable_cores(), MOST_WORKERS),
        video=not chosen["no_video"],
        overwrite=chosen["overwrite"],
        limit=chosen["limit"],
        seed=chosen["seed"],
        language=chosen["language"],
        style=chosen["style"],
        blender=chosen["blender"],
        sheets=chosen["contact_sheet"],
    )
