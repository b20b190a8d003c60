# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the neural engine's models in; their folders on this machine and their states out.

A model is a folder under the models folder: `ex-omni`, `glm-4-voice-decoder` and
`glm-4-voice-tokenizer`. This needs neither the network nor the packages that run a model.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.omni.weights.licence import EX_OMNI, Licence, authors_licence, find_consent
from exomni_core.omni.weights.receipts import check_files, files_in, read_receipt
from exomni_core.storage.foreign import load_json
from exomni_core.storage.places import user_place

MODELS_VARIABLE: Final = "EXOMNI_MODELS"
PARTIAL: Final = ".partial"  # in a model's folder: unfinished files, named after their hashes
TINY_KEY: Final = "exomni_tiny"  # true in the config.json of a model made for tests
_TEXTS: Final = ("LICEN[CS]E*", "Licen[cs]e*", "licen[cs]e*", "NOTICE*", "README.md")

ModelState = Literal["ready", "unverified", "incomplete", "absent"]


@dataclass(frozen=True)
class KnownModel:
    """A release that the engine uses.

    name: its folder. needed: patterns that must each match a file. wanted: patterns of what is
    downloaded, besides the licence. about_bytes: what that is, roughly.
    """

    name: str
    licence: Licence
    title: str
    needed: tuple[str, ...]
    wanted: tuple[str, ...]
    about_bytes: int

    @property
    def repo(self) -> str:
        """Its name on the hub."""
        return self.licence.repo

    def wants(self, file: str) -> bool:
        """Whether the file of that name is part of the download."""
        return any(fnmatchcase(file, pattern) for pattern in (*self.wanted, *_TEXTS))


KNOWN: Final = (
    KnownModel(
        name="ex-omni",
        licence=EX_OMNI,
        title="the model itself: words, speech units and face",
        needed=("config.json", "*.safetensors", "tokenizer*.json"),
        wanted=("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"),
        about_bytes=20_000_000_000,
    ),
    KnownModel(
        name="glm-4-voice-decoder",
        licence=authors_licence("THUDM/glm-4-voice-decoder"),
        title="speech units to sound",
        needed=("flow.pt", "hift.pt"),
        wanted=("flow.pt", "hift.pt", "config.yaml"),
        about_bytes=530_000_000,
    ),
    KnownModel(
        name="glm-4-voice-tokenizer",
        licence=authors_licence("THUDM/glm-4-voice-tokenizer"),
        title="recordings to speech units, to animate recordings",
        needed=("config.json", "*.safetensors"),
        wanted=("*.json", "*.safetensors"),
        about_bytes=1_500_000_000,
    ),
)


@dataclass(frozen=True)
class Found:
    """A known model on this machine, judged by names and sizes alone.

    ready: as its receipt says. unverified: what is needed is there, but there is no receipt.
    incomplete: something is missing or cut short; detail says what.
    """

    model: KnownModel
    folder: Path
    state: ModelState
    size: int = 0
    revision: str = ""
    detail: str = ""


def models_folder(environment: Mapping[str, str] = os.environ, system: str = sys.platform) -> Path:
    """The folder of the models: $EXOMNI_MODELS, else `exomni/models` in the user's data folder."""
    if chosen := environment.get(MODELS_VARIABLE):
        return Path(chosen).expanduser().absolute()
    return user_place("data", environment, system) / "models"


def known_model(name: str) -> KnownModel:
    """The model called `name` (`ex-omni`, or `Tencent/Ex-Omni` as on the hub); else InputError."""
    for model in KNOWN:
        if name.lower() in (model.name, model.repo.lower()):
            return model
    choice = ", ".join(model.name for model in KNOWN)
    raise InputError(f"there is no model {name!r}; the choice is {choice}", field="model")


def guess_model(folder: Path) -> KnownModel | None:
    """The model in a folder, recognised by its receipt or its files; None for an unknown one."""
    receipt = read_receipt(folder)
    for model in KNOWN:
        if receipt and receipt.repo == model.repo:
            return model
    if any((folder / name).is_file() for name in ("flow.pt", "hift.pt")):
        return known_model("glm-4-voice-decoder")
    config = _config(folder)
    if "quantize_vocab_size" in config:
        return known_model("glm-4-voice-tokenizer")
    return known_model("ex-omni") if "unit_vocab_size" in config else None


def look(model: KnownModel, models: Path) -> Found:
    """The state of `model` in the folder `models`; quick, because it computes no hashes."""
    folder = models / model.name
    files = files_in(folder)
    if not files:
        if (folder / PARTIAL).is_dir():
            return Found(model, folder, "incomplete", detail="its download was stopped")
        return Found(model, folder, "absent")
    size = sum(path.stat().st_size for path in files.values())
    try:
        receipt = read_receipt(folder)
    except InputError as error:
        return Found(model, folder, "incomplete", size, detail=str(error))
    revision = receipt.revision if receipt else ""
    bad = [one for one in check_files(folder, model.needed, hashes=False) if one.is_bad]
    if bad:
        detail = "; ".join(f"{one.name} {one.detail or 'is missing'}" for one in bad[:2])
        detail += f"; and {len(bad) - 2} more" if len(bad) > 2 else ""
        return Found(model, folder, "incomplete", size, revision, detail)
    return Found(model, folder, "ready" if receipt else "unverified", size, revision)


def locate(name: str, models: Path | None = None) -> Path:
    """The folder of a model that is here, judged as by `look`.

    Raises EnvironmentProblem, with the command that gets the model, if it is absent or incomplete.
    """
    found = look(known_model(name), models or models_folder())
    if found.state in ("ready", "unverified"):
        return found.folder
    missing = f" is incomplete in {found.folder} ({found.detail})"
    here = f" is not in {found.folder.parent}" if found.state == "absent" else missing
    raise EnvironmentProblem(f"{name}{here}; get it with: exorender models pull {found.model.name}")


def is_tiny(folder: Path) -> bool:
    """Whether the model in `folder` is one with random weights, made for tests."""
    return _config(folder).get(TINY_KEY) is True


def licence_provenance(folder: Path) -> dict[str, str]:
    """What every clip made with the Ex-Omni checkpoint in `folder` says about its weights.

    Consents are looked for beside the folder, then in the models folder. Never raises: without a
    readable record it says that there is none.
    """
    if is_tiny(folder):
        return {"weights": "tiny random"}
    facts = {"weights": EX_OMNI.repo, "weights_licence": EX_OMNI.short}
    try:
        receipt = read_receipt(folder)
        places = (folder.absolute().parent, models_folder())
        found = next(filter(None, (find_consent(EX_OMNI, place) for place in places)), None)
    except InputError:
        receipt = found = None
    if receipt:
        facts["weights_revision"] = receipt.revision
    return facts | {"weights_consent": found.date if found else "none recorded"}


def _config(folder: Path) -> dict[str, Any]:
    try:
        data = load_json(folder / "config.json")
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
