# SPDX-License-Identifier: GPL-3.0-or-later
"""pyproject.toml in, requirements/*.txt out: every package it leads to, pinned with its hashes.

    python scripts/pin_packages.py                       # after a change of pyproject.toml
    python scripts/pin_packages.py --upgrade numpy scipy # these may move to newer versions
    python scripts/pin_packages.py --torch-cpu torch-2.13.0+cpu-....whl

Needs uv (pip install uv), which resolves for all systems and Pythons at once, asks the index that
it is set to and downloads no package. What is pinned already stays at its version.

base.txt holds what the project itself needs, what builds it, and what several extras share; each
extra's file holds the rest of that extra. PyTorch and its CUDA libraries are in torch.txt, the CPU
build for Linux in torch-cpu.txt. That one is on no index that uv asks by itself: its hash is taken
from a file that you have checked.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.markers import Marker
from packaging.utils import canonicalize_name, parse_wheel_filename

REPO = Path(__file__).resolve().parents[1]
FOLDER = REPO / "requirements"
EXTRAS = ("render", "study", "eval", "dev", "omni")  # those that our commands install
PYTHONS = ("3.11", "3.13")
SYSTEMS = {"linux": "x86_64", "win32": "AMD64", "darwin": "arm64"}  # sys_platform -> machine
_TORCH = re.compile(r"torch|triton|nvidia-.*|cuda-.*")
_PLATFORM = re.compile(r"any|manylinux.*_x86_64|win_amd64|macosx_.*_(arm64|x86_64|universal2)")
_TITLES = {
    "base": "What the project needs, what builds it, and what several extras share.",
    "torch": "PyTorch as PyPI has it: for Linux with CUDA's libraries.",
    "torch-cpu": "PyTorch's CPU build for Linux, from an index of your choice.",
}


@dataclass(frozen=True)
class Pin:
    """A release and the SHA-256 of each of its wheels; marker: where it is needed, or ""."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    def lines(self) -> str:
        """As pip reads it."""
        condition = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}=={self.version}{condition}" + "".join(
            f" \\\n    --hash=sha256:{digest}" for digest in self.hashes
        )


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--upgrade", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--torch-cpu", type=Path, metavar="WHEEL")
    chosen = parser.parse_args()
    if chosen.torch_cpu:
        name, version, _, _ = parse_wheel_filename(chosen.torch_cpu.name)
        digest = sha256(chosen.torch_cpu.read_bytes()).hexdigest()
        write("torch-cpu", [Pin(name, str(version), "", (digest,))])
        return
    free = {canonicalize_name(name) for name in chosen.upgrade}
    for name, pins in sorted(pinned_packages(free).items()):
        write(name, pins)


def pinned_packages(free: set[str]) -> dict[str, list[Pin]]:
    """The pins of each file, by its name; packages in `free` may change their versions."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    needs = {extra: list(project["project"]["optional-dependencies"][extra]) for extra in EXTRAS}
    needs["base"] = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    held = [line for line in current_pins() if line.partition("==")[0] not in free]
    with tempfile.TemporaryDirectory() as scratch:
        everything = lock(needs, needs, held, Path(scratch))
        names = {
            group: {row["name"] for row in lock(needs, [group], held, Path(scratch))}
            for group in needs
        }
    return sorted_into_files(everything, names)


def sorted_into_files(
    rows: Iterable[Mapping[str, Any]], names: Mapping[str, set[str]]
) -> dict[str, list[Pin]]:
    """Each locked package in the one file where it belongs."""
    uses = Counter(name for group in EXTRAS for name in names[group])
    files: dict[str, list[Pin]] = {name: [] for name in (*names, "torch")}
    for row in rows:
        name = row["name"]
        if _TORCH.fullmatch(name):
            place = "torch"
        elif name in names["base"] or uses[name] > 1:
            place = "base"
        else:
            place = next(group for group in EXTRAS if name in names[group])
        files[place].append(pin(row))
    return files


def lock(
    needs: Mapping[str, Sequence[str]], groups: Iterable[str], held: Sequence[str], scratch: Path
) -> list[dict[str, Any]]:
    """uv's answer for the `groups` of `needs` together: a row for each package."""
    wanted = [need for group in groups for need in needs[group]]
    systems = [f"sys_platform == '{name}'" for name in SYSTEMS]
    systems[0] += " and platform_machine == 'x86_64'"  # Linux has others, for which bpy is not made
    places = [f"python_version == '{p}' and {s}" for p, s in itertools.product(PYTHONS, systems)]
    (scratch / "pyproject.toml").write_text(
        f'[project]\nname = "pins"\nversion = "0"\nrequires-python = ">={PYTHONS[0]}"\n'
        f"dependencies = {toml_list(wanted)}\n[tool.uv]\nenvironments = {toml_list(places)}\n",
        encoding="utf-8",
    )
    (scratch / "held.txt").write_text("\n".join(held) + "\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal",
        "--python-version", PYTHONS[0], "--constraint", "held.txt", "--format", "pylock.toml",
        "--output-file", "pylock.toml",
    ]  # fmt: skip
    subprocess.run(command, cwd=scratch, check=True)
    locked = tomllib.loads((scratch / "pylock.toml").read_text(encoding="utf-8"))
    (scratch / "pylock.toml").unlink()  # uv would start from it
    return list(locked["packages"])


def toml_list(texts: Iterable[str]) -> str:
    """Texts without backslashes as a TOML array."""
    return "[" + ", ".join('"' + text.replace('"', "'") + '"' for text in texts) + "]"


def pin(row: Mapping[str, Any]) -> Pin:
    """A row of uv's answer as we keep it: wheels alone, and only those for our systems."""
    wheels = {
        unquote(wheel["url"].rpartition("/")[2]): wheel["hashes"]["sha256"]
        for wheel in row.get("wheels", ())
    }
    ours = {name: digest for name, digest in wheels.items() if is_ours(name)}
    if not ours:
        raise SystemExit(f"{row['name']} {row['version']} has no wheel for our systems")
    marker = short_marker(row.get("marker", ""))
    return Pin(row["name"], row["version"], marker, tuple(sorted(set(ours.values()))))


def is_ours(wheel: str) -> bool:
    """Whether a wheel of that name fits one of our Pythons and systems."""
    newest = [int(python.partition(".")[2]) for python in PYTHONS]
    for tag in parse_wheel_filename(wheel)[3]:
        minor = tag.interpreter.removeprefix("cp3").removeprefix("py3")
        if tag.abi == "none":
            fits = tag.interpreter in ("py3", *(f"cp3{n}" for n in newest))
        elif tag.abi == "abi3":
            fits = minor.isdigit() and int(minor) <= max(newest)
        else:
            fits = tag.abi in {f"cp3{n}" for n in newest}
        if fits and _PLATFORM.fullmatch(tag.platform):
            return True
    return False


def short_marker(marker: str) -> str:
    """The shortest condition of ours that holds where `marker` holds."""
    wanted = where(marker)
    pythons = ("", 'python_version < "3.12"', 'python_version >= "3.13"')
    systems = ["", *(f'sys_platform {sign} "{name}"' for sign in ("==", "!=") for name in SYSTEMS)]
    for python, system in itertools.product(pythons, systems):
        text = " and ".join(filter(None, (python, system)))
        if where(text) == wanted:
            return text
    raise SystemExit(f"the condition {marker!r} is none that {Path(__file__).name} can write")


def where(marker: str) -> frozenset[tuple[str, str]]:
    """The (Python, system) pairs of ours where `marker` holds."""
    return frozenset(
        (python, system)
        for python, system in itertools.product(PYTHONS, SYSTEMS)
        if not marker or Marker(marker).evaluate({
            "python_version": python, "python_full_version": f"{python}.9",
            "sys_platform": system, "platform_machine": SYSTEMS[system],
            "platform_system": {"linux": "Linux", "win32": "Windows", "darwin": "Darwin"}[system],
            "os_name": "nt" if system == "win32" else "posix", "implementation_name": "cpython",
            "platform_python_implementation": "CPython", "extra": "",
        })
    )  # fmt: skip


def current_pins() -> Iterator[str]:
    """`name==version ; marker` of everything that is pinned now, but for the CPU build."""
    for path in sorted(FOLDER.glob("*.txt")):
        if path.stem != "torch-cpu":
            for line in path.read_text(encoding="utf-8").splitlines():
                if re.match(r"[a-z0-9]", line):
                    yield line.removesuffix("\\").strip()


def write(name: str, pins: Sequence[Pin]) -> None:
    """Write the file of that name; a package's versions stand side by side."""
    title = _TITLES.get(name, f"What the extra {name!r} needs besides base.txt.")
    head = f"# {title}\n# Written by scripts/pin_packages.py; pip checks the hashes.\n"
    rows = [one.lines() for one in sorted(pins, key=lambda one: (one.name, one.marker))]
    text = "\n".join(rows)
    (FOLDER / f"{name}.txt").write_text(f"{head}{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
