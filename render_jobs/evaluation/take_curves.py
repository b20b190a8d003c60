# SPDX-License-Identifier: GPL-3.0-or-later
"""A .blend file in, the weights that Blender shows at each frame out; by a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.clip import Clip, clip_from_bytes
from exomni_core.errors import EnvironmentProblem, InputError, WorkerError

_TIMEOUT_S: Final = 600.0
_REPO: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, eq=False)
class BlendTake:
    """The take of a .blend file: what is keyed on its character's shape keys.

    weights: (T, 52) float32 at `fps` (the scene's), from the first keyed frame. missing: channels
    that the meshes lack. clips: what the take was made from, if the file holds it, and when each
    starts, in seconds from the first keyed frame.
    """

    weights: npt.NDArray[np.float32]
    fps: float
    missing: tuple[str, ...]
    clips: tuple[tuple[float, Clip], ...]


def read_blend(path: Path, blender: Path | None = None) -> BlendTake:
    """Read the take by a Blender process; blender: the program, None is this Python's bpy.

    Raises InputError for a file without a take, EnvironmentProblem where there is no Blender.
    """
    script = Path(__file__).with_name("take_sampler.py")
    with tempfile.TemporaryDirectory(prefix="exomni-") as folder:
        out = Path(folder) / "take.npz"
        argv = [sys.executable, "-m", "render_jobs.evaluation.take_sampler"]
        if blender is not None:
            argv = [
                str(blender),
                "--background",
                "--factory-startup",
                "--python",
                str(script),
                "--",
            ]
        done = _run([*argv, str(path.absolute()), str(out)])
        if not out.is_file():
            tail = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
            raise WorkerError(f"Blender ended without reading {path} ({tail[0][:200]})")
        with np.load(out, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    if "error" in found:
        kind = EnvironmentProblem if "environment" in found else InputError
        raise kind(str(found["error"]))
    count = sum(name.startswith("clip_") for name in found)
    clips = [
        (float(found[f"start_{k}"]), clip_from_bytes(found[f"clip_{k}"].tobytes(), where=str(path)))
        for k in range(count)
    ]
    return BlendTake(
        weights=found["coef"],
        fps=float(found["fps"]),
        missing=tuple(str(name) for name in found["missing"]),
        clips=tuple(clips),
    )


def _run(argv: list[str]) -> subprocess.CompletedProcess[Any]:
    try:
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            cwd=_REPO,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"Blender took more than {_TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise EnvironmentProblem(f"{argv[0]} can't be started ({error.strerror})") from error
