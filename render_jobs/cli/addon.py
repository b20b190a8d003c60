# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender addon build`: sources in, a Blender extension per operating system out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from render_jobs.cli.options import json_option

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(name="addon", short_help="Build the Blender extension.")
def addon() -> None:
    """Build the Blender extension (the add-on)."""


@addon.command(short_help="Write the extension's zips and check them with Blender's tool.")
@click.option(
    "-o",
    "--output",
    type=_FOLDER,
    default=Path("dist"),
    show_default=True,
    help="Folder for the zips.",
)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="NAME",
    help="linux-x64, windows-x64, macos-arm64, macos-x64 or all  [default: this system]",
)
@click.option(
    "--cache", type=_FOLDER, help="Folder for downloaded wheels  [default: build/addon-wheels]"
)
@click.option(
    "--blender",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check with this Blender program instead of the bpy wheel.",
)
@json_option
def build(
    output: Path,
    platforms: Sequence[str],
    cache: Path | None,
    blender: Path | None,
    *,
    as_json: bool,
) -> None:
    """Write the extension's zips, one per operating system, and check them with Blender's tool.

    The first build downloads wheels (espeak-ng and the packages that read recordings) from PyPI;
    later builds need no network. The same sources give the same bytes.
    """
    from render_jobs.addon_kit.build import PROJECT, build_addon, facts
    from render_jobs.cli.console import print_json

    def step(text: str) -> None:
        if not as_json and sys.stderr.isatty():
            click.echo(text, err=True)

    place = cache or PROJECT / "build" / "addon-wheels"
    built = build_addon(_systems(platforms), output, place, blender=blender, on_step=step)
    if as_json:
        print_json({"zips": [facts(one) for one in built]})
        return
    for one in built:
        for note in one.notes:
            click.echo(f"Note: {one.system}: {note}", err=True)
        verdict = (
            f"accepted by {one.checked_by}"
            if one.checked_by
            else "not checked: bpy is not installed"
        )
        click.echo(f"wrote {one.path} ({one.size / 1e6:.1f} MB, {verdict})")


def _systems(platforms: Sequence[str]) -> list[str]:
    import platform

    from exomni_core.errors import InputError
    from render_jobs.addon_kit.wheels import SYSTEMS, host_system

    if "all" in platforms:
        return list(SYSTEMS)
    if platforms:
        return list(platforms)
    here = host_system((platform.system(), platform.machine()))
    if here is None:
        raise InputError(f"name the --platform to build for: {', '.join(SYSTEMS)} or all")
    return [here]
