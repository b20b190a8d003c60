# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender info`: a clip file in, its facts on the terminal out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.options import EXISTING, HeadedCommand, json_option

_STRONGEST_SHOWN = 8


@click.command(cls=HeadedCommand)
@click.argument("clip", type=EXISTING)
@json_option
def info(clip: Path, *, as_json: bool) -> None:
    """Show what the clip file CLIP contains."""
    from render_jobs.cli.console import print_json

    facts = _facts(clip)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{n} {v}" for n, v in value.items())
        elif isinstance(value, list):
            value = "; ".join(value)
        click.echo(f"{name:15} {value}")


def _facts(path: Path) -> dict[str, Any]:
    from exomni_core.clip import load_clip
    from render_jobs.batch.single import clip_facts

    clip = load_clip(path)
    facts = {"file": str(path), **clip_facts(clip)}
    facts |= {"words": len(clip.words), "phones": len(clip.phones)}
    peaks = sorted(zip(clip.weights.max(axis=0), clip.channels, strict=True), reverse=True)
    strongest = peaks[:_STRONGEST_SHOWN]
    facts["strongest"] = {name: round(float(peak), 2) for peak, name in strongest}
    return facts | {"prompt": dict(clip.prompt), "provenance": dict(clip.provenance)}
