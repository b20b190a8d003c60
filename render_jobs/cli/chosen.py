# SPDX-License-Identifier: GPL-3.0-or-later
"""What click parsed in, library objects out: prompts, settings and options of engines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from exomni_core.prompt import Prompt
    from render_jobs.batch.plan import BatchOptions
    from render_jobs.batch.single import VideoOptions
    from render_jobs.settings import RenderSettings

Chosen = Mapping[str, Any]
_OMNI: Final = ("model", "device", "dtype", "quantize", "max_memory", "compat", "align", "rows")
_POWERS: Final = {"k": 1, "m": 2, "g": 3, "t": 4}


def engine_settings(chosen: Chosen) -> dict[str, Any]:
    """The options for `load_engine` as plain data; the engine has defaults for all others.

    Raises InputError if an option of the neural engine is combined with another engine.
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
