# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's package in, an importable core out; imported before anything else of the add-on.

In the extension the core travels as a wheel, and Blender itself puts wheels on the path: changing
sys.path or bundling top-level modules would make Blender warn about the extension. In a checkout
the core lies beside the add-on.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

CORE: Final = ("exomni_core", "templates")
# What the engine's process imports: the core, and what helps it to speak and to listen.
_PACKAGES: Final = (
    *CORE, "numpy", "espeakng_loader", "pocketsphinx", "soundfile", "sounddevice",
    "_cffi_backend", "soxr",
)  # fmt: skip
_EXTENSION: Final = (__package__ or "").startswith("bl_ext.")


def drop_old_core() -> None:
    """Forget the modules of a core that an earlier version of this extension loaded."""
    for name in list(sys.modules):
        if name.partition(".")[0] in CORE:
            del sys.modules[name]


def check_core() -> None:
    """Raise ImportError, in one sentence for the user, if the core can't be found."""
    for name in CORE:
        if find_spec(name) is None:
            raise ImportError(
                f"Ex-Omni's own package {name} is missing: install the zip that 'exorender addon "
                "build' wrote (a zip of the source code lacks it), then restart Blender"
            )


def python_paths() -> tuple[Path, ...]:
    """Folders that the engine's process needs on its path, most important first, none twice.

    With those of packages that add engines, voices and the like.
    """
    found: dict[Path, None] = {}
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is not None and spec.origin:
            place = Path(spec.origin)
            found[place.parent.parent if spec.submodule_search_locations else place.parent] = None
    # Not at the top: an old core has to be dropped first.
    from exomni_core.registry import package_folders

    return tuple(dict.fromkeys((*found, *package_folders())))


def engine_wheel() -> Path | None:
    """The whole product as one wheel, to `pip install 'WHEEL[omni]'` into an environment.

    None in a checkout, where the project's own folder can be installed.
    """
    return next(iter(sorted((Path(__file__).parent / "engine").glob("*.whl"))), None)


if _EXTENSION:
    drop_old_core()
check_core()
