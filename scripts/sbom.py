# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins, licences and data, or an extension's zip, in; a bill of materials out (CycloneDX 1.6 JSON).

    python scripts/sbom.py exomni.cdx.json                        # what our commands install
    python scripts/sbom.py addon.cdx.json --addon dist/THE.zip    # what is in the extension

The same sources give the same bytes: it bears no date and no serial number. Which package needs
which is told as far as the packages are installed here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from licences import OURS, REPO, UNKNOWN, Package, as_spdx, ask_index, heads, packages
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from exomni_core import __version__
from exomni_core.omni.weights.releases import read_releases
from exomni_core.omni.weights.store import KNOWN

Json = dict[str, Any]
_OPTIONAL = ("eval", "omni", "torch", "torch-cpu")
_DATA = ("exomni_core/phonetics/*.csv", "templates/**/*.json", "examples/**/*.*")


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Write a bill of materials (CycloneDX JSON).")
    parser.add_argument("output", type=Path)
    parser.add_argument("--addon", type=Path, metavar="ZIP", help="an extension that was built")
    chosen = parser.parse_args()
    known = packages(ask_index)
    bom = bom_of_zip(chosen.addon, known) if chosen.addon else bom_of_install(known)
    text = json.dumps(bom, indent=2, ensure_ascii=False) + "\n"
    chosen.output.write_text(text, encoding="utf-8")


def bom_of_install(known: Sequence[Package]) -> Json:
    """What scripts/setup.sh and the add-on's engine install, our data, and weights to download."""
    parts = [library(package) for package in known]
    parts += [data_file(path) for pattern in _DATA for path in sorted(REPO.glob(pattern))]
    parts += [head(one) for one in heads()]
    parts += weights()
    return bom("exomni-blender", "application", parts, dependencies(known))


def bom_of_zip(addon: Path, known: Sequence[Package]) -> Json:
    """The wheels and the other files that a built extension holds, each with its own hash."""
    shipped = {}
    for package in known:
        if package.group == "base":
            shipped[package.pin.package, package.pin.version] = package
    parts = []
    with zipfile.ZipFile(addon) as archive:
        for name in sorted(archive.namelist()):
            digest = hashlib.sha256(archive.read(name)).hexdigest()
            parts.append(zipped(name, digest, shipped))
    return bom(addon.stem, "application", parts, [])


def bom(name: str, kind: str, parts: Sequence[Json], edges: Sequence[Json]) -> Json:
    """The whole document; `edges` are its dependencies."""
    root = {
        "type": kind,
        "bom-ref": name,
        "name": name,
        "version": __version__,
        "licenses": licences(OURS),
    }
    document: Json = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    document |= {"metadata": {"component": root}, "components": list(parts)}
    if edges:
        document["dependencies"] = list(edges)
        document["compositions"] = [{"aggregate": "incomplete", "dependencies": [name]}]
    return document


def library(package: Package) -> Json:
    """A pinned package with the hashes of all its wheels, and what these hold."""
    pin = package.pin
    place = f"pkg:pypi/{pin.package}@{pin.version.replace('+', '%2B')}"
    scope = (
        "excluded"
        if package.group == "dev"
        else ("optional" if package.group in _OPTIONAL else "required")
    )
    part: Json = {"type": "library", "bom-ref": place, "name": pin.package, "version": pin.version}
    part |= {"scope": scope, "hashes": hashes(pin.hashes), "licenses": licences(package.licence)}
    part |= {"purl": place, "properties": [{"name": "exomni:file", "value": package.group}]}
    if pin.marker:
        part["properties"].append({"name": "exomni:where", "value": pin.marker})
    return part | held(package, place)


def held(package: Package, place: str) -> Json:
    """What a package's wheels hold besides, as components in it; {} for nothing."""
    parts = [
        {
            "type": "library",
            "bom-ref": f"{place}#{part.name}",
            "name": part.name,
            "licenses": licences(part.licence),
        }
        for part in package.holds
    ]
    return {"components": parts} if parts else {}


def zipped(name: str, digest: str, shipped: dict[tuple[str, str], Package]) -> Json:
    """A member of the zip: one of our own files, or a wheel with its package's licence."""
    part: Json = {"type": "file", "bom-ref": name, "name": name, "hashes": hashes([digest])}
    if not name.startswith("wheels/"):
        return part | {"licenses": licences(OURS)}
    distribution, version, _, _ = parse_wheel_filename(Path(name).name)
    package = shipped.get((distribution, str(version)))
    if package is None:
        if distribution != "exomni-core":
            raise SystemExit(f"{name} is not pinned in requirements/base.txt")
        return part | {"version": str(version), "licenses": licences(OURS)}
    return (
        part
        | {
            "type": "library",
            "name": str(distribution),
            "version": str(version),
            "purl": f"pkg:pypi/{distribution}@{version}",
            "licenses": licences(package.licence),
        }
        | held(package, name)
    )


def data_file(path: Path) -> Json:
    """A file of data that is part of the project."""
    name = path.relative_to(REPO).as_posix()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "type": "file",
        "bom-ref": name,
        "name": name,
        "hashes": hashes([digest]),
        "licenses": licences(OURS),
    }


def head(descriptor: Json) -> Json:
    """A head that the project knows; required if it is built in."""
    ours = descriptor["licence"] == OURS
    return {
        "type": "data",
        "bom-ref": f"head:{descriptor['name']}",
        "name": descriptor["title"],
        "description": descriptor["source"],
        "scope": "required" if ours else "excluded",
        "licenses": licences(descriptor["licence"]),
    }


def weights() -> list[Json]:
    """The releases that `exorender models pull` downloads, with their hashes where known."""
    releases = read_releases()
    parts = []
    for model in KNOWN:
        part: Json = {"type": "machine-learning-model", "bom-ref": f"weights:{model.name}"}
        part |= {"name": model.repo, "description": model.title, "scope": "optional"}
        part |= {"licenses": licences(model.licence.short)}
        if pinned := releases[model.repo]:
            files = [
                {"type": "file", "name": name, "hashes": hashes([sha256])}
                for name, sha256 in pinned.files.items()
            ]
            part |= {"version": pinned.revision, "components": files}
        parts.append(part)
    return parts


def dependencies(known: Sequence[Package]) -> list[Json]:
    """Who needs whom: the project, and each package that is installed here."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    places: dict[str, list[str]] = {}
    for package in known:
        places.setdefault(package.pin.package, []).append(library(package)["bom-ref"])
    extras = project["optional-dependencies"]
    direct = [*project["dependencies"], *(need for extra in extras.values() for need in extra)]
    edges = [edge("exomni-blender", direct, places)]
    for name, versions in sorted(places.items()):
        try:
            needs = [need for need in requires(name) or () if not re.search(r"\bextra\b", need)]
        except PackageNotFoundError:
            continue
        edges += [edge(place, needs, places) for place in versions]
    return edges


def edge(place: str, needs: Iterable[str], places: dict[str, list[str]]) -> Json:
    """One entry of the graph."""
    names = {canonicalize_name(Requirement(need).name) for need in needs}
    return {"ref": place, "dependsOn": sorted({p for n in names for p in places.get(n, ())})}


def hashes(digests: Iterable[str]) -> list[Json]:
    """SHA-256 sums as CycloneDX has them."""
    return [{"alg": "SHA-256", "content": digest} for digest in sorted(digests)]


def licences(text: str) -> list[Json]:
    """A licence as CycloneDX has it: an SPDX expression, else words; nothing if not stated."""
    if text == UNKNOWN:
        return []
    expression = as_spdx(text)
    return [{"expression": expression} if expression else {"license": {"name": text}}]


if __name__ == "__main__":
    main()
