# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender models ...`: a model's name in, its weights on this machine out.

Exit codes as everywhere: 0 all well, 1 some files damaged or missing, 2 usage, input or a licence
that was not accepted, 3 environment.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from render_jobs.cli.models_licence import (
    DIRECTORY,
    accept_option,
    agree,
    licence,
    models_option,
    models_place,
)
from render_jobs.cli.options import json_option, quiet_option

if TYPE_CHECKING:
    from exomni_core.omni.weights.pull import Pulled, PullPlan, PullStep
    from exomni_core.omni.weights.receipts import FileState
    from exomni_core.omni.weights.store import KnownModel


@click.group(name="models", short_help="Get, list and check the neural engine's weights.")
def models() -> None:
    """Get, list and check the weights of the neural engine.

    The models are ex-omni, glm-4-voice-decoder and glm-4-voice-tokenizer. Their authors own them
    and license them.
    """


models.add_command(licence)


@models.command(name="list")
@models_option
@json_option
def list_models(folder: Path | None, *, as_json: bool) -> None:
    """List the models with their folder and state."""
    from exomni_core.omni.weights.store import KNOWN, is_tiny, look, models_folder
    from render_jobs.cli.console import print_json

    place = models_place(folder)
    rows = [look(model, place) for model in KNOWN]
    if as_json:
        facts = [
            {
                "name": found.model.name,
                "repo": found.model.repo,
                "state": found.state,
                "folder": str(found.folder),
                "bytes": found.size,
                "revision": found.revision,
                "detail": found.detail,
            }
            for found in rows
        ]
        print_json({"models_folder": str(place), "models": facts})
        return
    click.echo(f"in {place}:\n")
    for found in rows:
        about = f"about {size_text(found.model.about_bytes)}"
        size = about if found.state == "absent" else size_text(found.size)
        click.echo(f"  {found.model.name:22} {found.state:11} {size:>13}  {found.model.title}")
        if found.detail:
            click.echo(f"  {'':22} {found.detail}")
    if any(found.state in ("absent", "incomplete") for found in rows):
        again = "" if place == models_folder() else f" --models {place}"
        click.echo(f"\nGet what the neural engine needs: exorender models pull{again}")
    if is_tiny(place / KNOWN[0].name):
        click.echo(
            "\nThese are tiny random models: they run like real ones, but their output is noise."
        )
    elif any(found.state == "unverified" for found in rows):
        click.echo("\nunverified: no file is missing, but only 'pull' can check the contents.")


@models.command(short_help="Download models and check every file.")
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--revision",
    metavar="REV",
    help="Branch, tag or commit  [default: that of the first pull, else the newest]",
)
@click.option("--accept-new", is_flag=True, help="Take the newest revision instead of the pinned.")
@accept_option
@models_option
@json_option
@quiet_option
def pull(names: Sequence[str], revision: str | None, folder: Path | None, **chosen: Any) -> None:
    """Download MODELs, or all models of the neural engine, and check every file.

    Complete files are kept; repeat the command to resume. Ex-Omni asks you to accept its licence
    first; scripts pass --accept-licence. The first pull pins a model's revision and the hash of
    each file; --accept-new takes the newest.
    """
    from exomni_core.errors import InputError
    from exomni_core.omni.weights.pull import plan_pull
    from exomni_core.omni.weights.pull import pull as fetch
    from exomni_core.omni.weights.store import KNOWN, known_model
    from render_jobs.cli.console import EXIT_INTERRUPTED, print_json

    wanted = [known_model(name) for name in names] or list(KNOWN)
    if revision and len(wanted) != 1:
        raise InputError("--revision needs exactly one MODEL; name it", field="revision")
    if revision and chosen["accept_new"]:
        raise InputError("--revision and --accept-new exclude each other", field="revision")
    place = models_place(folder)
    for model in wanted:
        agree(model.licence, place, accept=chosen["accept_licence"], ask=not chosen["as_json"])
    quiet = chosen["quiet"] or chosen["as_json"]
    done = []
    try:
        for model in wanted:
            plan = plan_pull(model, place, revision, accept_new=chosen["accept_new"])
            if not quiet:
                files = f"{len(plan.files)} files, {size_text(plan.size)}"
                click.echo(f"{model.name}: {files}, into {plan.folder}", err=True)
            done.append(fetch(plan, (lambda _: None) if quiet else _show_step, bars=not quiet))
            if not chosen["as_json"]:
                click.echo(_pulled_text(done[-1]))
                if plan.pinned is None:
                    click.echo(f"Note: {_pin_text(plan)}", err=True)
                for name in done[-1].extra:
                    click.echo(f"Note: {name} does not belong to the release; delete it", err=True)
    except KeyboardInterrupt:
        click.echo(
            "\nStopped. Complete files are kept; run the same command again to resume.", err=True
        )
        sys.exit(EXIT_INTERRUPTED)
    if chosen["as_json"]:
        print_json({"models": [_pulled_facts(one) for one in done]})


@models.command(short_help="Check the files of downloaded models.")
@click.argument("what", nargs=-1, metavar="[MODEL|FOLDER]...")
@models_option
@json_option
def check(what: Sequence[str], folder: Path | None, *, as_json: bool) -> None:
    """Check every file of the MODELs, or of all downloaded models, against its hash.

    In a FOLDER that `pull` did not fill, only missing and truncated files can be found.
    """
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json

    reports = []
    for target, model in _targets(what, models_place(folder)):
        if not as_json:
            click.echo(_heading(target, model))
        states = []
        for state in _states(target, model):
            states.append(state)
            if not as_json:
                detail = f"  {state.detail}" if state.detail else ""
                click.echo(f"  {state.state:8} {size_text(state.size):>9}  {state.name}{detail}")
        if not as_json:
            click.echo(_verdict(states, model))
        reports.append((target, model, states))
    if as_json:
        print_json({"models": [_checked_facts(*report) for report in reports]})
    if any(state.is_bad for _, _, states in reports for state in states):
        sys.exit(EXIT_SOME_FAILED)


@models.command(name="make-tiny", short_help="Write a tiny random model for tests.")
@click.argument("folder", type=DIRECTORY, metavar="DIR")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed of the weights.",
)
@json_option
def make_tiny(folder: Path, seed: int, *, as_json: bool) -> None:
    """Write tiny models with random weights into the new folder DIR, to test the engine.

    They have every part of the real models and need no download and no licence. Their output is
    noise.
    """
    from exomni_core.errors import EnvironmentProblem
    from exomni_core.omni.weights.store import MODELS_VARIABLE
    from render_jobs.cli.console import print_json

    try:
        from exomni_core.omni.weights.tiny import make_tiny as make
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"making a model needs {error.name}; in this project's folder: pip install '.[omni]'"
        ) from error
    facts = make(folder, seed)
    if as_json:
        print_json({"folder": str(folder), "seed": seed, **facts})
    else:
        click.echo(f"wrote a tiny random model to {folder} (seed {seed})")
        click.echo(f"To use it: export {MODELS_VARIABLE}={folder.absolute()}")


def size_text(size: int) -> str:
    """A size in readable units; 1 kB is 1000 bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return (
                f"{size / factor:.1f} {unit}"
                if size < 100 * factor
                else f"{size / factor:.0f} {unit}"
            )
    return f"{size} B"


def _show_step(step: PullStep) -> None:
    words = {"check": "checking", "fetch": "fetching", "keep": "complete"}
    if step.kind == "check" and step.file.size < 1e8:  # done at once
        return
    counter = f"[{step.number}/{step.total}]"
    size = size_text(step.file.size)
    click.echo(f"  {counter:>7} {words[step.kind]:8} {size:>9}  {step.file.name}", err=True)


def _pulled_text(done: Pulled) -> str:
    counts = [f"{len(done.fetched)} fetched"] if done.fetched else []
    counts += [f"{len(done.kept)} already there"] if done.kept else []
    return f"{done.plan.model.name} is ready in {done.plan.folder} ({', '.join(counts)})"


def _pin_text(plan: PullPlan) -> str:
    return (
        f"this program knows no hashes of {plan.model.repo}: the receipt now pins revision "
        f"{plan.revision[:12]} as it came, and a later pull refuses anything else"
    )


def _pulled_facts(done: Pulled) -> dict[str, Any]:
    return {
        "name": done.plan.model.name,
        "repo": done.plan.model.repo,
        "revision": done.plan.revision,
        "pinned_by": done.plan.pinned.source if done.plan.pinned else "this pull",
        "folder": str(done.plan.folder),
        "bytes": done.plan.size,
        "fetched": list(done.fetched),
        "kept": list(done.kept),
        "extra": list(done.extra),
    }


def _targets(what: Sequence[str], place: Path) -> list[tuple[Path, KnownModel | None]]:
    """The folders to check; a word that is not a model's name is a folder."""
    from exomni_core.errors import EnvironmentProblem, InputError
    from exomni_core.omni.weights.store import KNOWN, guess_model, known_model, look

    targets: list[tuple[Path, KnownModel | None]] = []
    for word in what or [m.name for m in KNOWN if look(m, place).state != "absent"]:
        names = {name for model in KNOWN for name in (model.name, model.repo.lower())}
        if word.lower() not in names and Path(word).is_dir():
            targets.append((Path(word), guess_model(Path(word))))
            continue
        if word.lower() not in names:
            choice = ", ".join(model.name for model in KNOWN)
            raise InputError(f"there is no folder {word!r}, and the models are {choice}")
        model = known_model(word)
        if look(model, place).state == "absent":
            raise EnvironmentProblem(
                f"{model.name} is not in {place}; get it with: exorender models pull {model.name}"
            )
        targets.append((place / model.name, model))
    if not targets:
        raise EnvironmentProblem(
            f"there are no models in {place}; get them with: exorender models pull"
        )
    return targets


def _states(target: Path, model: KnownModel | None) -> Iterator[FileState]:
    from exomni_core.omni.weights.receipts import check_files

    return check_files(target, model.needed if model else ())


def _heading(target: Path, model: KnownModel | None) -> str:
    from exomni_core.omni.weights.receipts import read_receipt

    receipt = read_receipt(target)
    what = model.name if model else "no known model"
    if receipt is None:
        return f"{what} in {target} (no receipt)"
    return f"{what} in {target} (revision {receipt.revision[:12]} of {receipt.pulled[:10]})"


def _verdict(states: Sequence[FileState], model: KnownModel | None) -> str:
    bad = sum(state.is_bad for state in states)
    if not states:
        return "There are no files."
    if bad:
        mend = f"; repair them with: exorender models pull {model.name}" if model else ""
        return f"{bad} of {len(states)} files are missing or damaged{mend}"
    unknown = sum(state.state == "unknown" for state in states)
    if unknown:
        return f"No file is missing; {unknown} of {len(states)} files can't be verified."
    return f"All {len(states)} files are as they were downloaded."


def _checked_facts(
    target: Path, model: KnownModel | None, states: Sequence[FileState]
) -> dict[str, Any]:
    return {
        "name": model.name if model else None,
        "folder": str(target),
        "good": not any(state.is_bad for state in states),
        "files": [vars(state) for state in states],
    }
