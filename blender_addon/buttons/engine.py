# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons in, the engine's process and environment out: install, record, stop, report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import bpy
from bpy.props import StringProperty

from exomni_core.errors import EnvironmentProblem, ExOmniError
from exomni_core.server.launch import own_python

from .. import _vendor, install, preferences
from ..declare import Operator, tr
from ..install import installer
from ..service import Request, log_path
from ..session import session
from .base import Button, busy_reason, button
from .redraw import redraw

_WATCH_S: Final = 0.25


def product() -> tuple[str, Path]:
    """What pip installs, and the folder of what is pinned for it.

    Both are part of the extension; without it, they are those of this checkout.
    """
    wheel = _vendor.engine_wheel()
    if wheel is not None:
        return str(wheel), wheel.parent
    checkout = Path(_vendor.__file__).parents[1]
    return str(checkout), checkout / "requirements"


@button(
    "install_engine",
    "Install omni engine",
    undo=False,
    folder=StringProperty(
        name="Folder",
        description="Where it is installed; empty is a folder of the add-on",
        subtype="DIR_PATH",
    ),
)
class InstallEngine(Button, Operator):
    """Make a Python environment for the neural engine (several GB, from PyPI)."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """It runs already, or Blender is offline."""
        if installer.is_busy:
            return "The installation is running"
        if not bpy.app.online_access:
            return "Blender is offline; allow online access in its preferences"
        return busy_reason()

    def work(self, _context: Any) -> None:
        """Blocking form, for scripts."""
        self._begin()
        installer.wait()
        if installer.state != "done":
            raise EnvironmentProblem(installer.sentence)
        _installed()

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Returns at once; the preferences and the panel show how it goes."""
        if bpy.app.background:
            return self.execute(context)
        try:
            self._begin()
        except ExOmniError as error:
            return self.failed(error)
        _watch()
        return {"FINISHED"}

    def _begin(self) -> None:
        folder = Path(bpy.path.abspath(self.folder)) if self.folder else preferences.engine_folder()
        install.check_place(folder)
        steps = install.commands(own_python(), folder, *product())
        installer.begin(steps, folder, log_path().with_name("exomni-install.log"))


def _installed() -> None:
    """Use the new environment from now on."""
    wish = preferences.preferences()
    wish.place, wish.python = "environment", str(installer.folder)
    session.say(tr("The omni engine is installed"))


@button("cancel_install", "Cancel installation", undo=False)
class CancelInstall(Button, Operator):
    """Stop the installation; what was made so far is removed."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """Nothing is being installed."""
        return "" if installer.is_busy else "Nothing is being installed"

    def work(self, _context: Any) -> None:
        """Stop it."""
        installer.cancel()


@button("record", "Record", undo=False)
class Record(Button, Operator):
    """Record a line with this machine's microphone; press again to stop."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """A clip is being made, or the engine is just about to start or to stop recording."""
        if session.recording in ("starting", "saving"):
            return "Wait a moment: the microphone is being switched"
        return busy_reason()

    def work(self, _context: Any) -> None:
        """Switch it; the engine's process records, so this returns at once."""
        session.switch_recording(Request(preferences.chosen_place(), {}))
        if not bpy.app.background:
            _watch()


@button("stop_engine", "Stop engine", undo=False)
class StopEngine(Button, Operator):
    """End the engine's process and free its memory; it starts again when needed."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """It isn't running, or it is at work."""
        return busy_reason() or ("" if session.is_running else "The engine isn't running")

    def work(self, _context: Any) -> None:
        """End it."""
        session.close()
        session.say(tr("The engine is stopped"))


@button("copy_report", "Copy report", undo=False)
class CopyReport(Button, Operator):
    """Copy versions, recent events and the engine's log for a bug report."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """It can always be copied."""
        return ""

    def work(self, context: Any) -> None:
        """Fill the clipboard."""
        context.window_manager.clipboard = session.report(bpy.app.version_string)
        self.report({"INFO"}, tr("The report is on the clipboard"))


def _watch() -> None:
    if not bpy.app.timers.is_registered(_show_progress):
        bpy.app.timers.register(_show_progress, first_interval=_WATCH_S)


def _show_progress() -> float | None:
    """Draw again while something goes on in a thread; then tell how it ended."""
    redraw(bpy.context)
    if installer.is_busy or session.recording:
        return _WATCH_S
    if installer.state == "done":
        _installed()
    elif installer.state == "failed":
        session.fail(installer.sentence, "\n".join(installer.lines))
    installer.state = ""
    return None


def stop() -> None:
    """The add-on is switched off: nothing goes on."""
    installer.cancel()
    if bpy.app.timers.is_registered(_show_progress):
        bpy.app.timers.unregister(_show_progress)


CLASSES: Final = (InstallEngine, CancelInstall, Record, StopEngine, CopyReport)
