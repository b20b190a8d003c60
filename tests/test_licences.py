# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of licences is in step with the pins; the bill of materials is whole and true."""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from render_jobs.addon_kit.wheels import SHIPPED, read_lock

REPO = Path(__file__).resolve().parents[1]
PINS = {
    (pin.package, pin.version): pin
    for path in (REPO / "requirements").glob("*.txt")
    for pin in read_lock(path)
}


@pytest.fixture(scope="module")
def scripts():
    """scripts/licences.py and scripts/sbom.py as modules."""
    sys.path.insert(0, str(REPO / "scripts"))
    try:
        import licences
        import sbom
    finally:
        sys.path.pop(0)
    return licences, sbom


@pytest.fixture(scope="module")
def known(scripts):
    """All packages; nothing may have to be asked of an index."""
    licences, _ = scripts

    def ask(pins):
        raise AssertionError(f"docs/licences.md lacks {pins}; run scripts/licences.py")

    return licences.packages(ask)


def test_the_document_is_what_the_script_writes(scripts, known):
    licences, _ = scripts
    assert licences.DOCUMENT.read_text(encoding="utf-8") == licences.document(known)


def test_every_pin_has_its_row(scripts):
    licences, _ = scripts
    rows = {(row["name"], row["version"]): row["licence"] for row in licences.document_rows()}
    assert rows.keys() == PINS.keys()
    unstated = {name for (name, _), licence in rows.items() if licence == licences.UNKNOWN}
    facts = tomllib.loads((REPO / "requirements" / "licences.toml").read_text(encoding="utf-8"))
    # Somebody looked at each of them.
    assert unstated == {n for n, text in facts["licence"].items() if text == licences.UNKNOWN}
    names = {name for name, _ in PINS}
    assert facts["licence"].keys() | {part["package"] for part in facts["holds"]} <= names


@pytest.mark.parametrize(
    ("about", "licence"),
    [
        ({"license_expression": "MIT OR Apache-2.0", "license": "x"}, "MIT OR Apache-2.0"),
        ({"license": "Apache 2.0 License"}, "Apache-2.0"),
        ({"license": "BSD", "classifier": ["License :: OSI Approved :: MIT License"]}, "MIT"),
        ({"license": "Copyright\nall of it", "classifier": ["Topic :: X"]}, "not stated"),
        ({"license": "NVIDIA Proprietary Software"}, "NVIDIA Proprietary Software"),
        ({}, "not stated"),
    ],
)
def test_licences_are_read_from_metadata(scripts, about, licence):
    assert scripts[0].stated(about) == licence


def references(parts) -> list[str]:
    below = [ref for part in parts for ref in references(part.get("components", []))]
    return [part["bom-ref"] for part in parts if "bom-ref" in part] + below


def test_the_bill_lists_every_package_with_its_hashes(scripts, known):
    _, sbom = scripts
    bom = sbom.bom_of_install(known)
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    parts = {part["purl"]: part for part in bom["components"] if "purl" in part}
    assert len(parts) == len(PINS)
    for (name, version), pin in PINS.items():
        part = parts[f"pkg:pypi/{name}@{version.replace('+', '%2B')}"]
        assert {one["content"] for one in part["hashes"]} == pin.hashes
        assert {one["alg"] for one in part["hashes"]} == {"SHA-256"}
    refs = references(bom["components"])
    assert len(refs) == len(set(refs))
    edges = {edge["ref"]: edge["dependsOn"] for edge in bom["dependencies"]}
    assert edges.keys() | {ref for more in edges.values() for ref in more} <= {
        *refs,
        "exomni-blender",
    }
    assert any("espeakng-loader" in ref for ref in edges["exomni-blender"])
    (cffi,) = (ref for ref in refs if "/cffi@" in ref)
    assert any("/pycparser@" in ref for ref in edges[cffi])
    assert {part["type"] for part in bom["components"]} >= {"file", "machine-learning-model"}
    assert json.dumps(bom) == json.dumps(sbom.bom_of_install(known))


def test_the_bill_of_an_extension_lists_what_is_in_it(scripts, known, tmp_path):
    _, sbom = scripts
    pins = {pin.package: pin for pin in read_lock() if pin.package in SHIPPED}
    wheels = [
        f"wheels/{n.replace('-', '_')}-{pin.version}-py3-none-any.whl" for n, pin in pins.items()
    ]
    names = ["__init__.py", "wheels/exomni_core-0.1.0+abc-py3-none-any.whl", *wheels]
    with zipfile.ZipFile(tmp_path / "exomni.zip", "w") as archive:
        for name in names:
            archive.writestr(name, name)
    bom = sbom.bom_of_zip(tmp_path / "exomni.zip", known)
    parts = {part["bom-ref"]: part for part in bom["components"]}
    assert parts.keys() == set(names)
    for name, part in parts.items():
        (one,) = part["hashes"]
        assert one["content"] == hashlib.sha256(name.encode()).hexdigest()
    voice = next(part for name, part in parts.items() if "espeakng_loader" in name)
    assert voice["components"][0]["licenses"] == [{"expression": "GPL-3.0-or-later"}]
    with zipfile.ZipFile(tmp_path / "exomni.zip", "a") as archive:
        archive.writestr("wheels/stranger-1.0-py3-none-any.whl", "x")
    with pytest.raises(SystemExit, match=r"stranger-1\.0-py3-none-any\.whl is not pinned"):
        sbom.bom_of_zip(tmp_path / "exomni.zip", known)
