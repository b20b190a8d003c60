# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender convert`: a face file in, another format out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.options import EXISTING, NEW_FILE, HeadedCommand, report_options


class _ConvertCommand(HeadedCommand):
    """Its help ends with the formats that are installed."""

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """One line for each format."""
        from exomni_core.formats.format import known_formats

        with formatter.section("Formats"):
            formatter.write_dl(
                [
                    (one.ending, f"{one.title} ({one.ways}); keeps {one.keeps}.")
                    for one in known_formats()
                ]
            )


@click.command(cls=_ConvertCommand, short_help="Convert clips and other programs' face files.")
@click.argument("source", type=EXISTING)
@click.argument("target", type=NEW_FILE)
@click.option("--audio", type=EXISTING, help="Sound for a clip made from face data alone.")
@click.option("--fps", type=float, help="Frame rate of a source that doesn't state one.")
@report_options
def convert(
    source: Path, target: Path, audio: Path | None, fps: float | None, **chosen: Any
) -> None:
    """Convert between clips and other programs' face files, by the endings of SOURCE and TARGET.

    A clip made from face data alone is silent unless --audio gives it a sound.
    """
    from exomni_core.clip_notes import clipped_note
    from exomni_core.formats.convert import convert as convert_file
    from render_jobs.cli.console import tell

    facts = convert_file(source, target, audio=audio, fps=fps)
    notes = [*facts.get("notes", ()), *clipped_note(facts)]
    if facts.get("sound") == "silence":
        notes.append("the clip is silent; --audio gives it a sound")
    if facts.get("missing_channels"):
        notes.append(f"the source lacks {', '.join(facts['missing_channels'])}; they stay at 0")
    facts = {"target": str(target), **facts, "notes": notes}
    tell(facts, as_json=chosen["as_json"], quiet=chosen["quiet"])
