# SPDX-License-Identifier: GPL-3.0-or-later
"""What the README's commands install is pinned; a package without its hash stays out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from itertools import product
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from render_jobs.addon_kit.wheels import Pin, read_lock, write_wheel

REPO = Path(__file__).resolve().parents[1]
FOLDER = REPO / "requirements"
FILES = {path.stem: read_lock(path) for path in sorted(FOLDER.glob("*.txt"))}
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
PLACES = list(product(("3.11", "3.13"), ("linux", "win32", "darwin")))


def extras_in_use() -> set[str]:
    """Those that a script of ours hands to setup.sh, and that of the add-on's engine."""
    found = {"omni"}
    for script in ("quickstart.sh", "test.sh"):
        text = (REPO / "scripts" / script).read_text(encoding="utf-8")
        (names,) = re.findall(r"setup\.sh ([a-z,-]+)", text)
        found |= set(names.split(","))
    return found


def pins_of(*groups: str) -> list[Pin]:
    names = ["base", *groups, *(["torch"] if "omni" in groups else [])]
    return [pin for name in names for pin in FILES[name]]


def holds(marker: str, python: str, system: str, **more: str) -> bool:
    place = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": system}
    return not marker or Marker(marker).evaluate({"extra": "", **place, **more})


def needed(group: str) -> list[str]:
    project = PROJECT["project"]
    if group == "base":
        return [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    return list(project["optional-dependencies"][group])


def test_every_extra_in_use_is_pinned():
    assert {"render", "study", "dev", "omni"} <= extras_in_use() <= set(FILES)


@pytest.mark.parametrize("group", ["base", *sorted(extras_in_use())])
def test_pins_satisfy_pyproject(group):
    for (python, system), text in product(PLACES, needed(group)):
        need = Requirement(text)
        if not holds(str(need.marker or ""), python, system):
            continue
        found = [
            pin
            for pin in pins_of(*({group} - {"base"}))
            if pin.package == canonicalize_name(need.name) and holds(pin.marker, python, system)
        ]
        assert len(found) == 1, (text, python, system, found)
        assert need.specifier.contains(found[0].version), (text, found)


@pytest.mark.parametrize("group", ["base", *sorted(extras_in_use())])
def test_what_they_need_in_turn_is_pinned_too(group):
    """Told by the packages that are installed here, for this Python and system."""
    pins = {
        pin.package: pin
        for pin in pins_of(*({group} - {"base"}))
        if not pin.marker or Marker(pin.marker).evaluate()
    }
    needs = list(closure(needed(group)))
    assert len(needs) > len(needed(group)) / 2
    for need in needs:
        pin = pins.get(canonicalize_name(need.name))
        assert pin is not None, f"{need.name} is not pinned; run scripts/pin_packages.py"
        assert need.specifier.contains(pin.version), (str(need), pin)


def closure(texts: list[str]) -> Iterator[Requirement]:
    """All requirements that apply here, from `texts` down through what is installed."""
    todo, seen = applying(texts, ""), set()
    while todo:
        need = todo.pop()
        yield need
        for extra in {"", *need.extras} - {extra for name, extra in seen if name == need.name}:
            seen.add((need.name, extra))
            with contextlib.suppress(PackageNotFoundError):
                todo += applying(requires(need.name) or [], extra)


def applying(texts: list[str], extra: str) -> list[Requirement]:
    needs = [Requirement(text) for text in texts]
    return [need for need in needs if not need.marker or need.marker.evaluate({"extra": extra})]


def test_each_pin_has_hashes_and_no_address():
    for name, pins in FILES.items():
        text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
        assert "://" not in text
        assert len(pins) == text.count("==") - text.count("_platform ==")
        for pin in pins:
            assert pin.hashes, pin
            assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in pin.hashes), pin


def test_each_package_is_pinned_in_one_place():
    rows = [
        (pin.package, place)
        for name, pins in FILES.items()
        if name != "torch-cpu"
        for pin in pins
        for place in PLACES
        if holds(pin.marker, *place)
    ]
    assert len(rows) == len(set(rows))


def test_both_builds_of_pytorch_are_one_release():
    (cpu,) = FILES["torch-cpu"]
    (public,) = (pin for pin in FILES["torch"] if pin.package == "torch")
    assert cpu.version == f"{public.version}+cpu"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder as requirements/, whose packages lie on a shelf that pip alone looks at.

    Gives a function: name, version, where pinned -> the package is on the shelf and pinned there.
    """
    folder, wheels = tmp_path / "requirements", tmp_path / "shelf"
    folder.mkdir()
    wheels.mkdir()
    shutil.copy(FOLDER / "install.py", folder)
    for name in FILES:
        (folder / f"{name}.txt").write_text("")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "there"))  # never into the tests' own Python

    def put(package: str, version: str, file: str = "", *, needs: str = "") -> Path:
        about = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        about += f"Requires-Dist: {needs}\n" if needs else ""
        members = {f"{package}.py": version.encode()}
        members[f"{package}-{version}.dist-info/METADATA"] = about.encode()
        name, data = write_wheel(package, version, members)
        (wheels / name).write_bytes(data)
        if file:
            digest = hashlib.sha256(data).hexdigest()
            with open(folder / f"{file}.txt", "a") as lines:
                lines.write(f"{package}=={version} --hash=sha256:{digest}\n")
        return wheels / name

    return put


def run(tmp_path: Path, extras: str, project: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tmp_path / "requirements" / "install.py"), extras]
    return subprocess.run(
        [*command, "--project", str(project)], capture_output=True, text=True, check=False
    )


def installed(tmp_path: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (tmp_path / "there").glob("*.py")}


def test_another_file_of_the_same_name_is_refused(shelf, tmp_path):
    wheel = shelf("tool", "1.0", "base")
    spoilt = wheel.read_bytes()
    wheel.write_bytes(spoilt[:60] + bytes([spoilt[60] ^ 1]) + spoilt[61:])
    done = run(tmp_path, "render", shelf("ours", "0.1"))
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert installed(tmp_path) == {}


def test_a_dependency_without_a_pin_is_refused(shelf, tmp_path):
    shelf("tool", "1.0", "base", needs="stranger")
    shelf("stranger", "1.0")
    done = run(tmp_path, "render", shelf("ours", "0.1"))
    assert done.returncode != 0
    assert "stranger" in done.stderr
    assert installed(tmp_path) == {}


@pytest.mark.parametrize("offered", [True, False])
def test_pins_then_the_project_with_pytorchs_cpu_build_where_it_is_offered(
    shelf, tmp_path, offered
):
    shelf("tool", "1.0", "base")
    shelf("tool", "2.0")
    shelf("film", "3.0", "render")  # not asked for
    shelf("cuda", "1.0", "torch")
    shelf("torch", "2.0", "torch")
    cpu = shelf("torch", "2.0+cpu", "torch-cpu")
    if not offered:
        cpu.unlink()
    done = run(tmp_path, "omni", shelf("ours", "0.1", needs="tool>=2"))  # its pin decides
    assert done.returncode == 0, done.stderr
    expected = {"torch": "2.0+cpu"} if offered else {"torch": "2.0", "cuda": "1.0"}
    assert installed(tmp_path) == expected | {"tool": "1.0", "ours": "0.1"}


def test_an_extra_without_pins_is_named(tmp_path):
    command = [sys.executable, str(FOLDER / "install.py"), "quantize"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no packages are pinned for the extra 'quantize'" in done.stderr
