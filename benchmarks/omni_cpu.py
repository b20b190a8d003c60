# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds of the neural engine's stages on this CPU, against a straightforward eager loop.

    python benchmarks/omni_cpu.py [--size medium] [--rounds 3] [--threads 2] [--json out.json]

Sizes and lengths are fixed (omni_parts.py): medium is a language model of 4 layers x 512, a
generator of 4 layers x 1024, face and speech decoder as published; 100 tokens, 200 units, 480
frames, and sound for 50 units. Three ways take turns on the same random weights: `plain` is the
rival (omni_rival.py) in float32, `float32` and `bfloat16` are ours. Every stage gets the same input
in all ways. Medians over the rounds, after a rehearsal; seconds of the processor are given too.
Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omni_parts import (
    SIZES,
    STAGES,
    Inputs,
    Parts,
    Sizes,
    Stages,
    as_decoder,
    cast,
    make_decoder_parts,
    make_parts,
    our_stages,
    plain_stages,
)
from omni_rival import RivalFace, RivalText, RivalUnits
from omni_rival_decoder import RivalFlow, RivalVocoder

CPU = torch.device("cpu")


def prepare(sizes: Sizes) -> tuple[dict[str, Stages], dict[str, Any]]:
    """The ways with their stages, and the rivals by stage."""
    parts = make_parts(sizes, CPU, torch.float32)
    flow, vocoder = make_decoder_parts(sizes, CPU, torch.float32)
    rivals: dict[str, Any] = {
        "text": RivalText(parts.llm),
        "units": RivalUnits(parts.generator),
        "face": RivalFace(parts.face),
        "flow": RivalFlow(flow),
        "vocoder": RivalVocoder(vocoder),
    }

    halves = [cast(p, torch.bfloat16) for p in (parts.llm, parts.generator, parts.face)]
    half = Parts(*halves).pack()
    half_decoder = as_decoder(cast(flow, torch.bfloat16), cast(vocoder, torch.float32))
    given, given_half = (Inputs(sizes, CPU, t) for t in (torch.float32, torch.bfloat16))
    ways = {
        "plain": plain_stages(rivals, given),
        "float32": our_stages(parts.pack(), as_decoder(flow, vocoder), given),
        "bfloat16": our_stages(half, half_decoder, given_half),
    }
    return ways, rivals


def measure(ways: Mapping[str, Stages], rounds: int) -> dict[str, dict[str, Any]]:
    """Medians for each way and stage: `wall` and `processor` seconds; the ways take turns."""
    spent: dict[str, dict[str, list[tuple[float, float]]]] = {
        way: {stage: [] for stage in STAGES} for way in ways
    }
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for stage in STAGES:
                for way, stages in ways.items():
                    before = time.perf_counter(), time.process_time()
                    stages[stage]()
                    if turn:  # the first one is the rehearsal
                        wall = time.perf_counter() - before[0]
                        spent[way][stage].append((wall, time.process_time() - before[1]))
    return {
        clock: {
            way: {
                stage: round(statistics.median(t[i] for t in times), 3)
                for stage, times in stages.items()
            }
            for way, stages in spent.items()
        }
        for i, clock in enumerate(("wall", "processor"))
    }


def totals(seconds: Mapping[str, float]) -> dict[str, float]:
    """talk: text, units and face. sound: flow and vocoder. all: both."""
    talk = sum(seconds[s] for s in STAGES[:3])
    sound = sum(seconds[s] for s in STAGES[3:])
    return {"talk": round(talk, 3), "sound": round(sound, 3), "all": round(talk + sound, 3)}


def unused_head_s(rival: RivalUnits, sizes: Sizes) -> float:
    """Seconds that the rival spends in the unit model's text head, which nobody reads."""
    head, width = rival.model.lm_head, rival.model.config.hidden_size
    prompt, row = torch.randn(1, sizes.tokens + 1, width), torch.randn(1, 1, width)
    begin = time.perf_counter()
    with torch.inference_mode():
        head(prompt)
        for _ in range(sizes.units - 1):
            head(row)
    return time.perf_counter() - begin


def step_bytes(sizes: Sizes) -> dict[str, int]:
    """Float32 bytes of the weights that one step of each loop reads."""

    def layers(c: Mapping[str, Any]) -> int:
        heads = 2 * c["num_attention_heads"] + 2 * c["num_key_value_heads"]
        per_layer = heads * c["head_dim"] + 3 * c["intermediate_size"]
        return int(c["num_hidden_layers"] * c["hidden_size"] * per_layer)

    text = layers(sizes.llm) + sizes.llm["hidden_size"] * sizes.llm["vocab_size"]
    return {"text": 4 * text, "units": 4 * (layers(sizes.unit_lm) + 1024 * (sizes.vocab + 3))}


def make_report(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything."""
    sizes = SIZES[options.size]
    ways, rivals = prepare(sizes)
    clocks = measure(ways, options.rounds)
    wall = clocks["wall"]
    whole = {way: totals(seconds) for way, seconds in wall.items()}
    counts, read = {"text": sizes.tokens, "units": sizes.units}, step_bytes(sizes)
    itemsize = {"float32": 4, "bfloat16": 2}
    return {
        "benchmark": "omni_cpu",
        "size": options.size,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rounds": options.rounds,
        "lengths": {
            name: getattr(sizes, name) for name in ("prompt", "tokens", "units", "sound_units")
        },
        "seconds": wall,
        "processor_seconds": clocks["processor"],
        "totals": whole,
        "ratio": {
            way: {part: round(whole["plain"][part] / t, 2) for part, t in whole[way].items()}
            for way in itemsize
        },
        "stage_ratio": {
            way: {s: round(wall["plain"][s] / wall[way][s], 2) for s in STAGES} for way in itemsize
        },
        "plain_unused_text_head_s": round(unused_head_s(rivals["units"], sizes), 3),
        "weights_read_gb_per_s": {
            way: {s: round(read[s] * size / 4 * counts[s] / wall[way][s] / 1e9, 1) for s in counts}
            for way, size in itemsize.items()
        },
        "load": os.getloadavg()[0],
    }


def print_table(report: Mapping[str, Any]) -> None:
    """Seconds by stage and way."""
    seconds, whole = report["seconds"], report["totals"]
    print(f"{'seconds':10}" + "".join(f"{way:>10}" for way in seconds))
    for name in (*STAGES, "talk", "sound", "all"):
        row = [(seconds[w] | whole[w])[name] for w in seconds]
        print(f"{name:10}" + "".join(f"{value:10.2f}" for value in row))
    ratios = ", ".join(f"{way} {r['all']} x" for way, r in report["ratio"].items())
    print(f"ours against plain: {ratios} (load {report['load']:.1f})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("tiny", "medium"), default="medium")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = make_report(options)
    print_table(report)
    print(json.dumps(report))
    if options.json:
        options.json.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
