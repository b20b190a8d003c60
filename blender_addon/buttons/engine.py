# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons in, an engine out: its environment is installed, a line recorded with its microphone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import bpy
from bpy.props import StringProperty

from exomni_core.errors import EnvironmentProblem, ExOmniError

from .. import _vendor, install, preferences
from ..declare import Explained, Operator, fields, tr
from ..install import installer
from ..session import Request, session
from .generate import busy_reason, fail, log_path, redraw

_WATCH_S: Final = 0.25


def engine_folder() -> Path:
    """Where the neural engine's environment goes if the user names no folder."""
    package = __package__ or ""
    if package.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(package, path="engine"))
    return Path(bpy.utils.user_resource("DATAFILES", path="exomni-engine"))


def requirement() -> str:
    """What pip installs: the wheel that travels in the extension, or this checkout."""
    wheel = _vendor.engine_wheel()
    source = wheel if wheel is not None else Path(_vendor.__file__).parents[1]
    return f"{source}[omni]"


@fields(
    folder=StringProperty(
        name="Folder",
        description="Where it is installed; empty is a folder of the add-on",
        subtype="DIR_PATH",
    ),
)
class InstallEngine(Explained, Operator):
    """Make a Python environment for the neural engine."""

    bl_idname = "exomni.install_engine"
    bl_label = "Install omni engine"
    bl_description = "Make a Python environment for the neural engine (several GB, from PyPI)"

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """It runs already, or Blender is offline."""
        if installer.is_busy:
            return "The installation is running"
        if not bpy.app.online_access:
            return "Blender is offline; allow online access in its preferences"
        return busy_reason()

    def execute(self, _: Any) -> set[str]:
        """Blocking form, for scripts."""
        try:
            self._begin()
            installer.wait()
            if installer.state != "done":
                raise EnvironmentProblem(installer.sentence)
        except ExOmniError as error:
            return fail(self, error)
        _installed()
        return {"FINISHED"}

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Returns at once; the preferences and the panel show how it goes."""
        if bpy.app.background:
            return self.execute(context)
        try:
            self._begin()
        except ExOmniError as error:
            return fail(self, error)
        _watch()
        return {"FINISHED"}

    def _begin(self) -> None:
        from exomni_core.server.launch import own_python

        folder = Path(bpy.path.abspath(self.folder)) if self.folder else engine_folder()
        install.check_place(folder)
        steps = install.commands(own_python(), folder, requirement())
        self.__class__.made = folder
        installer.begin(steps, folder, log_path().with_name("exomni-install.log"))

    made = Path()


def _installed() -> None:
    """Use the new environment from now on."""
    wish = preferences.preferences()
    wish.place, wish.python = "environment", str(InstallEngine.made)
    session.say(tr("The omni engine is installed"))


class CancelInstall(Explained, Operator):
    """Stop the installation."""

    bl_idname = "exomni.cancel_install"
    bl_label = "Cancel installation"
    bl_description = "Stop the installation; what was made so far is removed"

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """Nothing is being installed."""
        return "" if installer.is_busy else "Nothing is being installed"

    def execute(self, _: Any) -> set[str]:
        """Stop it."""
        installer.cancel()
        return {"FINISHED"}


class Record(Explained, Operator):
    """Start and stop recording."""

    bl_idname = "exomni.record"
    bl_label = "Record"
    bl_description = "Record a line with this machine's microphone; press again to stop"

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """A clip is being made, or the engine is just about to start or to stop recording."""
        if session.recording in ("starting", "saving"):
            return "Wait a moment: the microphone is being switched"
        return busy_reason()

    def execute(self, _: Any) -> set[str]:
        """Switch it; the engine's process records, so this returns at once."""
        try:
            place = preferences.chosen_place()
            session.switch_recording(Request(place, {}, log=log_path()))
        except ExOmniError as error:
            return fail(self, error)
        if not bpy.app.background:
            _watch()
        return {"FINISHED"}


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


CLASSES: Final = (InstallEngine, CancelInstall, Record)
