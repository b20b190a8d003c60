# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that behaves in many ways, and runs of systems on a few prompts."""

from __future__ import annotations

import json
import time
from pathlib import Path

from render_jobs.systems.config import ProgramSystem
from render_jobs.systems.items import SystemOptions
from render_jobs.systems.run import run_system

FACE_PROGRAM = """
import json, os, sys, time, wave
import numpy as np
wav, text, out, mode = sys.argv[1:5]
with wave.open(wav) as f:
    frames = int(np.ceil(f.getnframes() / f.getframerate() * 30))
names = ["jawOpen", "mouthClose"]
coef = np.full((frames, 2), 0.5, np.float32)
if mode == "once" and not os.path.exists("tried"):
    open("tried", "w").close(); print("CUDA is shy today"); sys.exit(3)
if mode == "hang":
    os.system("sleep 60 & echo $! > child; wait")
if mode == "kill": os.kill(os.getpid(), 9)
if mode == "nothing": sys.exit(0)
if mode == "empty": open(out, "w").close(); sys.exit(0)
if mode == "link": os.symlink("/etc/hostname", out); sys.exit(0)
if mode == "nan": coef[1, 0] = np.nan
if mode == "names": names = ["jawOpen", "wiggle"]
if mode == "long": coef = np.tile(coef, (5, 1))
open("text", "w").write(text)
np.savez(out, coef=coef, names=np.array(names), fps=30.0)
"""


def write_prompts(folder: Path, rows: list[dict]) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def program(tmp_path: Path, mode: str, **changes) -> ProgramSystem:
    (tmp_path / "tool").mkdir(exist_ok=True)
    (tmp_path / "tool" / "face.py").write_text(FACE_PROGRAM)
    given = {
        "command": ("{python}", "face.py", "{audio}", "{text}", "{out}", mode),
        "cwd": tmp_path / "tool",
        "timeout_s": 30.0,
        "retries": 0,
    }
    return ProgramSystem("tool", **(given | changes))


def run(system, prompts, out, **changes):
    return run_system(system, SystemOptions(prompts, out, video=False, **changes))


def gone(pid: int) -> bool:
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or " Z " in stat.read_text():
            return True
        time.sleep(0.05)
    return False


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "systems.toml"
    path.write_text(text, encoding="utf-8")
    return path
