# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutated .blend files opened and used: no traceback, and no file but the take's own is touched.

EXOMNI_BLENDS sets how many (200), EXOMNI_SEED which.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from exomni_core.clip import Clip, save_clip

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("blend_mutations.py")
COUNT = int(os.environ.get("EXOMNI_BLENDS", "200"))
SEED = os.environ.get("EXOMNI_SEED", "1")
_OPENED = re.compile(r'open(?:at2?)?\([^"]*"([^"]*)"')


def blender(*arguments, trace=None):
    """Run the script, with its system calls written to `trace`; returns its report and output."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}"}
    tracer = [shutil.which("strace"), "-f", "-s", "4096", "-e", "trace=open,openat,openat2", "-o",
              str(trace)] if trace else []  # fmt: skip
    done = subprocess.run(
        [*tracer, sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True, text=True, errors="replace", env=env, timeout=3600,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), output


@pytest.fixture(scope="module")
def mutated(tmp_path_factory):
    """The folder of the mutated files, and the file that they try to have read."""
    pytest.importorskip("bpy")
    folder = tmp_path_factory.mktemp("blends")
    decoy = tmp_path_factory.mktemp("elsewhere") / "decoy.clip"
    decoy.write_text("secret")
    audio = np.sin(np.arange(16_000) / 12) / 4
    save_clip(
        Clip(audio, 16_000, np.full((30, 52), 0.3, np.float32), fps=30.0), decoy.parent / "c.clip"
    )
    made, _ = blender("make", folder, decoy.parent / "c.clip", COUNT, SEED, decoy)
    assert made == {"made": COUNT}
    return folder, decoy


def test_no_traceback(mutated):
    report, output = blender("open", mutated[0])
    assert not report["faults"], json.dumps(report["faults"], indent=1)[:6000]
    assert "Traceback" not in output
    assert report["opened"] + report["refused"] == COUNT
    assert report["opened"] > 0.8 * COUNT


def test_no_file_outside_is_opened(mutated, tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("strace, which shows what is opened, is not installed")
    folder, decoy = mutated
    blender("open", folder, trace=tmp_path / "trace")
    case, uses, marks, wrong = "", False, 0, []
    for line in (tmp_path / "trace").read_text(errors="replace").splitlines():
        found = _OPENED.search(line)
        path = found[1] if found else ""
        if path.startswith("/exomni-mark-"):
            word, _, name = path.removeprefix("/exomni-mark-").partition("-")
            case, uses, marks = name or case, word == "use", marks + 1
            continue
        foreign = path.startswith((str(decoy.parent), "//", "/dev/zero"))
        elsewhere = path.startswith(str(folder)) and not path.startswith(f"{folder}/{case}/")
        early = not uses and f"{case}/exomni/" in path
        pipe = path.endswith(("pipe.clip", "link.clip"))
        if case and (foreign or elsewhere or early or pipe):
            wrong.append(f"{case}: {line}")
    assert marks > COUNT
    assert not wrong, "\n".join(wrong[:20])
