# SPDX-License-Identifier: GPL-3.0-or-later
"""Random kills, stops and lacks of memory in all processes of a batch, of pairs and of the service.

`EXOMNI_EVENTS=300 EXOMNI_SEED=1 pytest -m slow tests/slow/test_random_events.py -s`; one event in
each run of a command. Each prints what became of it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from study_fixtures import make_runs
from system_tools import gone

from exomni_core.storage.files import TEMPORARY_MARK

pytestmark = pytest.mark.slow
EXORENDER = (sys.executable, "-m", "render_jobs.cli")
EVENTS = int(os.environ.get("EXOMNI_EVENTS", "12"))
SEED = os.environ.get("EXOMNI_SEED", "1")
ROWS = 6
LONGEST_S = 240.0  # a hang is noticed in 30 s, perhaps twice, on a busy machine
STOPPED_S = 5.0  # then the user lets the command itself go on
SERVICE = textwrap.dedent(
    """
    import sys
    from exomni_core.errors import ExOmniError
    from exomni_core.server.launch import start_service
    failed = 0
    for number in range(3):
        try:
            service = start_service(log=None)
            try:
                service.client(40.0).generate({"text": f"Hello there, number {number}."})
            finally:
                service.stop()
        except ExOmniError as error:
            failed += 1
            print(error, file=sys.stderr)
    sys.exit(failed > 1)
    """
)


def prompts(folder: Path, count: int) -> str:
    path = folder / "p.jsonl"
    text = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all."
    rows = [json.dumps({"id": f"r{i}", "text": f"{text} {i}"}) for i in range(count)]
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def clips(folder: Path) -> Sequence[str]:
    wishes = ("--workers", "2", "--no-video", "--out", str(folder / "out"))
    return (*EXORENDER, "batch", prompts(folder, ROWS), *wishes)


def videos(folder: Path) -> Sequence[str]:
    wishes = ("--size", "64x96", "--fps", "10", "--contact-sheet")
    return (*EXORENDER, "batch", prompts(folder, 2), "--out", str(folder / "out"), *wishes)


def pairs(folder: Path) -> Sequence[str]:
    root = folder / "runs"
    if not root.exists():
        make_runs(root, {f"i{n}": 2.0 for n in range(4)})
    runs = sorted(path for path in root.iterdir() if path.is_dir())
    wishes = ("--n", "4", "--raters", "2", "--languages", "en", "--min-s", "1")
    return (*EXORENDER, "pairs", *map(str, runs), "-o", str(folder / "out"), *wishes)


def service(_: Path) -> Sequence[str]:
    return (sys.executable, "-c", SERVICE)


ORDER = (clips, clips, service, clips, videos, service, pairs)


def family(command: psutil.Process) -> list[psutil.Process]:
    try:
        found = [command, *command.children(recursive=True)]
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []


def strike(victim: psutil.Process, event: str, own: bool) -> str:
    """Do it; what was struck."""
    name = " ".join(victim.cmdline())[:160]
    if event == "kill" or (event == "memory" and own):  # a limit would hold for all it starts
        victim.kill()
    elif event == "stop":
        victim.suspend()
    else:  # from now on it gets no memory any more
        victim.rlimit(psutil.RLIMIT_AS, (victim.memory_info().vms,) * 2)
    return name


def run_with_event(
    argv: Sequence[str], env: dict[str, str], chance: random.Random, moment_s: float
) -> dict[str, Any]:
    """One run with one event at that moment; what was struck, what it said, who took part."""
    struck_at, event = 0.0, chance.choice(("kill", "kill", "stop", "memory"))
    with open(Path(env["TMPDIR"]).parent / "said", "w+") as said:
        command = psutil.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=said)
        began, struck, own = time.monotonic(), "", False
        seen: set[psutil.Process] = set()
        while command.poll() is None:
            here = family(command)
            seen |= set(here)
            now = time.monotonic() - began
            if not struck and now > moment_s and here:
                victim = chance.choice(here)
                try:
                    own = victim.pid == command.pid
                    struck = strike(victim, event, own)
                    struck_at = now
                except psutil.Error:
                    continue
            if own and event == "stop" and now > struck_at + STOPPED_S:
                command.send_signal(signal.SIGCONT)
            assert now < LONGEST_S, f"{event} {struck}: it hangs"
            time.sleep(0.02)
        said.seek(0)
        words = said.read()
    return {
        "event": event, "struck": struck, "own": own, "code": command.returncode, "said": words,
        "seen": seen, "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def failures(folder: Path) -> list[str]:
    manifest = folder / "out" / "manifest.jsonl"
    if not manifest.exists():
        return []
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    return [row["error"] for row in rows if row["status"] == "failed"]


def check_sentences(told: str, event: str) -> None:
    assert "Traceback" not in told, told
    assert "OpenGL" not in told, told
    assert "report it" not in told or event == "memory", told
    if "no sign of life" in told:
        assert event == "stop", told
    if "signal 9" in told:
        assert event in ("kill", "memory"), told


def usual_s(argv: Sequence[str], env: dict[str, str]) -> float:
    began = time.monotonic()
    whole = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    return time.monotonic() - began


def test_random_events_lose_nothing(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    lengths: dict[str, float] = {}
    for number in range(EVENTS):
        kind: Callable[[Path], Sequence[str]] = ORDER[number % len(ORDER)]
        folder = tmp_path / kind.__name__
        scratch = folder / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        argv, env = kind(folder), {**os.environ, "TMPDIR": str(scratch)}
        if kind.__name__ not in lengths:
            lengths[kind.__name__] = usual_s(argv, env)
        if (folder / "out").exists():
            (folder / "out").rename(folder / f"before-{number}")
        moment_s = chance.uniform(0.05, 0.95) * lengths[kind.__name__]
        came = run_with_event(argv, env, chance, moment_s)
        lost = failures(folder)
        print(
            f"{number} {kind.__name__}: {came['event']} of [{came['struck']}] -> code "
            f"{came['code']} after {came['seconds']} s, lost {lost}; {came['said'][-300:]!r}",
            flush=True,
        )
        assert all(gone(process.pid) for process in came["seen"]), came
        check_sentences(" ".join(lost) + came["said"], came["event"])
        assert len(lost) <= 1
        if came["code"] != 0:  # the user runs it again
            again = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
            assert again.returncode == 0, again.stderr
            assert not failures(folder)
        left = [path for path in folder.rglob("*") if TEMPORARY_MARK in path.name]
        assert not left
        assert not list(folder.glob("out/.work"))
