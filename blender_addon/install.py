# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder and what to install in, a Python environment for the neural engine out; knows no bpy.

One thread runs `venv`, then `pip` with pinned packages; lines of their output are kept for the
preferences and go into a log. What was half made is removed again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from exomni_core.errors import Cancelled, EnvironmentProblem, ExOmniError, InputError

NEEDED_BYTES: Final = 8 << 30  # torch with its CUDA libraries, and what pip unpacks meanwhile
_LINES: Final = 200
Command = Sequence[str]


def python_in(folder: Path) -> Path:
    """The interpreter of an environment."""
    inside = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    return folder.joinpath(*inside)


def commands(python: str, folder: Path, requirement: str, pins: Path) -> list[Command]:
    """What makes the environment.

    requirement: the product as pip takes it, a wheel or a folder. pins: the folder with the lists
    of all that it needs, with hashes, and with the install.py that obeys them.
    """
    install = [str(python_in(folder)), str(pins / "install.py"), "omni", "--project", requirement]
    return [[python, "-m", "venv", "--clear", str(folder)], install]


def check_place(folder: Path, needed: int = NEEDED_BYTES) -> None:
    """Raise before anything starts: InputError for a folder in use, EnvironmentProblem if full."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise InputError(f"{folder} holds other things; choose an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InputError(f"{folder} can't be written ({error.strerror}); choose another") from error
    if free < needed:
        raise EnvironmentProblem(
            f"the disk of {folder} has {free >> 30} GB free, and {needed >> 30} are needed; free "
            "some space or choose another disk"
        )


@dataclass
class Installer:
    """One installation at a time. state: '', `busy`, `done`, `failed` or `cancelled`.

    folder: of the environment that was made last, or is being made.
    """

    state: str = ""
    sentence: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))
    step: int = 0
    steps: int = 1
    folder: Path = Path()

    def __post_init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = threading.Event()

    @property
    def is_busy(self) -> bool:
        """Whether an installation runs."""
        return self.state == "busy"

    @property
    def progress(self) -> float:
        """The share that is done, roughly: pip tells no more than its lines."""
        within = min(0.95, len(self.lines) / _LINES)
        return (self.step + within) / max(1, self.steps) if self.is_busy else 0.0

    def begin(self, steps: Sequence[Command], folder: Path, log: Path) -> None:
        """Start to run `steps`; on failure or cancel `folder` is removed."""
        if self.is_busy:
            raise InputError("an installation is running already; wait for it or cancel it")
        self._cancelled.clear()
        self.state, self.sentence, self.step, self.steps = "busy", "", 0, len(steps)
        self.folder = folder
        self.lines.clear()
        self._thread = threading.Thread(
            target=self._work, args=(list(steps), folder, log), daemon=True, name="install engine"
        )
        self._thread.start()

    def cancel(self) -> None:
        """Stop it; what was made is removed."""
        self._cancelled.set()
        self._kill()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _work(self, steps: list[Command], folder: Path, log: Path) -> None:
        try:
            with open(log, "w", encoding="utf-8") as out:
                for number, command in enumerate(steps):
                    self.step = number
                    self._run(command, out)
            self.state, self.sentence = "done", f"the engine's environment is in {folder}"
        except Cancelled:
            self._undo(folder)
            self.state, self.sentence = "cancelled", "cancelled; nothing was installed"
        except (ExOmniError, OSError) as error:
            self._undo(folder)
            self.state, self.sentence = "failed", str(error)

    def _run(self, command: Command, out: TextIO) -> None:
        self._say(f"$ {' '.join(command)}", out)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            start_new_session=True,
        )
        if self._cancelled.is_set():  # just now
            self._kill()
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._say(line.rstrip(), out)
        code = self._process.wait()
        if self._cancelled.is_set():
            raise Cancelled("cancelled")
        if code:
            last = next((line for line in reversed(self.lines) if "ERROR" in line.upper()), "")
            raise EnvironmentProblem(f"the installation failed ({last or f'code {code}'})"[:300])

    def _say(self, line: str, out: TextIO) -> None:
        self.lines.append(line)
        out.write(line + "\n")
        out.flush()

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            with contextlib.suppress(OSError):
                if os.name == "posix":
                    os.killpg(process.pid, 9)  # pip and its helpers too
                else:
                    tree = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
                    subprocess.run(tree, capture_output=True, check=False)
                    process.kill()

    def _undo(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


installer: Final = Installer()
