# SPDX-License-Identifier: GPL-3.0-or-later
"""Extras and the project in, both installed into the Python that runs this file, hashes checked.

    python requirements/install.py render,study            # this checkout, editable
    python requirements/install.py omni --project A.whl    # a built wheel

Third parties come first, each as the files beside this one name it: pip refuses a file whose hash
is not there. The project itself has no hash and follows without its dependencies.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent


def install(extras: Sequence[str], project: Sequence[str]) -> int:
    """Install the pinned packages of `extras`, then `project` (pip's words); pip's exit code."""
    files = [HERE / f"{name}.txt" for name in ("base", *extras)]
    if "omni" in extras:
        files.append(_torch())
    code = _pip("--require-hashes", *_requirements(files))
    # The pinned setuptools builds it: an isolated build would fetch one without a hash.
    return code or _pip("--no-deps", "--no-build-isolation", *project)


def _torch() -> Path:
    """The build of PyTorch to install: the small CPU one where pip's index offers it.

    PyPI has no such build for Linux; whoever points pip at an index with it
    doesn't want CUDA's.
    """
    cpu = HERE / "torch-cpu.txt"
    offered = _pip("--require-hashes", "--no-deps", *_requirements([cpu]), quiet=True) == 0
    return cpu if offered else HERE / "torch.txt"


def _requirements(files: Sequence[Path]) -> list[str]:
    return [word for path in files for word in ("--requirement", str(path))]


def _pip(*words: str, quiet: bool = False) -> int:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    silent = subprocess.DEVNULL if quiet else None
    return subprocess.run(
        [*command, "--progress-bar", "off", *words], stdout=silent, stderr=silent, check=False
    ).returncode


def main() -> int:
    """Read the command line; the exit code is pip's."""
    parser = argparse.ArgumentParser(description="Install the project from pinned packages.")
    parser.add_argument("extras", help="names with commas between them, such as render,study")
    parser.add_argument("--project", help="a wheel or a folder [default: this checkout, editable]")
    chosen = parser.parse_args()
    extras = [extra for extra in chosen.extras.split(",") if extra]
    unknown = [extra for extra in extras if not (HERE / f"{extra}.txt").is_file()]
    if unknown:
        parser.error(f"no packages are pinned for the extra {unknown[0]!r}; see {HERE}")
    editable = ["--editable", str(HERE.parent)]
    return install(extras, [chosen.project] if chosen.project else editable)


if __name__ == "__main__":
    sys.exit(main())
