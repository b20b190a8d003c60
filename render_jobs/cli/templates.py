# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender templates`: heads in, lists of them, checked imports and drawn sheets out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from render_jobs.cli.options import EXISTING, NEW_FILE, HeadedCommand, json_option, quiet_option

if TYPE_CHECKING:
    from templates.importing.prepare import Wishes
    from templates.importing.report import Report

_unit = click.option(
    "--unit",
    default="auto",
    show_default=True,
    metavar="[m|cm|mm|auto]",
    help="Length of one unit of the mesh, by name or in metres.",
)
_blender = click.option("--blender", type=EXISTING, help="Read the head with this Blender program.")
_dest = click.option(
    "--dest",
    type=NEW_FILE,
    metavar="FOLDER",
    help="Folder of templates  [default: $EXOMNI_TEMPLATES, or your own data folder]",
)


class _Group(click.Group):
    command_class = HeadedCommand


@click.group(
    cls=_Group, invoke_without_command=True, short_help="List, add, check, show and remove heads."
)
@json_option
@click.pass_context
def templates(ctx: click.Context, *, as_json: bool) -> None:
    """List the heads for --template; add your own, check them and remove them."""
    if ctx.invoked_subcommand is not None:
        return
    from render_jobs.cli.console import print_json, printable
    from templates.library import list_templates, list_user_templates, user_folder
    from templates.looks import list_looks

    own, faults = list_user_templates()
    rows = [_row(t, "bundled") for t in list_templates()] + [_row(t, "yours") for t in own]
    if as_json:
        print_json({"templates": rows, "folder": str(user_folder()), "faults": list(faults)})
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        shown = f"{row['coverage']} of 52; " if row["coverage"] is not None else ""
        line = f"{row['name']:{width}}  {row['title']} ({shown}{row['licence']})"
        click.echo(printable(line))  # an imported descriptor may contain control codes
    for fault in faults:
        click.echo(f"Note: {fault}", err=True)
    click.echo("A path works too: --template /path/to/head.npz, a .blend, or a template folder.")
    click.echo("Your own head: exorender templates add PATH --name NAME")
    click.echo(f"Looks for --look: {', '.join(look.name for look in list_looks())}")


@templates.command(short_help="Import your own head.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--name", required=True, help="Name to use with --template.")
@click.option("--licence", default="", metavar="TEXT", help="Licence of the head.")
@click.option(
    "--source", default="", metavar="TEXT", help="Source of the head, such as a web address."
)
@_unit
@click.option(
    "--lip-ids",
    type=EXISTING,
    metavar="FILE",
    help="File with the vertex numbers of the lips (.npy, .json or text), for measurements.",
)
@click.option("--swap-sides", is_flag=True, help="Swap left and right.")
@_dest
@click.option(
    "--force",
    is_flag=True,
    help="Replace a template of this name; accept faults that make results wrong.",
)
@click.option("--no-sheet", is_flag=True, help="Don't draw the contact sheet of all shapes.")
@_blender
@json_option
def add(path: Path, **chosen: Any) -> None:
    """Import your own head from PATH: .npz, .glb, .gltf, .vrm, .fbx, .blend or ICT's folder.

    The head is checked, rotated, scaled to metres and stored with its descriptor, template.json.
    """
    from render_jobs.cli.console import ProgressLine, print_json
    from render_jobs.heads.add import BlenderReader, add_template, draw_sheet
    from templates.importing.store import Label

    label = Label(
        chosen["name"],
        chosen["licence"],
        chosen["source"],
        dest=chosen["dest"],
        replace=chosen["force"],
    )
    wishes = _wishes(chosen)
    with BlenderReader(chosen["blender"]) as reader:
        added = add_template(path, label, wishes, reader)
    facts = {"template": str(added.folder), "name": label.name}
    if not chosen["as_json"]:
        _show(added.report)
        click.echo(f"{'template':10} {added.folder}")
    sheet, note = None, ""
    if not chosen["no_sheet"]:
        with ProgressLine(quiet=chosen["as_json"], unit="pictures of the sheet") as line:
            sheet, note = draw_sheet(added.folder, line.frames)
    if chosen["as_json"]:
        drawn = str(sheet) if sheet else None
        print_json({**facts, "sheet": drawn, "note": note, "report": added.report.to_json()})
        return
    if sheet:
        click.echo(f"{'sheet':10} {sheet}")
    if note:
        click.echo(f"Note: {note}", err=True)
    where = label.name if chosen["dest"] is None else added.folder
    click.echo(f'Try it: exorender say "Hello there." --template {where} -o hello.mp4')


@templates.command(short_help="Show a head's contents and faults.")
@click.argument("head", metavar="NAME|PATH")
@_unit
@click.option(
    "--lip-ids",
    type=EXISTING,
    metavar="FILE",
    help="File with the vertex numbers of the lips (.npy, .json or text).",
)
@click.option("--swap-sides", is_flag=True, help="Swap left and right.")
@_blender
@json_option
def check(head: str, **chosen: Any) -> None:
    """Show the contents and faults of a template, or of a file that you want to import."""
    from render_jobs.cli.console import EXIT_USAGE, print_json
    from render_jobs.heads.add import BlenderReader, check_head

    wishes = _wishes(chosen)
    with BlenderReader(chosen["blender"]) as reader:
        report = check_head(head, wishes, reader)
    if chosen["as_json"]:
        print_json({"report": report.to_json()})
    else:
        _show(report)
    if report.bad:
        sys.exit(EXIT_USAGE)


@templates.command(short_help="Write a picture of all shapes, sounds or looks.")
@click.argument("heads", metavar="NAME|PATH...", nargs=-1, required=True)
@click.option("-o", "--output", type=NEW_FILE, required=True, help="File to write: .png or .jpg.")
@click.option(
    "--kind",
    type=click.Choice(["shapes", "speech", "looks"]),
    default="shapes",
    show_default=True,
    help="What to draw: all 52 shapes, sounds of speech and expressions, or every look.",
)
@click.option(
    "--look",
    default="",
    metavar="NAME",
    help="Look, such as clay or skin  [default: the head's own]",
)
@_blender
@json_option
@quiet_option
def sheet(
    heads: tuple[str, ...], output: Path, *, as_json: bool, quiet: bool, **chosen: Any
) -> None:
    """Draw labelled stills of a head into one picture. Only --kind looks accepts several heads."""
    from render_jobs.cli.console import ProgressLine, print_json
    from render_jobs.video import sheet as sheets

    kind, look, blender = chosen["kind"], chosen["look"], chosen["blender"]
    with ProgressLine(quiet=quiet or as_json, unit="pictures") as line:
        sheets.write_sheet(kind, heads, output, look, blender=blender, on_cells=line.frames)
    facts = {"sheet": str(output), "kind": kind, "templates": list(heads), "look": look}
    if as_json:
        print_json(facts)
    elif not quiet:
        click.echo(f"wrote {output}")


@templates.command()
@click.argument("name")
@_dest
@json_option
def remove(name: str, *, dest: Path | None, as_json: bool) -> None:
    """Delete one of your own templates."""
    from render_jobs.cli.console import print_json
    from templates.importing.store import remove as remove_template

    folder = remove_template(name, dest)
    if as_json:
        print_json({"removed": str(folder)})
    else:
        click.echo(f"removed {folder}")


def _row(template: Any, kind: str) -> dict[str, Any]:
    row = {"name": template.name, "title": template.title, "licence": template.licence}
    row |= {"source": template.source, "kind": kind, "folder": str(template.folder)}
    return {**row, "coverage": template.origin.get("coverage")}


def _wishes(chosen: dict[str, Any]) -> Wishes:
    from render_jobs.evaluation.head import read_ids
    from templates.importing.prepare import Wishes

    lips = read_ids(chosen["lip_ids"]).astype("int32") if chosen["lip_ids"] else None
    return Wishes(
        unit_m=_parsed_unit(chosen["unit"]),
        lips=lips,
        swap=chosen["swap_sides"],
        force=bool(chosen.get("force")),
    )


def _parsed_unit(text: str) -> float | None:
    """`cm` -> 0.01, `0.0254` -> 0.0254, `auto` -> None; InputError(field="unit")."""
    from exomni_core.errors import InputError
    from templates.importing.orient import UNITS

    if text == "auto" or text in UNITS:
        return UNITS.get(text)
    try:
        metres = float(text)
    except ValueError:
        metres = 0.0
    if not 1e-6 < metres < 1e3:
        raise InputError(
            f"{text!r} is not a unit; use m, cm, mm, auto or a number of metres", field="unit"
        )
    return metres


def _show(report: Report) -> None:
    from render_jobs.cli.console import printable

    for line in report.lines():
        click.echo(printable(line))
