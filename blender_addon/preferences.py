# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences in, which process makes the clips and where clips are kept out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from exomni_core.errors import InputError
from exomni_core.http.proof import is_loopback

from .declare import AddonPreferences, fields
from .install import installer

PLACES: Final = (
    ("blender", "This Blender's Python", "No setup: a small process beside Blender"),
    ("environment", "An environment", "A Python environment of yours, such as one with omni"),
    ("remote", "Another machine", "A workstation that runs exorender serve"),
)
STORAGES: Final = (
    ("packed", "In the .blend", "Clips and sounds are stored inside the .blend"),
    (
        "beside",
        "Beside the .blend",
        "Clips and sounds are stored in the folder exomni beside the .blend",
    ),
)


@dataclass(frozen=True)
class Place:
    """Where clips are made: kind is one of PLACES; what else counts depends on it.

    python: the interpreter of an environment. address, port, token: a remote service; fingerprint
    is that of its certificate, allow_plain the user's consent to go without.
    """

    kind: str = "blender"
    python: Path | None = None
    address: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    fingerprint: str = ""
    allow_plain: bool = False

    @property
    def is_local(self) -> bool:
        """Whether the service can read this machine's files."""
        return self.kind != "remote"


@fields(
    place=EnumProperty(
        name="Clips are made by", description="Which process makes the clips", items=PLACES
    ),
    python=StringProperty(
        name="Python",
        description="The environment's python program, or its folder",
        subtype="FILE_PATH",
    ),
    address=StringProperty(
        name="Address", description="Host name or number of the machine", default="127.0.0.1"
    ),
    port=IntProperty(
        name="Port", description="The port it listens on", default=7767, min=1, max=65535
    ),
    token=StringProperty(
        name="Token",
        description="The token that exorender serve printed; stored in your preferences",
        subtype="PASSWORD",
    ),
    fingerprint=StringProperty(
        name="Fingerprint",
        description="SHA-256 of its certificate, as exorender serve prints it; encrypts everything",
    ),
    allow_plain=BoolProperty(
        name="Allow an unencrypted connection",
        description="Without a fingerprint, others in the network can read and change your texts, "
        "recordings and clips; the token itself is never sent",
    ),
    storage=EnumProperty(
        name="Takes are kept", description="Where clips and sounds are kept", items=STORAGES
    ),
    idle_minutes=IntProperty(
        name="Stop when idle",
        description="Minutes without work after which the process ends",
        default=20,
        min=1,
        max=1440,
    ),
)
class Preferences(AddonPreferences):
    """Shown in Blender's preferences under the add-on's name."""

    bl_idname = __package__

    def draw(self, _: Any) -> None:
        """Lay the preferences out."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "place")
        if self.place == "environment":
            layout.prop(self, "python")
        elif self.place == "remote":
            for name in ("address", "port", "token", "fingerprint"):
                layout.prop(self, name)
            if not self.fingerprint:
                layout.prop(self, "allow_plain")
                layout.label(text="Texts, recordings and clips are sent unprotected", icon="ERROR")
        if self.place != "remote":
            layout.prop(self, "idle_minutes")
        layout.prop(self, "storage")
        if installer.is_busy:
            row = layout.row(align=True)
            row.progress(factor=installer.progress, text=(installer.lines or [""])[-1][:80])
            row.operator("exomni.cancel_install", text="", icon="X")
        elif self.place == "environment":
            layout.operator("exomni.install_engine", icon="IMPORT")


CLASSES: Final = (Preferences,)


class _Defaults:
    """Stands in for the preferences where the add-on runs without being installed (tests)."""

    place, python, address, port, token = "blender", "", "127.0.0.1", 7767, ""
    storage, idle_minutes = "packed", 20
    fingerprint, allow_plain = "", False


def preferences() -> Any:
    """The add-on's preferences."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon and addon.preferences else _Defaults


def engine_folder() -> Path:
    """Where the neural engine's environment goes if the user names no folder."""
    package = __package__ or ""
    if package.startswith("bl_ext."):
        return Path(bpy.utils.extension_path_user(package, path="engine"))
    return Path(bpy.utils.user_resource("DATAFILES", path="exomni-engine"))


def chosen_place() -> Place:
    """Where clips are made, checked; InputError says what to set."""
    wish = preferences()
    if wish.place == "environment":
        return Place("environment", python=_interpreter(wish.python))
    if wish.place == "remote":
        _check_remote(wish)
        return Place(
            "remote",
            address=wish.address,
            port=wish.port,
            token=wish.token,
            fingerprint=wish.fingerprint,
            allow_plain=wish.allow_plain,
        )
    return Place("blender")


def _interpreter(text: str) -> Path:
    path = Path(bpy.path.abspath(text))
    if text and path.is_dir():
        inside = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
        path = path / inside
    if not text or not path.is_file():
        raise InputError(
            f"there is no Python at {str(path)!r}; set the environment in the add-on's preferences"
        )
    return path


def _check_remote(wish: Any) -> None:
    if not wish.token:
        raise InputError("the token is empty; set it in the add-on's preferences")
    loopback = is_loopback(wish.address)
    if not loopback and not bpy.app.online_access:
        raise InputError(
            "Blender is offline; allow online access in its preferences (System, Network) to use "
            "another machine"
        )
    if not (loopback or wish.fingerprint or wish.allow_plain):
        raise InputError(
            "texts, recordings and clips would go to another machine unencrypted; set its "
            "certificate's fingerprint in the add-on's preferences, or allow that there"
        )
