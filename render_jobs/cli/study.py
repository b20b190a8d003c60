# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender study ...`: a study folder in; its page, links and answers out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.options import (
    EXISTING,
    NEW_FILE,
    HeadedCommand,
    connection_options,
    json_option,
)
from render_jobs.cli.study_report import power, report

FOLDER = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))


class _Study(click.Group):
    command_class = HeadedCommand


@click.group(cls=_Study, short_help="Run a human A/B study and report it.")
def study() -> None:
    """Plan a human A/B study, run it in the browser, and report it with confidence intervals.

    `exorender pairs` makes a study's FOLDER.
    """


study.add_command(report)
study.add_command(power)


@study.command(short_help="Serve the study's page to its raters until Ctrl-C.")
@FOLDER
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on; 0.0.0.0: all networks of this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7768,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0: any free port.",
)
@click.option(
    "--public-url",
    default="",
    metavar="URL",
    help="Public address of this server behind a reverse proxy with HTTPS; links start with it.",
)
@click.option(
    "--admin-token",
    default="",
    metavar="TOKEN",
    help="Token of the progress page  [default: the study's own]",
)
@click.option(
    "--join",
    is_flag=True,
    help="Print one link for all raters; each visitor gets the next free seat.",
)
@click.option(
    "--prolific",
    "prolific_code",
    default="",
    metavar="CODE",
    help="Prolific completion code; raters are sent back to Prolific with it.",
)
@click.option("--completion-code", default="", metavar="CODE", help="Code to show at the end.")
@connection_options(
    600, 300, "The same from one address, such as a university's; this machine itself may use all."
)
@json_option
def serve(folder: Path, *, as_json: bool, **chosen: Any) -> None:
    """Serve the page of the study in FOLDER to its raters until you press Ctrl-C.

    Answers are saved before the browser gets a reply, so a killed server resumes where it stopped.
    The server refuses to start if a video or the plan was changed.
    """
    from exomni_core.http.serving import end_on_signals, start_log
    from render_jobs.study.serving.context import ServingSettings
    from render_jobs.study.serving.server import StudyServer

    chosen["join"] = chosen["join"] or bool(chosen["prolific_code"])
    server = StudyServer(folder, ServingSettings(**chosen))
    end_on_signals(server)
    start_log()
    _announce(server, as_json=as_json)
    server.run()


@study.command()
@FOLDER
@click.option(
    "--base-url",
    required=True,
    metavar="URL",
    help="Address that the links start with, such as https://lab.example.org.",
)
@click.option("-o", "--output", type=NEW_FILE, help="The .csv file to write the links to.")
@json_option
def links(folder: Path, base_url: str, output: Path | None, *, as_json: bool) -> None:
    """Print the link of every rater, one per line."""
    from exomni_core.storage.files import write_text
    from render_jobs.cli.console import print_json
    from render_jobs.study.serving.exporting import seats_of
    from render_jobs.study.serving.links import base_url as checked
    from render_jobs.study.serving.links import links_csv, load_keys, rater_links

    places = seats_of(folder)
    rows = rater_links(load_keys(folder), checked(base_url), places)
    if output is not None:
        write_text(output, links_csv(rows))
    if as_json:
        print_json({"links": dict(rows), "output": str(output) if output else None})
    elif output is not None:
        click.echo(f"wrote {output} ({len(rows)} links)")
    else:
        click.echo(links_csv(rows), nl=False)


@study.command(short_help="Show each rater's progress.")
@FOLDER
@click.option(
    "--prolific-id", default="", metavar="ID", help="Show only the rater with this Prolific id."
)
@json_option
def status(folder: Path, prolific_id: str, *, as_json: bool) -> None:
    """Show each rater's progress, without any answers."""
    from render_jobs.cli.console import print_json, printable
    from render_jobs.study.serving.exporting import rater_of_person, status_of

    facts = status_of(folder)
    if prolific_id:
        name = rater_of_person(folder, prolific_id)
        facts["raters"] = [one for one in facts["raters"] if one["rater_id"] == name]
    if as_json:
        print_json(facts)
        return
    for one in facts["raters"]:
        click.echo(
            f"{one['rater_id']:8} {one['state']:11} {one['answered']:3} / {one['total']}"
            + (f"  {one['failed_clips']} clips failed" if one["failed_clips"] else "")
            + (f"  {printable(one['comment'])}" if one["comment"] else "")
        )
    if not prolific_id:
        closed = f"; closed at {facts['closed_at']}" if facts["closed_at"] else ""
        click.echo(
            f"{facts['finished']} of {facts['seats']} seats finished, {facts['answered']} of "
            f"{facts['total']} answers{closed}"
        )


@study.command(short_help="Write the ratings and the study as files.")
@FOLDER
@click.option("-o", "--output", type=NEW_FILE, required=True, help="Folder for the files.")
@click.option(
    "--as",
    "form",
    type=click.Choice(["webmushra", "jspsych"]),
    help="Instead, write the study in another program's format.",
)
@json_option
def export(folder: Path, output: Path, form: str | None, *, as_json: bool) -> None:
    """Write ratings.csv, assignments.csv, events.jsonl and study.json.

    This also works while the study is being served."""
    from render_jobs.cli.console import print_json
    from render_jobs.study.exchange import export_for
    from render_jobs.study.serving.exporting import export_study

    facts = export_for(form, folder, output) if form else export_study(folder, output)
    if as_json:
        print_json(facts)
        return
    for note in facts.get("notes", ()):
        click.echo(f"Note: {note}", err=True)
    if form:
        click.echo(f"wrote {facts['out']} ({facts['trials']} trials for {form})")
    else:
        click.echo(f"wrote {facts['out']} ({facts['ratings']} ratings by {facts['raters']} raters)")


@study.command("import", short_help="Convert results of webMUSHRA or jsPsych to ratings.")
@FOLDER
@click.argument("table", type=EXISTING)
@click.option(
    "--from",
    "form",
    type=click.Choice(["webmushra", "jspsych"]),
    required=True,
    help="The program that wrote TABLE.",
)
@click.option("-o", "--output", type=NEW_FILE, required=True, help="The .csv of ratings to write.")
@json_option
def import_(folder: Path, table: Path, form: str, output: Path, *, as_json: bool) -> None:
    """Convert the results TABLE of webMUSHRA or jsPsych to ratings for `study report --ratings`."""
    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.study.exchange import import_from

    facts = import_from(form, folder, table, output)
    if as_json:
        print_json(facts)
    else:
        for problem in facts["bad"]:
            click.echo(f"Note: {table} {problem}", err=True)
        click.echo(f"wrote {output} ({facts['ratings']} ratings by {facts['raters']} raters)")
    if facts["bad"]:
        raise click.exceptions.Exit(EXIT_SOME_FAILED)


@study.command(short_help="Stop taking answers.")
@FOLDER
@json_option
def close(folder: Path, *, as_json: bool) -> None:
    """Stop taking answers, also in a running server."""
    from render_jobs.cli.console import print_json
    from render_jobs.study.serving.exporting import close_study

    since = close_study(folder)
    if as_json:
        print_json({"closed_at": since})
    else:
        click.echo(f"{folder} is closed since {since}")


@study.command(short_help="Check that the log of answers is whole.")
@FOLDER
@click.option(
    "--head",
    default="",
    metavar="HASH",
    help="Hash that an earlier check printed; it must be there.",
)
@json_option
def verify(folder: Path, head: str, *, as_json: bool) -> None:
    """Check that no record of the study's log was changed, removed, inserted or moved.

    Note the printed head elsewhere: it also finds a log that was rewritten as a whole.
    """
    from dataclasses import asdict

    from render_jobs.cli.console import EXIT_SOME_FAILED, print_json
    from render_jobs.study.serving.verifying import verify as check

    found = check(folder, head.strip().lower())
    if as_json:
        print_json({"whole": not found.problem, **asdict(found)})
    else:
        for note in found.notes:
            click.echo(f"Note: {note}", err=True)
        taken = f", {found.removed} of them taken back by raters" if found.removed else ""
        whole = f"whole: {found.records} records{taken}\nhead: {found.head}"
        click.echo(f"not whole: {found.problem}" if found.problem else whole)
    if found.problem:
        raise click.exceptions.Exit(EXIT_SOME_FAILED)


def _announce(server: Any, *, as_json: bool) -> None:
    from render_jobs.cli.console import print_json
    from render_jobs.study.making.texts import is_word_of_ours
    from render_jobs.study.serving.context import telling_texts
    from render_jobs.study.serving.exporting import seats_of
    from render_jobs.study.serving.links import rater_links

    shared, base = server.shared, server.url
    keys = shared.store.keys
    links = rater_links(keys, base, seats_of(shared.folder))
    admin = f"{base}/admin/{shared.admin_token}"
    join = f"{base}/join/{keys.join_token}" if shared.settings.join else ""
    if join and shared.settings.prolific_code:
        join += (
            "?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
        )
    told = [name for name in telling_texts(shared.study) if not is_word_of_ours(name)]
    if as_json:
        print_json(
            {
                "url": base,
                "port": server.port,
                "admin": admin,
                "join": join,
                "links": dict(links),
                "named_systems": told,
            }
        )
        return
    for name in told:
        click.echo(
            f"Note: the consent or protocol text contains the system's name {name!r}, and raters "
            f"read it",
            err=True,
        )
    click.echo(f"Serving {shared.folder} (plan {shared.study.plan_sha256[:12]}) at {base}\n")
    if join:
        click.echo(f"For new raters\n  {join}\n")
    else:
        click.echo("For the raters, one link each")
        for name, link in links:
            click.echo(f"  {name}  {link}")
        click.echo("")
    click.echo(f"Progress\n  {admin}\n\nStop with Ctrl-C.")
    if base.startswith("http://") and "127.0.0.1" not in base:
        click.echo(
            "Note: the traffic is not encrypted; for raters outside your network, put a reverse "
            "proxy with HTTPS before this server (docs/study.md).",
            err=True,
        )
