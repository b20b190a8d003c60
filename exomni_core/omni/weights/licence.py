# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's name in -> what its licence says in short, and whether the user agreed to it.

Our own licence covers only our code. The weights have their authors' licence. The user's consent is
recorded once, and each clip made with the weights carries a note of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.files import write_text
from exomni_core.storage.foreign import load_json

CONSENTS: Final = "consents.json"
_SCHEMA: Final = 1
_FILE_NAMES: Final = ("licen[cs]e*", "notice*")


@dataclass(frozen=True)
class Licence:
    """What a release's licence says. short: for a clip's provenance. points: whole sentences."""

    repo: str
    short: str
    points: tuple[str, ...]
    needs_consent: bool

    @property
    def page(self) -> str:
        """Where the whole text is."""
        return f"https://huggingface.co/{self.repo}"

    @property
    def summary_sha256(self) -> str:
        """Changes when what the user agreed to does."""
        return hashlib.sha256("\n".join(self.points).encode()).hexdigest()


@dataclass(frozen=True)
class Consent:
    """The user's consent: to which summary, when (UTC, ISO 8601) and how."""

    summary_sha256: str
    date: str
    how: str


_AUTHORS: Final = (
    "The weights have their authors' licence, independent of the licence of this program."
)
EX_OMNI: Final = Licence(
    repo="Tencent/Ex-Omni",
    short="academic use only; no commercial or production use; not for use in the EU",
    points=(
        "Code and weights of the release are licensed for academic use only.",
        "They may not be used for commercial or production purposes.",
        "They are not intended for use within the European Union.",
        _AUTHORS,
        "Every clip made with them carries a note of this licence.",
    ),
    needs_consent=True,
)


def authors_licence(repo: str) -> Licence:
    """For a release whose licence we only link to."""
    return Licence(repo, "their authors' licence", (_AUTHORS,), needs_consent=False)


def record_consent(licence: Licence, models: Path, how: str) -> Consent:
    """Record in the `models` folder that the user agrees now; raises InputError."""
    consent = Consent(licence.summary_sha256, utc_now(), how)
    known = _read(models / CONSENTS)
    known[licence.repo] = asdict(consent)
    text = json.dumps({"schema": _SCHEMA, "consents": known}, indent=2, ensure_ascii=False)
    write_text(models / CONSENTS, text + "\n")
    return consent


def find_consent(licence: Licence, models: Path) -> Consent | None:
    """What was recorded, if the user agreed to the licence as we summarise it today."""
    found = _read(models / CONSENTS).get(licence.repo)
    try:
        consent = Consent(**found) if found else None
    except TypeError as error:
        raise _damaged(models / CONSENTS) from error
    return consent if consent and consent.summary_sha256 == licence.summary_sha256 else None


def require_consent(licence: Licence, models: Path) -> Consent | None:
    """The consent to `licence`; None if it asks for none. InputError if there is none on record."""
    if not licence.needs_consent:
        return None
    consent = find_consent(licence, models)
    if consent is None:
        raise InputError(
            f"the licence of {licence.repo} must be accepted first: read it with "
            "'exorender models licence', then pull with --accept-licence"
        )
    return consent


def licence_file(folder: Path) -> Path | None:
    """The licence's text in a model's folder, if it is there."""
    if not folder.is_dir():
        return None
    names = {path: path.name.lower() for path in sorted(folder.iterdir()) if path.is_file()}
    for pattern in _FILE_NAMES:
        for path, name in names.items():
            if Path(name).match(pattern):
                return path
    return None


def utc_now() -> str:
    """The time to the second, in UTC, as ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        consents = load_json(path)["consents"]
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); make it readable") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not isinstance(consents, dict):
        raise _damaged(path)
    return consents


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged; delete it and accept the licence again")
