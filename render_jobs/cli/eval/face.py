# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender eval face`: faces and references in, tables of their distances out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.eval.shared import (
    FILE,
    FOLDER,
    PLACE,
    finish,
    output_option,
    row_rate_option,
    system_option,
)
from render_jobs.cli.options import chain, json_option, workers_option

_face_options = chain(
    click.option(
        "--template",
        default="head",
        show_default=True,
        metavar="NAME|PATH",
        help="The head on which both faces are compared.",
    ),
    click.option("--lip-ids", type=FILE, help="Lip vertices of that head: .npy, .json or text."),
    click.option("--upper-ids", type=FILE, help="Vertices of eyes and forehead, for FDD."),
    click.option("--unit", type=click.Choice(["m", "cm", "mm"]), help="The template's unit."),
    click.option(
        "--clip",
        "clip_range",
        type=click.Choice(["01"]),
        help="01: first clip the weights of both sides to the range 0 to 1.",
    ),
    click.option(
        "--ref-mouthclose",
        type=click.Choice(["asis", "claire"]),
        default="asis",
        show_default=True,
        help="claire: in the reference, mouthClose also opens the jaw.",
    ),
    click.option(
        "--allow-length-mismatch",
        "allow_mismatch",
        is_flag=True,
        help="Cut to the shorter clip even if the lengths differ by more than 0.5 s or 10 %.",
    ),
    click.option(
        "--phones",
        type=FOLDER,
        help="Folder of ID.TextGrid, .ctm or .json files with the times of p, b and m.",
    ),
    row_rate_option,
    system_option,
    click.option(
        "--ref-system",
        default="",
        metavar="NAME",
        help="Use only this system's rows of the list of references.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help="Random seed of the shuffled baseline and the confidence intervals.",
    ),
    click.option(
        "--fixture",
        type=FILE,
        help="Instead, score an .npz that contains a head and pairs of series.",
    ),
)


@click.command(short_help="Compare faces with reference faces: lip vertex error and more.")
@click.argument("pred", type=PLACE, required=False)
@click.argument("ref", type=PLACE, required=False)
@_face_options
@workers_option()
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
        raise click.UsageError("Give PRED and REF, or --fixture FILE.")
    from exomni_core.metrics.faces.score import Options
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
        clip01=chosen["clip_range"] == "01",
        ref_mouthclose=chosen["ref_mouthclose"],
        allow_mismatch=chosen["allow_mismatch"],
        phones=chosen["phones"],
        fps=chosen["fps"],
    )
    run = FaceRun(
        pred, ref, chosen["system"], chosen["ref_system"], chosen["seed"], chosen["workers"]
    )
    with ProgressLine(quiet=chosen["as_json"], unit="clips") as line:
        result = evaluate_face(run, head, options, line.frames)
    finish(result, face_markdown(result), face_lines(result), chosen)


def _fixture(path: Path, chosen: dict[str, Any]) -> None:
    from exomni_core.metrics.faces.fixture import score_fixture
    from render_jobs.cli.console import print_json
    from render_jobs.evaluation.output import shown

    result = score_fixture(path)
    if chosen["as_json"]:
        print_json(result)
        return
    for name, value in result["aggregate"].items():
        click.echo(f"{name:40} {shown(value)}")
