# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's clip file in, its bundle as a file out: read by a child that may be killed.

`python -m exomni_core.server.apart SOURCE TARGET` is that child. It gets a limited time and, on
Linux, limited memory, so no file can harm the server. What it says is one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import exomni_core
from exomni_core.clip import clip_from_bytes
from exomni_core.errors import (
    EnvironmentProblem,
    ExOmniError,
    InputError,
    error_from_json,
    error_to_json,
)
from exomni_core.server.bundle import bundle_parts
from exomni_core.server.launch import own_python

_BASE_BYTES: Final = 512 << 20  # an interpreter with numpy, and some room
_TIMES: Final = 20  # how much more memory than the file a clip may take
_BASE_S: Final = 30.0
_BYTES_A_SECOND: Final = 1 << 20


def convert_apart(source: Path, target: Path) -> None:
    """Write the bundle of the clip file `source` to `target`.

    Raises what reading it raises, and InputError where it takes too much time or memory.
    """
    seconds = _BASE_S + source.stat().st_size / _BYTES_A_SECOND
    here = str(Path(exomni_core.__file__).absolute().parents[1])
    paths = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [own_python(), "-m", "exomni_core.server.apart", str(source), str(target)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"the clip took more than {seconds:.0f} s to read and was given up; save it again"
        ) from error
    if done.returncode:
        raise _told(done.stdout)


def main() -> int:
    """Run as the child; returns the exit status."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    _limit_memory(source.stat().st_size)
    try:
        _convert(source, target)
    except MemoryError:
        error: ExOmniError = InputError("the clip needs too much memory; save it again")
    except ImportError:
        error = EnvironmentProblem(
            "to read clip files, the engine's Python needs soundfile; run: pip install soundfile"
        )
    except ExOmniError as found:
        error = found
    else:
        return 0
    sys.stdout.write(json.dumps(error_to_json(error)))
    return 3


def _convert(source: Path, target: Path) -> None:
    clip = clip_from_bytes(source.read_bytes(), where="the clip")
    with open(target, "xb") as file:
        for part in bundle_parts(clip):
            file.write(part)


def _limit_memory(size: int) -> None:
    if sys.platform == "linux":
        import resource

        most = _BASE_BYTES + _TIMES * size
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _told(output: bytes) -> ExOmniError:
    with contextlib.suppress(ValueError, TypeError):
        data = json.loads(output)
        if isinstance(data, dict) and "error" in data:
            return error_from_json(data, InputError)
    return InputError("the clip needs too much memory, or can't be read; save it again")


if __name__ == "__main__":
    sys.exit(main())
