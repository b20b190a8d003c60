# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python in, an engine process out that is a child of this program and dies with it.

The token goes through the child's stdin: a command line or an environment could be read by others.
That pipe is also what ties it to us: however we end, it closes, and the child ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import exomni_core
from exomni_core.errors import EnvironmentProblem, ExOmniError, WorkerError
from exomni_core.processes.guard import dismiss, start_guard
from exomni_core.server.client import ServiceClient
from exomni_core.server.protocol import new_token
from exomni_core.server.transport import Address

READY_S: Final = 30.0
_END_S: Final = 5.0
_GRACE_S: Final = 5  # for its own end, after ours
_MAX_LOG_BYTES: Final = 4 << 20  # a longer log starts anew
# What a Blender, or whoever started it, may have set for its own Python.
_STRANGE_VARIABLES: Final = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONINSPECT")


@dataclass(eq=False)
class Service:
    """A running engine process of ours. log: what it wrote, for a report."""

    address: Address
    token: str = field(repr=False)
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def client(self, timeout_s: float = 5.0) -> ServiceClient:
        """A client of it."""
        return ServiceClient(self.address, self.token, timeout_s)

    def stop(self, wait_s: float = _END_S) -> None:
        """End it, politely, then by force; waits until it is gone and its helpers are killed."""
        end_process(self.process, wait_s)


def start_service(
    python: Path | str | None = None,
    *,
    engine_options: Mapping[str, Mapping[str, Any]] | None = None,
    idle_exit_s: float | None = None,
    idle_unload_s: float | None = 600.0,
    log: Path | None,
    extra_paths: Sequence[Path | str] = (),
    own_code: bool | None = None,
    ready_s: float = READY_S,
) -> Service:
    """Start an engine process and wait until it takes requests.

    python: the interpreter; None is this program's own. engine_options: such as
    {NAME: {"model": ...}}. log: None keeps none. own_code: run the exomni_core that is running
    here (default: with our own Python), with packages from `extra_paths`, rather than what is
    installed there. Raises EnvironmentProblem if it can't run there, WorkerError else.
    """
    log = log or Path(os.devnull)
    program = str(python) if python is not None else own_python()
    if own_code is None:
        own_code = python is None
    token = new_token()
    options = {
        "engine_options": {name: dict(given) for name, given in (engine_options or {}).items()},
        "idle_exit_s": idle_exit_s,
        "idle_unload_s": idle_unload_s,
    }
    environment = _environment(extra_paths, own_code=own_code, own_python=python is None)
    with _open_log(log) as output:
        process = _spawn(program, environment, output)
    # One that is stopped can't see that its input has ended.
    guard = start_guard(f"-{process.pid}", _GRACE_S)
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died; the log tells why
            process.stdin.write(f"{token}\n{json.dumps(options)}\n".encode())
            process.stdin.flush()
        port = _wait_for_port(process, program, log, ready_s)
    except BaseException:
        end_process(process, 0.0)
        dismiss(guard)
        raise
    _tidy_up_after(process, guard)
    return Service(("127.0.0.1", port), token, process, log)


def begin_service(python: Path | str | None = None, **options: Any) -> Future[Service]:
    """`start_service` in a thread: returns at once; poll the future with `done()`."""
    future: Future[Service] = Future()

    def run() -> None:
        try:
            future.set_result(start_service(python, **options))
        except ExOmniError as error:
            future.set_exception(error)
        except Exception as error:  # noqa: BLE001 (whoever polls must hear of it)
            future.set_exception(WorkerError(f"the engine process can't be started ({error})"))

    threading.Thread(target=run, daemon=True, name="start engine").start()
    return future


def own_python() -> str:
    """The interpreter to run programs with, from inside one; EnvironmentProblem if there is none.

    In some programs that embed Python, sys.executable is the program.
    """
    if "python" in Path(sys.executable or "").name.lower():
        return sys.executable
    for folder in (Path(sys.prefix) / "bin", Path(sys.prefix)):
        for found in sorted(folder.glob("python*")):
            if found.is_file() and os.access(found, os.X_OK) and "config" not in found.name:
                return str(found)
    raise EnvironmentProblem(
        "this program's Python can't be found; choose a Python for the engine in the preferences"
    )


def end_process(process: subprocess.Popen[bytes], wait_s: float) -> None:
    """Close its stdin and wait; then kill it and whatever it started."""
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait_s)
    if process.poll() is None:
        process.kill()
    process.wait()
    kill_group(process.pid)
    if process.stdout is not None:
        process.stdout.close()


def kill_group(group: int) -> None:
    """Kill the helpers that a dead engine process left; it led a group of its own."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _tidy_up_after(process: subprocess.Popen[bytes], guard: subprocess.Popen[bytes] | None) -> None:
    """Kill the helpers as soon as the process is dead, should somebody kill it."""

    def wait() -> None:
        process.wait()
        kill_group(process.pid)
        dismiss(guard)

    threading.Thread(target=wait, daemon=True, name="engine's end").start()


def _spawn(program: str, environment: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    windows: dict[str, Any] = {}
    if sys.platform == "win32":
        windows["creationflags"] = subprocess.CREATE_NO_WINDOW
    try:
        return subprocess.Popen(
            [program, "-m", "exomni_core.server.app"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the program that started it
            **windows,
        )
    except OSError as error:
        raise EnvironmentProblem(
            f"the Python {program} can't be started ({error.strerror}); choose another"
        ) from error


def _environment(
    extra_paths: Sequence[Path | str], *, own_code: bool, own_python: bool
) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if k not in _STRANGE_VARIABLES}
    if own_code:  # another Python has packages of its own, which ours would hide
        here = Path(exomni_core.__file__).absolute().parents[1]
        environment["PYTHONPATH"] = os.pathsep.join(str(path) for path in (here, *extra_paths))
    if own_python:
        environment["PYTHONNOUSERSITE"] = "1"  # packages there may be for another Python
    environment["PYTHONSAFEPATH"] = "1"  # nothing is imported from where we happen to be
    environment["PYTHONUTF8"] = "1"
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve the window
    return environment


def _open_log(log: Path) -> IO[bytes]:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        long = log.exists() and log.stat().st_size > _MAX_LOG_BYTES
        return open(log, "wb" if long else "ab")
    except OSError as error:
        raise EnvironmentProblem(
            f"the log {log} can't be written ({error.strerror}); choose another place"
        ) from error


def _wait_for_port(
    process: subprocess.Popen[bytes], program: str, log: Path, ready_s: float
) -> int:
    answer: list[bytes] = []
    assert process.stdout is not None
    lines = process.stdout

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):
            answer.append(lines.readline(1 << 16))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(ready_s)
    if not answer:
        raise WorkerError(
            f"the engine process did not become ready within {ready_s:.0f} s; its log is {log}"
        )
    try:
        said = json.loads(answer[0])
        if "error" in said:
            raise EnvironmentProblem(str(said["error"]))
        return int(said["port"])
    except (ValueError, TypeError, KeyError) as error:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        last = _tail(log, 1) or "without a word"
        raise EnvironmentProblem(
            f"the engine can't run with {program} ({last}); choose another Python, or see {log}"
        ) from error


def _tail(log: Path, lines: int) -> str:
    try:
        with open(log, "rb") as source:
            source.seek(max(0, log.stat().st_size - (1 << 16)))
            text = source.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])
