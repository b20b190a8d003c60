# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender systems ...`: a systems.toml in, a run folder per system out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from render_jobs.cli.chosen import render_settings
from render_jobs.cli.options import (
    EXISTING,
    HeadedCommand,
    json_option,
    output_folder,
    plain_render_options,
    quiet_option,
    workers_option,
)

_config = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("systems.toml"),
    show_default=True,
    help="File that lists the systems; see: exorender systems example.",
)
_audio_from = click.option(
    "--audio-from",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="RUN",
    help="Give every system the speech of this run, so that only the faces differ.",
)


@click.group(name="systems", short_help="Run other face systems on the same prompts.")
def systems() -> None:
    """Run the systems of a comparison: our engines, finished files, programs, other models."""


@systems.command(name="list")
@_config
@json_option
def list_systems(config: Path, *, as_json: bool) -> None:
    """List the systems of systems.toml and the built-in systems."""
    from render_jobs.cli.console import print_json
    from render_jobs.systems.config import kind_of, read_systems

    rows = [
        {"name": name, "kind": kind_of(system), "description": system.description}
        for name, system in sorted(read_systems(config).items())
    ]
    if as_json:
        print_json({"systems": rows})
        return
    for row in rows:
        click.echo(f"{row['name']:24} {row['kind']:13} {row['description']}")


@systems.command(short_help="Print an example systems.toml.")
def example() -> None:
    """Print an example systems.toml with entries for EmoTalk, UniTalker and Audio2Face-3D."""
    from render_jobs.systems.config import EXAMPLE

    click.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)


@systems.command(short_help="Show what each system needs before it can run.")
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@_config
@click.option(
    "--prompts", type=EXISTING, help="Also show which of these prompts lack an input file."
)
@_audio_from
@json_option
def check(
    names: tuple[str, ...],
    config: Path,
    prompts: Path | None,
    audio_from: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show what each system needs before it can run.

    Without NAME, all systems are checked."""
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.systems.check import check_system
    from render_jobs.systems.config import find_system, read_systems
    from render_jobs.systems.items import read_items

    known = read_systems(config)
    items = [] if prompts is None else read_items(prompts, audio_from)[0]
    found = {name: check_system(find_system(known, name), items) for name in names or sorted(known)}
    if as_json:
        print_json({"problems": found})
    else:
        for name, problems in found.items():
            for problem in problems or ["ready"]:
                click.echo(f"{name:24} {problem}")
    if any(found.values()):
        sys.exit(EXIT_SOME_FAILED)


@systems.command(short_help="Write a system's input as wavs and a list.")
@click.argument("name")
@click.argument("prompts", type=EXISTING)
@output_folder("Folder for the wavs and the list.")
@_config
@_audio_from
@click.option(
    "--rate",
    "rate_hz",
    type=click.IntRange(8000, 48000),
    default=16_000,
    show_default=True,
    metavar="HZ",
    help="Sample rate of the wavs.",
)
@json_option
def wavs(
    name: str,
    prompts: Path,
    output: Path,
    config: Path,
    audio_from: Path | None,
    rate_hz: int,
    *,
    as_json: bool,
) -> None:
    """Write the wavs (mono, 16 bit) for system NAME, and a list of the files expected from it."""
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.systems.check import write_batch_list
    from render_jobs.systems.config import find_system, read_systems

    facts = write_batch_list(
        find_system(read_systems(config), name), prompts, audio_from, output, rate_hz
    )
    if as_json:
        print_json(facts)
    else:
        for failure in facts["failed"]:
            click.echo(f"{failure['id']}: {failure['error']}", err=True)
        click.echo(f"wrote {facts['wavs']} wavs and {facts['list']}")
    if facts["failed"]:
        sys.exit(EXIT_SOME_FAILED)


@systems.command(cls=HeadedCommand, short_help="Run one system on every prompt.")
@click.argument("name")
@click.argument("prompts", type=EXISTING)
@output_folder("Folder for the run.")
@_config
@_audio_from
@click.option("--no-video", is_flag=True, help="Make clips only.")
@click.option("--overwrite", is_flag=True, help="Make everything again, finished rows too.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Use only the first N prompts.",
)
@workers_option("render processes")
@json_option
@quiet_option
@plain_render_options
def run(name: str, prompts: Path, output: Path, config: Path, **chosen: Any) -> None:
    """Run system NAME on every prompt. The output folder is laid out as `batch` lays it out.

    Run the same command again to resume a stopped run; finished rows are kept.
    """
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.systems.config import find_system, read_systems
    from render_jobs.systems.items import SystemOptions
    from render_jobs.systems.run import run_system

    system = find_system(read_systems(config), name)
    options = SystemOptions(
        prompts=prompts,
        out=output,
        audio_from=chosen["audio_from"],
        settings=render_settings(chosen),
        video=not chosen["no_video"],
        blender=chosen["blender"],
        workers=chosen["workers"],
        overwrite=chosen["overwrite"],
        limit=chosen["limit"],
    )
    show = not (chosen["as_json"] or chosen["quiet"])

    def tell(row: Any) -> None:
        if row.status == "failed":
            click.echo(f"{row.id or 'line ' + str(row.line)}: {row.error}", err=True)
        elif show and sys.stderr.isatty():
            click.echo(f"{row.id} {row.status}", err=True)

    rows = run_system(system, options, tell if not chosen["as_json"] else None)
    counts = {
        status: sum(row.status == status for row in rows)
        for status in ("done", "skipped", "failed")
    }
    if chosen["as_json"]:
        print_json(
            {
                "out": str(output),
                "system": name,
                **counts,
                "notes": sorted({note for row in rows for note in row.notes}),
            }
        )
    else:
        for note in sorted({note for row in rows for note in row.notes})[:10]:
            click.echo(f"Note: {note}", err=True)
        click.echo(f"{name}: " + ", ".join(f"{n} {word}" for word, n in counts.items()))
    if counts["failed"]:
        sys.exit(EXIT_SOME_FAILED)
