# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender eval ...`: clips in, tables of measures out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from render_jobs.cli.options import chain, json_option

PLACE: Final = click.Path(exists=True, path_type=Path)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
NEW_FOLDER: Final = click.Path(file_okay=False, path_type=Path)

output_option = click.option(
    "-o", "--output", type=NEW_FOLDER, help="Folder for result.json, rows.csv and table.md."
)
workers_option = click.option(
    "--workers", type=click.IntRange(0, 64), default=0, metavar="N",
    help="Processes; 0: one per core, 8 at most.",
)  # fmt: skip


_face_options = chain(
    click.option("--template", default="head", show_default=True, metavar="NAME|PATH",
                 help="The head on which both faces are compared."),
    click.option("--lip-ids", type=FILE, help="Lip vertices of that head: .npy, .json or text."),
    click.option("--upper-ids", type=FILE, help="Vertices of eyes and forehead, for FDD."),
    click.option("--unit", type=click.Choice(["m", "cm", "mm"]), help="The template's unit."),
    click.option("--clip", "clip_range", type=click.Choice(["01"]),
                 help="Clip the weights of both sides to [0, 1] first."),
    click.option("--ref-mouthclose", type=click.Choice(["asis", "claire"]), default="asis",
                 show_default=True, help="claire: the reference's mouthClose includes the jaw."),
    click.option("--allow-length-mismatch", "allow_mismatch", is_flag=True,
                 help="Cut to the shorter even where lengths differ by over 0.5 s or 10 %."),
    click.option("--phones", type=FOLDER,
                 help="Folder of ID.TextGrid, .ctm or .json: when p, b and m are spoken."),
    click.option("--fps", type=click.FloatRange(1, 240), metavar="RATE",
                 help="Rows per second of arrays and CSV files, if they don't tell."),
    click.option("--system", default="", metavar="NAME", help="Which system's lines of a list."),
    click.option("--ref-system", default="", metavar="NAME", help="The same, for the references."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
                 help="For the shuffled baseline and the intervals."),
    click.option("--fixture", type=FILE,
                 help="Score an npz that holds a head and pairs of series instead."),
)  # fmt: skip


_sync_options = chain(
    click.option("--texts", type=FILE, metavar="JSONL",
                 help="Lines of id and reference, transcript or text: what is said."),
    click.option("--audio", type=FOLDER, help="Folder of sounds by id, for files without one."),
    click.option("--phones", type=FOLDER,
                 help="Folder of ID.TextGrid, .ctm or .json: which sound is when."),
    click.option("--realign", is_flag=True,
                 help="Align the known text even where a clip tells its sounds."),
    click.option("--language", default="", metavar="CODE", help="For clips that name none."),
    click.option("--fps", type=click.FloatRange(1, 240), metavar="RATE",
                 help="Rows per second of arrays and CSV files, if they don't tell."),
    click.option("--system", default="", metavar="NAME", help="Which system's lines of a list."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
                 help="For the intervals."),
    click.option("--blender", type=FILE, help="Read .blend files with this Blender program."),
)  # fmt: skip


@click.group(name="eval", short_help="Measure faces, speech and time.")
def evaluate() -> None:
    """Measure faces and speech: tables with baselines, intervals and hashes."""


@evaluate.command(short_help="Compare faces with a reference: lip vertex error and its companions.")
@click.argument("pred", type=PLACE, required=False)
@click.argument("ref", type=PLACE, required=False)
@_face_options
@workers_option
@output_option
@json_option
def face(pred: Path | None, ref: Path | None, **chosen: Any) -> None:
    """Compare the faces in PRED with those in REF, clip by clip, by id.

    PRED and REF are files (.clip, A2F .json, Live Link or A2F-3D .csv, .npy with names, .npz),
    folders of them, batch runs, or lists: responses.jsonl, references.jsonl.
    """
    if chosen["fixture"] is not None:
        _fixture(chosen["fixture"], chosen)
        return
    if pred is None or ref is None:
        raise click.UsageError("give PRED and REF (or --fixture FILE)")
    from exomni_core.metrics.score import Options
    from render_jobs.cli.console import ProgressLine
    from render_jobs.evaluation.face import FaceRun, evaluate_face
    from render_jobs.evaluation.face_text import face_lines, face_markdown
    from render_jobs.evaluation.head import prepare_head

    head = prepare_head(
        chosen["template"],
        lip_ids=chosen["lip_ids"],
        upper_ids=chosen["upper_ids"],
        unit=chosen["unit"] or "",
    )
    options = Options(
        clip01=chosen["clip_range"] == "01", ref_mouthclose=chosen["ref_mouthclose"],
        allow_mismatch=chosen["allow_mismatch"], phones=chosen["phones"], fps=chosen["fps"],
    )  # fmt: skip
    run = FaceRun(
        pred, ref, chosen["system"], chosen["ref_system"], chosen["seed"], chosen["workers"]
    )
    with ProgressLine(quiet=chosen["as_json"], unit="clips") as line:
        result = evaluate_face(run, head, options, line.frames)
    finish(result, face_markdown(result), face_lines(result), chosen)


def _fixture(path: Path, chosen: dict[str, Any]) -> None:
    from exomni_core.metrics.fixture import score_fixture
    from render_jobs.cli.console import print_json
    from render_jobs.evaluation.output import shown

    result = score_fixture(path)
    if chosen["as_json"]:
        print_json(result)
        return
    for name, value in result["aggregate"].items():
        click.echo(f"{name:40} {shown(value)}")


def finish(result: dict[str, Any], markdown: str, lines: list[str], chosen: dict[str, Any]) -> None:
    """Write and print a result; exit code 1 if some clips failed or nothing was scored.

    With a folder, the printed JSON leaves the rows to the files in it.
    """
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.evaluation.output import write_result

    output = chosen["output"]
    files = write_result(output, result, markdown) if output else []
    if chosen["as_json"]:
        shown = {k: v for k, v in result.items() if k != "rows" or not files}
        print_json(shown | {"files": [str(path) for path in files]})
    else:
        for note in result["settings"].get("notes", ()):
            click.echo(f"Note: {note}", err=True)
        for warning in result.get("warnings", ()):
            click.echo(f"Note: {warning['warning']} ({warning['clips']} clips, such as "
                       f"{warning['example']})", err=True)  # fmt: skip
        for failure in result["failures"][:10]:
            click.echo(f"Not scored: {failure['id']}: {failure['reason']}", err=True)
        if (more := len(result["failures"]) - 10) > 0:
            click.echo(f"Not scored: {more} more", err=True)
        click.echo("\n".join(lines))
        for path in files:
            click.echo(f"wrote {path}")
    if result["counts"]["n_failed"] or not result["counts"]["n_scored"]:
        sys.exit(EXIT_SOME_FAILED)


@evaluate.command(short_help="Measure lip-sync without a reference: closures, lag, smoothness.")
@click.argument("clips", type=PLACE)
@_sync_options
@workers_option
@output_option
@json_option
def sync(clips: Path, **chosen: Any) -> None:
    """Measure how the mouths in CLIPS go with their own speech; no reference face is needed.

    CLIPS is a file (.clip, .blend, or coefficients), a folder of them, a batch run, or a
    responses.jsonl. What is said comes from the clip or the list, or by --texts, --phones, --audio.
    """
    from render_jobs.cli.console import ProgressLine
    from render_jobs.evaluation.sync import SyncRun, evaluate_sync
    from render_jobs.evaluation.sync_text import sync_lines, sync_markdown

    names = ("system", "texts", "audio", "phones", "realign", "language", "fps", "seed",
             "workers", "blender")  # fmt: skip
    run = SyncRun(clips, **{name: chosen[name] for name in names})
    with ProgressLine(quiet=chosen["as_json"], unit="clips") as line:
        result = evaluate_sync(run, line.frames)
    finish(result, sync_markdown(result), sync_lines(result), chosen)
