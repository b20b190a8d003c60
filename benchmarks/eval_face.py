# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast `eval face` scores: synthetic clips of 10 s in npz files, all metrics and baselines.

Prints one JSON line: clips per second with one process per core, the time for 10,000 clips at that
rate and by processor time alone (on a busy machine the first is too long), and the memory of the
whole process tree at the first and the last tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def write_clips(folder: Path, clips: int, seconds: float) -> tuple[Path, Path]:
    """Smooth random weights, and a delayed, noisy copy of them as the prediction."""
    from exomni_core.arkit import ARKIT_52

    rng = np.random.default_rng(0)
    frames = round(seconds * 30)
    kernel = np.hanning(9) / np.hanning(9).sum()
    for side in ("pred", "ref"):
        (folder / side).mkdir(parents=True)
    for number in range(clips):
        noise = rng.normal(0.2, 0.5, (frames + 8, len(ARKIT_52)))
        ref = np.apply_along_axis(lambda c: np.convolve(c, kernel, "valid"), 0, noise)
        pred = np.roll(ref, number % 5 - 2, axis=0) + rng.normal(0, 0.02, ref.shape)
        for side, values in (("pred", pred), ("ref", ref)):
            table = np.clip(values, 0, 1).astype(np.float32)
            np.savez(folder / side / f"{number:06d}.npz", coef=table, names=ARKIT_52, fps=30.0)
    return folder / "pred", folder / "ref"


def tree_mb() -> float:
    """Resident memory of this process and its children, shared pages counted once each, in MB."""
    import psutil

    me = psutil.Process()
    total = 0
    for process in (me, *me.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


def cpu_s() -> float:
    """Processor seconds of this process and its ended children."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def main() -> None:
    """Write the clips, score them, and say how fast."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--template", default="head")
    parser.add_argument("--json", type=Path, help="also write the result there")
    arguments = parser.parse_args()
    from exomni_core.metrics.faces.score import Options
    from render_jobs.evaluation.face import FaceRun, evaluate_face
    from render_jobs.evaluation.head import prepare_head

    few = max(50, arguments.clips // 4)
    with tempfile.TemporaryDirectory() as name:
        small = write_clips(Path(name) / "few", few, arguments.seconds)
        pred, ref = write_clips(Path(name) / "all", arguments.clips, arguments.seconds)
        head = prepare_head(arguments.template)
        begin_cpu = cpu_s()
        evaluate_face(FaceRun(*small, workers=arguments.workers), head, Options())
        few_cpu = cpu_s() - begin_cpu
        memory: list[float] = []
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.5):
                memory.append(tree_mb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        begin, begin_cpu = time.perf_counter(), cpu_s()
        result = evaluate_face(FaceRun(pred, ref, workers=arguments.workers), head, Options())
        took, took_cpu = time.perf_counter() - begin, cpu_s() - begin_cpu
        done.set()
        watcher.join()
    each_s = (took_cpu - few_cpu) / (arguments.clips - few)  # without what starting costs
    settled = memory[len(memory) // 5 :] or [tree_mb()]
    tenth = max(1, len(settled) // 10)
    report = {
        "benchmark": "eval face, all metrics, baselines and intervals",
        "clips": arguments.clips,
        "seconds_each": arguments.seconds,
        "cores": os.cpu_count(),
        "template": head.facts["template"],
        "vertices": head.facts["vertices"],
        "lip_vertices": head.facts["lip_count"],
        "scored": result["counts"]["n_scored"],
        "seconds": round(took, 2),
        "clips_per_s": round(arguments.clips / took, 1),
        "minutes_for_10000": round(took / arguments.clips * 10_000 / 60, 2),
        "cpu_ms_per_clip": round(each_s * 1000, 1),
        "minutes_for_10000_on_2_idle_cores": round(each_s * 5000 / 60, 2),
        "memory_mb_early": round(statistics.median(settled[:tenth])),
        "memory_mb_late": round(statistics.median(settled[-tenth:])),
    }
    print(json.dumps(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
