# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender serve`: options in, a running engine service out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click

from exomni_core.server.protocol import DEFAULT_PORT, new_token
from exomni_core.storage.places import user_place
from render_jobs.cli.engine_options import engine_options, engine_settings
from render_jobs.cli.options import (
    NEW_FILE,
    HeadedCommand,
    connection_options,
    engine_option,
    json_option,
)

_TOKEN_FILE: Final = "serve.token"  # noqa: S105 (a name, no secret)


@click.command(
    cls=HeadedCommand, short_help="Run the engines as a service for Blender, here or elsewhere."
)
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
    default=DEFAULT_PORT,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0: any free port.",
)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Allow other machines to connect; required if --host is not this machine's own address. "
    "Without --certificate the traffic is not encrypted.",
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    help="Serve HTTPS with this certificate (PEM); clients pin the fingerprint that is printed.",
)
@click.option(
    "--certificate-key",
    type=click.Path(path_type=Path),
    help="The certificate's key (PEM, no password)  [default: in the certificate's file]",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Host name that clients may use; IP addresses always work.",
)
@click.option(
    "--token-file",
    type=NEW_FILE,
    help="File with the token that clients need; created if missing  [default: a file in your own "
    "folder]",
)
@click.option(
    "--idle-unload",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Unload the engine after this many idle seconds; 0: keep it loaded.",
)
@click.option(
    "--idle-exit",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Stop the service after this many seconds without a request; 0: never.",
)
@connection_options(64, 24, "The same from one other machine; this machine itself may use all.")
@json_option
@engine_option()
@engine_options
def serve(host: str, port: int, token_file: Path | None, **chosen: Any) -> None:
    """Make clips for Blender, on this or other machines, until you press Ctrl-C.

    Each job names its engine. --engine omni loads the neural engine at once.
    """
    from exomni_core.http.serving import end_on_signals, start_log
    from exomni_core.server.app import EngineServer, leave
    from exomni_core.server.context import ServiceSettings

    _check_host(host, allow_remote=chosen["allow_remote"])
    engine, options = chosen["engine"], engine_settings(chosen)
    token_file = token_file or _default_token_file()
    settings = ServiceSettings(
        token=token_from(token_file),
        host=host,
        port=port,
        engine_options={engine: options},
        idle_unload_s=chosen["idle_unload"] or None,
        idle_exit_s=chosen["idle_exit"] or None,
        allow_hosts=chosen["allow_host"],
        preload=engine,
        certificate=chosen["certificate"],
        certificate_key=chosen["certificate_key"],
        max_connections=chosen["max_connections"],
        max_per_address=chosen["max_per_address"],
    )
    server = EngineServer(settings)
    try:
        _check_engine(server.shared.health()["engines"], engine)
    except BaseException:
        server.discard()
        raise
    end_on_signals(server)
    start_log()
    _announce(server.url, token_file, server.port, chosen)
    server.run()
    leave()


def token_from(file: Path) -> str:
    """The token in `file`, which only its owner may read; a missing file is created."""
    from exomni_core.errors import InputError

    try:
        if not file.exists():
            return _write_token(file)
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise InputError(
                f"{file} can be read by other users; run: chmod 600 {file}", field="token-file"
            )
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not plain text"
        raise InputError(
            f"{file} can't be used for the token ({reason}); name another with --token-file",
            field="token-file",
        ) from error


def _write_token(file: Path) -> str:
    token = new_token()
    file.parent.mkdir(parents=True, exist_ok=True)
    # Private from its first moment; who reads it half-written finds it too short and says so.
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as target:
        target.write(f"{token}\n")
    return token


def _default_token_file() -> Path:
    return user_place("state") / _TOKEN_FILE


def _check_host(host: str, *, allow_remote: bool) -> None:
    from exomni_core.errors import InputError
    from exomni_core.http.proof import is_loopback

    if not allow_remote and not is_loopback(host):
        raise InputError(
            f"{host} lets other machines connect; add --allow-remote to allow that", field="host"
        )


def _check_engine(states: dict[str, Any], engine: str) -> None:
    from exomni_core.errors import EnvironmentProblem, InputError

    if engine not in states:
        raise InputError(
            f"there is no engine {engine!r}; the choice is {', '.join(states)}", field="engine"
        )
    if not states[engine]["ready"]:
        raise EnvironmentProblem(states[engine]["reason"])


def _announce(url: str, token_file: Path, port: int, chosen: dict[str, Any]) -> None:
    from exomni_core.http.tls import certificate_fingerprint
    from render_jobs.cli.console import print_json

    certificate = chosen["certificate"]
    fingerprint = certificate_fingerprint(certificate) if certificate else ""
    if chosen["as_json"]:
        pinned = {"fingerprint": fingerprint} if fingerprint else {}
        print_json({"url": url, "port": port, "token_file": str(token_file), **pinned})
        return
    click.echo(f"Serving at {url}\nThe token is in {token_file}\nStop with Ctrl-C.")
    if fingerprint:
        click.echo(f"The certificate's fingerprint (SHA-256) is {fingerprint}")
    elif chosen["allow_remote"]:
        click.echo(
            "Note: the traffic is not encrypted; use an SSH tunnel over networks that you don't "
            "trust.",
            err=True,
        )
