# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender models licence`: a model's name in, its licence out.

`agree` records the user's consent, which `exorender models pull` needs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from render_jobs.cli.options import json_option

if TYPE_CHECKING:
    from exomni_core.omni.weights.licence import Licence

_ANSWER: Final = "yes"
DIRECTORY = click.Path(path_type=Path)
models_option = click.option(
    "--models",
    "folder",
    type=DIRECTORY,
    metavar="DIR",
    help="Folder of the models  [default: $EXOMNI_MODELS, else your data folder]",
)
accept_option = click.option(
    "--accept-licence", is_flag=True, help="Record that you have read and accept the licence."
)


@click.command(short_help="Show a model's licence and record that you accept it.")
@click.argument("name", default="ex-omni", metavar="[MODEL]")
@accept_option
@models_option
@json_option
def licence(name: str, folder: Path | None, *, accept_licence: bool, as_json: bool) -> None:
    """Show MODEL's licence (by default Ex-Omni's) and record that you accept it."""
    from exomni_core.omni.weights.licence import find_consent, licence_file
    from exomni_core.omni.weights.store import known_model
    from render_jobs.cli.console import print_json

    model, place = known_model(name), models_place(folder)
    text_file = licence_file(place / model.name)
    if not as_json:
        click.echo(_summary(model.licence))
        if text_file is not None:
            click.echo(f"\n{text_file}:\n")
            click.echo(text_file.read_text(encoding="utf-8", errors="replace").rstrip())
        click.echo()
    consent = find_consent(model.licence, place)
    if consent is None and model.licence.needs_consent and (accept_licence or not as_json):
        agree(model.licence, place, accept=accept_licence, ask=not as_json, show=False, must=False)
        consent = find_consent(model.licence, place)
    if as_json:
        facts: dict[str, Any] = {"model": model.name, "repo": model.repo}
        facts |= {"page": model.licence.page, "summary": list(model.licence.points)}
        facts["file"] = None if text_file is None else str(text_file)
        facts["needs_consent"] = model.licence.needs_consent
        facts["accepted"] = None if consent is None else consent.date
        print_json(facts)
    elif consent is not None:
        click.echo(f"Accepted on {consent.date} ({consent.how}).")
    elif model.licence.needs_consent:
        click.echo("Not accepted yet. To accept it: exorender models licence --accept-licence")


def models_place(folder: Path | None) -> Path:
    """The absolute folder of the models: the given one, else the default."""
    from exomni_core.omni.weights.store import models_folder

    return folder.absolute() if folder else models_folder()


def _summary(licence: Licence) -> str:
    points = "\n".join(f"  - {point}" for point in licence.points)
    return (
        f"{licence.repo}: its licence in short\n\n{points}\n\n"
        f"This is a summary. Read the full licence at {licence.page}"
    )


def agree(
    licence: Licence, place: Path, *, accept: bool, ask: bool, show: bool = True, must: bool = True
) -> None:
    """Record the user's consent if it is needed and missing: by flag, or by asking on a terminal.

    must: InputError if the user doesn't agree; without it, things stay as they are.
    """
    from exomni_core.errors import InputError
    from exomni_core.omni.weights.licence import find_consent, record_consent

    if not licence.needs_consent or find_consent(licence, place):
        return
    if accept:
        record_consent(licence, place, "--accept-licence")
        return
    if ask and sys.stdin.isatty():
        if show:
            click.echo(f"{_summary(licence)}\n")
        if _typed_yes():
            record_consent(licence, place, f"typed {_ANSWER!r} at a terminal")
            return
        if must:
            raise InputError(
                f"the licence of {licence.repo} was not accepted; nothing was downloaded"
            )
    elif must:
        raise InputError(
            f"the licence of {licence.repo} must be accepted first: read it with "
            "'exorender models licence', then run this again with --accept-licence"
        )


def _typed_yes() -> bool:
    question = f'Type "{_ANSWER}" if you have read it, accept it and will keep to it'
    try:
        answer: str = click.prompt(question, default="no", show_default=False)
    except click.Abort as error:  # ctrl-C, or the end of the input
        raise KeyboardInterrupt from error
    return answer.strip().lower() == _ANSWER
