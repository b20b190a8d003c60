# SPDX-License-Identifier: GPL-3.0-or-later
"""A model and its folder in, the revision and the hashes that a pull must find out.

`releases.json` holds what this program knows of the published releases: null, or a revision and the
SHA-256 of each file. For a release that it doesn't know, the first pull decides: its receipt pins
what it got.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from exomni_core.errors import InputError
from exomni_core.omni.weights.receipts import read_receipt
from exomni_core.storage.foreign import load_json

RELEASES: Final = Path(__file__).with_name("releases.json")
_SCHEMA: Final = 1
_ACCEPT: Final = "ask its authors why, or take the newest with --accept-new if you trust it"
_REVISION: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

Source = Literal["program", "receipt"]


@dataclass(frozen=True)
class Pinned:
    """A revision of a release. files: name -> SHA-256. source: who pinned it."""

    repo: str
    revision: str
    files: Mapping[str, str]
    source: Source

    def check_listing(self, listed: Mapping[str, str | None]) -> None:
        """Compare with the hub's list, name -> SHA-256 or None if it tells none.

        Raises InputError for a file that came, went or changed.
        """
        for name in sorted(self.files.keys() | listed.keys()):
            if name not in listed:
                raise self._changed(f"{name} is gone")
            if name not in self.files:
                raise self._changed(f"{name} is new")
            if (sha256 := listed[name]) is not None:
                self.check_file(name, sha256)

    def check_file(self, name: str, sha256: str) -> None:
        """Raise InputError if the file's hash is another than the pinned one."""
        if self.files.get(name) != sha256:
            raise self._changed(f"{name} has another hash")

    def gone(self) -> InputError:
        """The error for a hub that has the revision no more."""
        return InputError(
            f"the hub has revision {self.revision[:12]} of {self.repo} no more, which "
            f"{self._who} pins; {_ACCEPT}"
        )

    def _changed(self, what: str) -> InputError:
        return InputError(
            f"revision {self.revision[:12]} of {self.repo} is not as {self._who} pins it: {what}; "
            f"{_ACCEPT}"
        )

    @property
    def _who(self) -> str:
        return "this program" if self.source == "program" else "the receipt of the first pull"


def pinned_for(repo: str, folder: Path) -> Pinned | None:
    """What this program pins, else what the receipt in `folder` does, else None.

    A receipt that can't be read pins nothing: the pull replaces it.
    """
    known = read_releases()[repo]
    if known is not None:
        return known
    try:
        receipt = read_receipt(folder)
    except InputError:
        return None
    if receipt is None or receipt.repo != repo:
        return None
    hashes = {name: sha256 for name, (_, sha256) in receipt.files.items()}
    return Pinned(repo, receipt.revision, hashes, "receipt")


def read_releases(path: Path = RELEASES) -> dict[str, Pinned | None]:
    """The releases by their names on the hub; None for one that isn't known.

    Raises InputError for a file with anything else in it than its format allows.
    """
    try:
        data = load_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read ({error}); install the program again") from error
    _expect(isinstance(data, dict) and data.keys() == {"schema", "releases"}, path, "its keys")
    _expect(data["schema"] == _SCHEMA, path, "its schema")
    _expect(isinstance(data["releases"], dict), path, "releases")
    return {repo: _release(repo, entry, path) for repo, entry in data["releases"].items()}


def _release(repo: str, entry: Any, path: Path) -> Pinned | None:
    if entry is None:
        return None
    _expect(isinstance(entry, dict) and entry.keys() == {"revision", "files"}, path, repo)
    revision, files = entry["revision"], entry["files"]
    _expect(_matches(_REVISION, revision), path, f"the revision of {repo}")
    _expect(isinstance(files, dict) and bool(files), path, f"the files of {repo}")
    for name, sha256 in files.items():
        _expect(_matches(_SHA256, sha256), path, f"the hash of {repo}/{name}")
    return Pinned(repo, revision, files, "program")


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _expect(condition: bool, path: Path, what: str) -> None:
    if not condition:
        raise InputError(f"{path} is wrong at {what}; install the program again")
