# SPDX-License-Identifier: GPL-3.0-or-later
"""A study served to 50 raters at once -> how long answers take, and whether all are kept.

Each rater is a thread of this program that does what the page does: loads the next clip in parts,
waits as long as the clip lasts, sends the answer with its timing log. Raters come faster than
people would: by default an answer a second and a half each. The server is a process of its own.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exomni_core.audio import write_wav
from exomni_core.storage.files import write_text
from render_jobs.study.making.pairs import PairOptions, build_study
from render_jobs.study.plan import Seat
from render_jobs.study.plan_file import read_study, write_study
from render_jobs.study.serving.exporting import ratings_of
from render_jobs.study.serving.links import load_keys
from render_jobs.video.ffmpeg_command import find_ffmpeg

REPO = Path(__file__).resolve().parents[1]
RATE_HZ = 16_000
SIZE = "512x768"


def make_runs(root: Path, items: int, length_s: float) -> tuple[Path, ...]:
    """Two systems' videos of the size that studies have: moving test pictures with noise."""
    for system, pattern in (("a", "testsrc2"), ("b", "testsrc")):
        (root / system).mkdir(parents=True)
        for number in range(items):
            rng = np.random.default_rng(number)
            wav = root / "speech.wav"
            sound = 0.1 * rng.standard_normal(round(length_s * RATE_HZ)).clip(-3, 3)
            write_wav(wav, sound.astype(np.float32), RATE_HZ)
            subprocess.run(
                [find_ffmpeg(), "-v", "error", "-f", "lavfi", "-i",
                 f"{pattern}=size={SIZE}:rate=30:duration={length_s}", "-i", str(wav),
                 "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac",
                 str(root / system / f"en_{number:02d}.mp4")], check=True,
            )  # fmt: skip
    return root / "a", root / "b"


def make_study(root: Path, raters: int, rounds: int) -> Path:
    """A study whose seats hold the same trials over and over, so that nobody comes to an end."""
    runs = make_runs(root / "runs", 8, 3.2)
    folder = build_study(
        PairOptions(runs, root / "study", count=4, raters=4, languages=("en",), contact="nobody")
    ).folder
    study = read_study(folder)
    seats = []
    for number in range(raters):
        trials = [t for t in study.seats[number % 4].trials if t.kind != "practice"] * rounds
        seats.append(
            Seat(
                number,
                tuple(replace(t, index=k, trial_id=uuid.uuid4().hex) for k, t in enumerate(trials)),
            )
        )
    write_study(replace(study, seats=tuple(seats), break_every=10_000), folder)
    return folder


class Rater:
    """One rater's browser."""

    def __init__(self, port: int, token: str, rater_id: str, folder: Path) -> None:
        self.path, self.rater_id, self.keys = f"/r/{token}", rater_id, load_keys(folder)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.tab = uuid.uuid4().hex[:24]
        self.answer_ms: list[float] = []
        self.given: dict[str, str] = {}
        self.loaded_bytes = 0

    def post(self, action: str, **data: Any) -> dict[str, Any]:
        """What the server says."""
        body = json.dumps({"tab": self.tab, "viewport": "1280x800", **data})
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", f"{self.path}/{action}", body, headers)
        answer = self.connection.getresponse()
        told = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{action}: {answer.status} {told}")
        return dict(told)

    def load(self, name: str) -> None:
        """A clip, in two parts, as Safari does it."""
        for part in ("bytes=0-1", "bytes=0-"):
            self.connection.request("GET", f"{self.path}/v/{name}", headers={"Range": part})
            answer = self.connection.getresponse()
            self.loaded_bytes += len(answer.read())
            if answer.status != 206:
                raise RuntimeError(f"{name}: {answer.status}")

    def run(self, end: float, pause_s: float) -> None:
        """Rate until `end`."""
        chance = random.Random(self.rater_id)
        state = self.post("open", browser="Chrome", language="en")
        while state["step"] != "trial":
            if state["step"] == "consent":
                state = self.post("consent", consent="yes", version=state["version"])
            elif state["step"] == "sound":
                digits = self.keys.digits(self.rater_id, state["attempt"])
                state = self.post("sound", digits=digits)
            else:
                state = self.post("next", **{"from": state["step"]})
        while time.monotonic() < end and state["step"] == "trial":
            self.load(state["trial"]["files"]["both"])
            time.sleep(pause_s * chance.uniform(0.3, 1.7))
            state = self.answer(state["trial"], chance.choice(["left", "tie", "right"]))

    def answer(self, trial: dict[str, Any], response: str) -> dict[str, Any]:
        """Send an answer and take its time."""
        length_ms = trial["duration_ms"]
        timing = {
            "coverage": 1.0,
            "plays": 1,
            "stalls": 0,
            "played": [[0, length_ms]],
            "by": "keys",
        }
        started = time.perf_counter()
        state = self.post(
            "answer",
            uuid=str(uuid.uuid4()),
            trial=trial["id"],
            response=response,
            rt_ms=length_ms + 400,
            timing=timing,
        )
        self.answer_ms.append(1000 * (time.perf_counter() - started))
        self.given[trial["id"]] = response
        return state


def serve(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """The server as people start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "render_jobs.cli", "study", "serve", str(folder), "--port", "0",
         "--json"], cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(json.loads(process.stdout.readline())["port"])


def measure(folder: Path, raters: int, seconds: float, pause_s: float) -> dict[str, Any]:
    """Let them rate, then compare what they gave with what was kept."""
    process, port = serve(folder)
    keys = load_keys(folder)
    people = [
        Rater(port, keys.rater_token(seat), f"R{seat + 1:02d}", folder) for seat in range(raters)
    ]
    memory_kib = [0]
    stop = threading.Event()
    threading.Thread(target=_watch, args=(process.pid, memory_kib, stop), daemon=True).start()
    started = time.monotonic()
    with ThreadPoolExecutor(raters) as threads:
        for job in [threads.submit(p.run, started + seconds, pause_s) for p in people]:
            job.result()
    took_s = time.monotonic() - started
    stop.set()
    process.terminate()
    process.wait(30)
    return _facts(folder, people, took_s) | {"server_peak_mb": round(memory_kib[0] / 1024, 1)}


def _facts(folder: Path, people: list[Rater], took_s: float) -> dict[str, Any]:
    trials = {t.trial_id: t.index for seat in read_study(folder).seats for t in seat.trials}
    given = sorted(
        (p.rater_id, trials[trial], response) for p in people for trial, response in p.given.items()
    )
    kept = sorted((r.rater_id, r.trial_index, r.response) for r in ratings_of(folder))
    times = np.array([ms for p in people for ms in p.answer_ms])
    return {
        "raters": len(people),
        "seconds": round(took_s, 1),
        "answers": len(times),
        "answers_a_second": round(len(times) / took_s, 1),
        "clips_mbit_s": round(8e-6 * sum(p.loaded_bytes for p in people) / took_s, 1),
        "answer_ms": {
            name: round(float(np.percentile(times, share)), 1)
            for name, share in (("median", 50), ("p95", 95), ("p99", 99), ("max", 100))
        },
        "lost_doubled_or_mixed_up": len(set(given) ^ set(kept)) + abs(len(given) - len(kept)),
    }


def _watch(pid: int, peak_kib: list[int], stop: threading.Event) -> None:
    while not stop.wait(1.0):
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        except OSError:
            return
        found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        peak_kib[0] = max([peak_kib[0], *map(int, found)])


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raters", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--pause", type=float, default=1.5, help="mean seconds before an answer")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="study-load-"))
    try:
        rounds = 2 + round(options.seconds / options.pause / 3)
        folder = make_study(root, options.raters, rounds)
        facts = measure(folder, options.raters, options.seconds, options.pause)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    line = json.dumps({"benchmark": "study_load", **facts})
    print(line)
    if options.json:
        write_text(options.json, line + "\n")


if __name__ == "__main__":
    main()
