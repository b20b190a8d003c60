# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers and commands killed at random moments: no unfinished file and no process remains."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from study_fixtures import make_runs
from system_tools import gone

from exomni_core.storage.files import TEMPORARY_MARK
from templates.library import find_template, load_mesh
from templates.mesh import save_npz

pytestmark = pytest.mark.slow
EXORENDER = (sys.executable, "-m", "render_jobs.cli")
SMALL = ("--size", "64x96", "--fps", "10")
LONG = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all."


def write_prompts(folder: Path, count: int) -> str:
    path = folder / "p.jsonl"
    lines = [json.dumps({"id": f"r{i}", "text": f"{LONG} {i}"}) for i in range(count)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def clips(folder: Path) -> Sequence[str]:
    return ("batch", write_prompts(folder, 16), "--out", str(folder / "out"), "--no-video")


def videos(folder: Path) -> Sequence[str]:
    return ("batch", write_prompts(folder, 4), "--out", str(folder / "out"), *SMALL)


def sheets(folder: Path) -> Sequence[str]:
    return (*videos(folder), "--contact-sheet")


def composites(folder: Path) -> Sequence[str]:
    runs = make_runs(folder, {f"i{n}": 2.0 for n in range(4)})
    wishes = ("--n", "4", "--raters", "2", "--languages", "en", "--min-s", "1")
    return ("pairs", *map(str, runs), "-o", str(folder / "out"), *wishes)


def template(folder: Path) -> Sequence[str]:
    mesh = folder / "head.npz"
    save_npz(load_mesh(find_template("head")), mesh)
    wishes = ("--name", "mine", "--dest", str(folder / "out"), "--force")
    return ("templates", "add", str(mesh), *wishes)


def suite(folder: Path) -> Sequence[str]:
    write_prompts(folder, 8)
    (folder / "suite.toml").write_text(
        '[suite]\ntitle = "t"\n[[set]]\nname = "one"\nprompts = "p.jsonl"\n'
        '[[system]]\nname = "ours"\nengine = "embedded"\n[metrics.sync]\n'
    )
    return ("eval", "suite", str(folder / "suite.toml"), "-o", str(folder / "out"))


KINDS = (clips, videos, sheets, composites, template, suite)


def below(process: psutil.Process) -> Iterator[psutil.Process]:
    try:
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def is_worker(process: psutil.Process) -> bool:
    try:
        return "worker" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@pytest.mark.parametrize("victim_is", ["worker", "command"])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_what_was_killed(
    kind: Callable[[Path], Sequence[str]], victim_is: str, tmp_path: Path
) -> None:
    command = kind(tmp_path)
    chance = random.Random(f"{kind.__name__} {victim_is}")
    began = time.monotonic()
    whole = subprocess.run([*EXORENDER, *command], capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    usual_s = time.monotonic() - began
    seen: set[psutil.Process] = set()
    for _ in range(2 if kind is template else 5):  # that takes minutes
        if (tmp_path / "out").exists():
            (tmp_path / "out").rename(tmp_path / f"before-{time.monotonic_ns()}")
        victim = psutil.Popen(
            [*EXORENDER, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        moment = time.monotonic() + chance.uniform(0.2, 0.9) * usual_s
        while victim.poll() is None:
            seen |= set(below(victim))
            if time.monotonic() > moment:
                moment = float("inf")
                workers = [p for p in below(victim) if is_worker(p)]
                if victim_is == "command":
                    victim.kill()
                elif workers:
                    chance.choice(workers).kill()
            time.sleep(0.01)
        if victim_is == "command":
            assert all(gone(process.pid) for process in seen)
            subprocess.run([*EXORENDER, *command], capture_output=True, check=False)
        assert all(gone(process.pid) for process in seen)
        left = [path for path in tmp_path.rglob("*") if TEMPORARY_MARK in path.name]
        assert not left
        assert not list(tmp_path.glob("out/.work"))
