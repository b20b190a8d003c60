# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment in, the folders out where this user's own files lie on this system."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

_FOLDER: Final = "exomni"
# Linux has a folder for each kind (XDG Base Directory specification); elsewhere one is for both.
_XDG: Final = {
    "data": ("XDG_DATA_HOME", (".local", "share")),
    "state": ("XDG_STATE_HOME", (".local", "state")),
}


def user_place(
    kind: Literal["data", "state"],
    environment: Mapping[str, str] = os.environ,
    system: str = sys.platform,
) -> Path:
    """Our folder of that kind; it may not exist yet."""
    home = Path.home()
    if system == "win32":
        parent = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif system == "darwin":
        parent = home / "Library" / "Application Support"
    else:
        variable, usual = _XDG[kind]
        parent = Path(environment.get(variable) or home.joinpath(*usual))
    return parent / _FOLDER
