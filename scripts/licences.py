# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins and what their packages say of themselves in, docs/licences.md out.

    python scripts/licences.py

A package that isn't installed here at its pinned version keeps the licence that the document gives
it for that version; else pip asks its index for it, without a download (pip 25 or newer).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from exomni_core.omni.weights.store import KNOWN
from render_jobs.addon_kit.wheels import SHIPPED, Pin, read_lock

REPO = Path(__file__).resolve().parents[1]
DOCUMENT = REPO / "docs" / "licences.md"
OURS = "GPL-3.0-or-later"
UNKNOWN = "not stated"
_SPDX = {
    "Apache 2.0": "Apache-2.0", "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause", "ISC License (ISCL)": "ISC", "ISC License": "ISC",
    "MIT License": "MIT", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}  # fmt: skip
_ROW = re.compile(r"\| `(?P<name>[^`]+)` \| (?P<version>\S+) \| (?P<licence>[^|]+) \|.*")
_LONGEST = 150  # more is no name of a licence, but its text
Ask = Callable[[list[Pin]], Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Part:
    """Something with a licence that a wheel holds besides its Python package."""

    name: str
    licence: str


@dataclass(frozen=True)
class Package:
    """A pinned package. group: the file that pins it. licence: an SPDX expression, or words."""

    pin: Pin
    group: str
    licence: str
    holds: tuple[Part, ...]


def packages(ask: Ask) -> list[Package]:
    """All pinned packages by name; `ask` tells the metadata of those that nothing here does."""
    facts = tomllib.loads((REPO / "requirements" / "licences.toml").read_text(encoding="utf-8"))
    pins = [
        (pin, path.stem)
        for path in sorted((REPO / "requirements").glob("*.txt"))
        for pin in read_lock(path)
    ]
    known = {(row["name"], row["version"]): row["licence"] for row in document_rows()}
    found = {
        (pin.package, pin.version): facts["licence"].get(pin.package)
        or installed_licence(pin)
        or known.get((pin.package, pin.version))
        for pin, _ in pins
    }
    missing = [pin for pin, _ in pins if found[pin.package, pin.version] is None]
    told = ask(missing) if missing else {}
    for pin in missing:
        if pin.package not in told:
            raise SystemExit(f"the index tells nothing of {pin.package} {pin.version}")
        found[pin.package, pin.version] = stated(told[pin.package])
    parts: dict[str, list[Part]] = {}
    for part in facts["holds"]:
        parts.setdefault(part["package"], []).append(Part(part["name"], part["licence"]))
    rows = [
        Package(pin, group, str(found[pin.package, pin.version]), tuple(parts.get(pin.package, ())))
        for pin, group in pins
    ]
    return sorted(rows, key=lambda row: (row.pin.package, row.pin.version))


def installed_licence(pin: Pin) -> str | None:
    """What the package says of itself if it is installed here at its pinned version."""
    try:
        if version(pin.package) != pin.version:
            return None
        return stated(metadata(pin.package).json)
    except PackageNotFoundError:
        return None


def stated(about: Mapping[str, Any]) -> str:
    """The licence in a package's metadata: an SPDX expression, else its words, else UNKNOWN."""
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in about.get("classifier", ())
        if text.startswith("License ::")
    ]
    texts = [about.get("license_expression"), about.get("license"), *classifiers]
    texts = [text for text in texts if text and "\n" not in text and len(text) < _LONGEST]
    expressions = [expression for text in texts if (expression := as_spdx(_SPDX.get(text, text)))]
    return next(iter([*expressions, *texts]), UNKNOWN)


def as_spdx(text: str) -> str | None:
    """The text as an SPDX expression, None if it is none."""
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return None


def ask_index(pins: list[Pin]) -> dict[str, Mapping[str, Any]]:
    """The metadata of packages by name, from the index that pip is set to."""
    if int(version("pip").partition(".")[0]) < 25:  # leaves licence expressions out
        raise SystemExit("asking the index needs a newer pip; run: pip install -U pip")
    told: dict[str, Mapping[str, Any]] = {}
    for python in ("3.11", "3.13"):  # some have wheels for one of them only
        for pin in [pin for pin in pins if pin.package not in told]:
            command = [
                sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps",
                "--ignore-installed", "--only-binary", ":all:", "--python-version", python,
                "--target", "unused", "--report", "-", f"{pin.package}=={pin.version}",
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                (entry,) = json.loads(done.stdout)["install"]
                told[pin.package] = entry["metadata"]
    return told


def document_rows() -> list[dict[str, str]]:
    """Name, version and licence of each package in the document."""
    if not DOCUMENT.exists():
        return []
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    return [match.groupdict() for line in lines if (match := _ROW.fullmatch(line))]


def heads() -> list[dict[str, Any]]:
    """The descriptors of the heads in this project."""
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((REPO / "templates").glob("*/template.json"))
    ]


def document(rows: Iterable[Package]) -> str:
    """The text of docs/licences.md."""
    table = "\n".join(
        f"| `{row.pin.package}` | {row.pin.version} | {row.licence} | {row.group} | "
        + "; ".join(f"{part.name}: {part.licence}" for part in row.holds)
        + " |"
        for row in rows
    )
    shapes = "\n".join(
        f"| {head['title']} | {head['licence']} | {head['source']} |" for head in heads()
    )
    shipped = ", ".join(f"`{name}`" for name in SHIPPED)
    weights = "\n".join(f"| `{model.repo}` | {model.licence.short} |" for model in KNOWN)
    return f"""# Licences

This project is {OURS}, like Blender and espeak-ng. What it stands on comes under the licences
below. `python scripts/licences.py` writes this list from `requirements/`, and `scripts/sbom.py` the
same as a bill of materials (CycloneDX JSON):

```
python scripts/sbom.py exomni.cdx.json                        # what our commands install
python scripts/sbom.py addon.cdx.json --addon dist/THE.zip    # what is in the extension
```

## Packages

The file of `requirements/` says who needs a package: `base` everybody, `render` and `study` the
quickstart, `omni` and `torch` the neural engine, `eval` the scores of speech, `dev` the tests.
Licences are what each package states; the last column is what its wheels hold besides.
"{UNKNOWN}" means that the package states none. NVIDIA's libraries, which PyTorch brings on Linux,
are proprietary: `torch-cpu` does without them.

| package | version | licence | file | holds |
|---|---|---|---|---|
{table}

The extension for Blender ships {shipped}.
Not in this list: Python, pip, Debian's packages and graphics drivers.

## Heads

A head whose source is not this project is described here, but not shipped.

| head | licence | source |
|---|---|---|
{shapes}

## Weights

Not shipped; `exorender models pull` downloads them after you accept what needs accepting.

| release | licence |
|---|---|
{weights}
"""


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document(packages(ask_index)), encoding="utf-8")


if __name__ == "__main__":
    main()
