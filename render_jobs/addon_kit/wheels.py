# SPDX-License-Identifier: GPL-3.0-or-later
"""A system's name in, the wheels that the Blender extension ships for it out.

Wheels that hold a module for one Python only (pocketsphinx, cffi, soxr) are joined: one wheel with
the modules for every Python, because each is found by the tag in its file name. Blender would
refuse an extension whose wheels name other Pythons than its own; and pocketsphinx's 39 MB of
models, the same in each wheel, travel once.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exomni_core.errors import EnvironmentProblem, InputError, WorkerError
from exomni_core.storage.codecs import members_from_zip, zip_bytes
from exomni_core.storage.files import sha256_file

PYTHONS: Final = ("3.11", "3.13")  # of Blender 4.2 to 5.0, and of 5.2
LOCK: Final = Path(__file__).resolve().parents[2] / "requirements" / "base.txt"
SHIPPED: Final = (
    "cffi",
    "espeakng-loader",
    "pocketsphinx",
    "sounddevice",
    "soundfile",
    "soxr",
    "typing-extensions",
)
REQUIRED: Final = "espeakng-loader"  # nothing speaks without it; the rest is for recordings
_MAX_MEMBER_BYTES: Final = 256 << 20
_TIMEOUT_S: Final = 600


@dataclass(frozen=True)
class System:
    """An operating system as Blender names it.

    pip_tags: the wheels that run there, for pip. wheel_tag: for the wheels that we write.
    """

    name: str
    pip_tags: tuple[str, ...]
    wheel_tag: str


SYSTEMS: Final[Mapping[str, System]] = {
    system.name: system
    for system in (
        System("linux-x64", ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64",
                             "manylinux2014_x86_64"), "manylinux_2_28_x86_64"),
        System("windows-x64", ("win_amd64",), "win_amd64"),
        System("macos-arm64", ("macosx_11_0_arm64",), "macosx_11_0_arm64"),
        System("macos-x64", ("macosx_11_0_x86_64",), "macosx_11_0_x86_64"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Wheel:
    """A wheel to ship: its file name, its bytes, and the Pythons it has modules for."""

    file_name: str
    data: bytes
    pythons: tuple[str, ...]

    @property
    def package(self) -> str:
        """The distribution's name, as the file spells it."""
        return self.file_name.partition("-")[0]


@dataclass(frozen=True)
class Pin:
    """A line of a lock file: the package, its exact version, the hashes of its wheels.

    marker: where it is needed, as a requirement says it; "" for everywhere.
    """

    package: str
    version: str
    hashes: frozenset[str]
    marker: str = ""


def collect_wheels(system: System, cache: Path) -> tuple[list[Wheel], list[str]]:
    """The wheels for `system`, from `cache` or PyPI, and a sentence for each that is not to be had.

    Raises EnvironmentProblem if espeak-ng's can't be had.
    """
    wheels, notes = [], []
    for pin in shipped_pins():
        found: dict[str, Path] = {}
        for python in PYTHONS:
            try:
                found[python] = _fetch(pin, system, python, cache)
            except EnvironmentProblem as problem:
                if pin.package == REQUIRED:
                    raise
                notes.append(f"without {pin.package} on Python {python}: {problem}")
        if found:
            wheels.append(_ship(found, system))
    return wheels, notes


def shipped_pins() -> list[Pin]:
    """The pins of the packages that travel in the extension."""
    return [pin for pin in read_lock() if pin.package in SHIPPED]


def read_lock(lock: Path = LOCK) -> list[Pin]:
    """The packages in a requirements file with hashes, in its order."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    pins = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement, *hashes = line.split(" --hash=sha256:")
            release, _, marker = requirement.partition(";")
            package, _, version = release.strip().partition("==")
            known = frozenset(digest.strip() for digest in hashes)
            pins.append(Pin(package, version, known, marker.strip()))
    return pins


def join_wheels(wheels: Mapping[str, bytes], wheel_tag: str) -> tuple[str, bytes]:
    """Wheels of one release for several Pythons, file name -> bytes, as one: its name and bytes.

    Raises InputError if they are of different releases, or disagree about a file that has no
    Python's tag in its name.
    """
    releases = {tuple(name.split("-")[:2]) for name in wheels}
    if len(releases) != 1:
        raise InputError(f"wheels of different releases can't be joined: {', '.join(wheels)}")
    package, version = releases.pop()
    about = f"{package}-{version}.dist-info/"
    joined: dict[str, bytes] = {}
    for name, data in wheels.items():
        for path, content in read_members(data).items():
            known = joined.setdefault(path, content)
            if known != content and not path.startswith(about):
                raise InputError(f"{name} and its twin for another Python disagree about {path}")
    return write_wheel(package, version, joined, wheel_tag)


def write_wheel(
    package: str, version: str, members: Mapping[str, bytes], platform: str = "any"
) -> tuple[str, bytes]:
    """A py3-none-`platform` wheel's file name and reproducible bytes; WHEEL and RECORD are ours."""
    about = f"{package}-{version}.dist-info"
    tag = f"py3-none-{platform}"
    pure = "true" if platform == "any" else "false"
    wheel = f"Wheel-Version: 1.0\nGenerator: exorender\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
    content = {name: members[name] for name in sorted(members)}
    content |= {f"{about}/WHEEL": wheel.encode()}
    record = f"{about}/RECORD"
    content.pop(record, None)
    rows = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in content.items()]
    content[record] = ("".join(rows) + f"{record},,\n").encode()
    return f"{package}-{version}-{tag}.whl", zip_bytes(content, stored=".never")


def read_members(data: bytes) -> dict[str, bytes]:
    """All files in a wheel, by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}
    empty = {name: b"" for name, size in sizes.items() if size == 0}
    return empty | members_from_zip(data, {n: _MAX_MEMBER_BYTES for n in sizes if n not in empty})


def _ship(found: Mapping[str, Path], system: System) -> Wheel:
    """The downloaded wheels of one package as the one that travels."""
    pythons = tuple(found)
    first = next(iter(found.values()))
    if {path.name for path in found.values()} == {first.name}:
        _, _, _, abi, _ = first.stem.split("-")
        if abi == "none":  # tied to no Python
            return Wheel(first.name, first.read_bytes(), ("any",))
    name, data = join_wheels({p.name: p.read_bytes() for p in found.values()}, system.wheel_tag)
    return Wheel(name, data, pythons)


def _fetch(pin: Pin, system: System, python: str, cache: Path) -> Path:
    """One package's wheel for one system and Python, from `cache`, which pip fills if need be."""
    folder = cache / system.name / f"python{python}"
    known = _cached(pin, folder)
    if known is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input",
        "--disable-pip-version-check", "--only-binary", ":all:", "--implementation", "cp",
        "--python-version", python, "--dest", str(folder),
    ]  # fmt: skip
    for tag in system.pip_tags:
        command += ["--platform", tag]
    command.append(f"{pin.package}=={pin.version}")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerError(
            f"downloading {pin.package} took longer than {_TIMEOUT_S} s; try again"
        ) from error
    if done.returncode != 0:
        raise EnvironmentProblem(_why_not(pin, system, python, done.stderr))
    fetched = _cached(pin, folder)
    if fetched is None:
        raise EnvironmentProblem(
            f"the wheel of {pin.package} {pin.version} that pip found for {system.name} is not the "
            f"one in {LOCK.name}; remove {folder} and try again"
        )
    return fetched


def _cached(pin: Pin, folder: Path) -> Path | None:
    prefix = f"{pin.package.replace('-', '_')}-{pin.version}-"
    for path in sorted(folder.glob(f"{prefix}*.whl")):
        if sha256_file(path) in pin.hashes:
            return path
    return None


def _why_not(pin: Pin, system: System, python: str, errors: str) -> str:
    """pip's complaint as a sentence: no pip, no such wheel, or no network."""
    wanted = f"{pin.package} {pin.version} for {system.name}"
    if "No module named pip" in errors:
        return f"{wanted} can't be downloaded without pip; run: {sys.executable} -m ensurepip"
    network = ("Connection", "connection", "Max retries", "timed out", "resolution", "unreachable")
    if any(sign in errors for sign in network):
        return f"{wanted} can't be downloaded, PyPI does not answer; connect once, it is kept then"
    if "No matching distribution" in errors:  # pip says the same when nobody answers
        return (
            f"PyPI offers no wheel of {wanted} and Python {python}, or can't be reached; check "
            "the network and try again"
        )
    lines = [line for line in errors.splitlines() if line.startswith("ERROR")] or [errors.strip()]
    return f"{wanted} can't be downloaded ({lines[-1].removeprefix('ERROR: ')[:160]})"


def _digest(data: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def content_mark(members: Mapping[str, bytes]) -> str:
    """Eight hex digits that change with any of the files; part of our own wheels' versions."""
    total = hashlib.sha256()
    for name in sorted(members):
        total.update(f"{name}\0{len(members[name])}\0".encode())
        total.update(members[name])
    return total.hexdigest()[:8]


def host_system(machine: Sequence[str]) -> str | None:
    """(`platform.system()`, `platform.machine()`) -> the name in SYSTEMS, None for any other."""
    system, processor = (word.lower() for word in machine)
    names = {
        ("linux", "x86_64"): "linux-x64",
        ("windows", "amd64"): "windows-x64",
        ("darwin", "arm64"): "macos-arm64",
        ("darwin", "x86_64"): "macos-x64",
    }
    return names.get((system, processor))
