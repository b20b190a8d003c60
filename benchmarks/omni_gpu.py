# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed and memory of the neural engine on a GPU, against a straightforward eager loop.

    python benchmarks/omni_gpu.py [--size published] [--device cuda] [--rounds 3] [--json out.json]

Published sizes, random weights in bfloat16, fixed lengths (omni_parts.py): 100 tokens and 200
units, which are 16 s of sound and 480 frames. First the rival (omni_rival.py) goes through all
stages, then ours: alone, in batches, and as a stream. Seconds are medians of the rounds, after a
rehearsal that is reported apart (it records the CUDA graphs). Real-time factor: seconds of work for
a second of speech. First audio, first face: from the question to the first piece that holds any;
the rival has none before it is done with everything. Takes some minutes on one GPU of 40 GB.
Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omni_parts import (
    SAMPLING,
    SIZES,
    STAGES,
    Inputs,
    Parts,
    Sizes,
    as_decoder,
    make_decoder_parts,
    make_parts,
    our_stages,
    plain_stages,
)
from omni_random_model import RandomModel
from omni_rival import RivalFace, RivalText, RivalUnits
from omni_rival_decoder import RivalFlow, RivalVocoder
from torch import nn

from exomni_core.omni.config import UNIT_RATE_HZ
from exomni_core.omni.decoding.decode_loop import DecodeLoop, Request
from exomni_core.omni.generation import Asked
from exomni_core.omni.model import OmniModel
from exomni_core.omni.nets.face_decoder import arkit_weights
from exomni_core.omni.nets.language_model import TextRule
from exomni_core.omni.nets.sampling import TextSampling
from exomni_core.omni.nets.speech_generator import UnitRule
from exomni_core.omni.speech.speech_decoder import SpeechDecoder
from exomni_core.omni.streaming import stream_reply

BATCHES = {"tiny": (1, 2), "medium": (1,), "published": (1, 8, 32)}
STREAMED_S = 12.0  # sound after which a measured stream is closed


class Machine:
    """Clock and memory of the device."""

    def __init__(self, name: str) -> None:
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(name)
        self.cuda = self.device.type == "cuda"
        self.dtype = torch.bfloat16 if self.cuda else torch.float32

    def wait(self) -> None:
        """Until the device has done everything."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def forget_peak(self) -> None:
        """Measure memory from here on."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gb(self) -> float | None:
        """Most memory in use since `forget_peak`."""
        if not self.cuda:
            return None
        return round(torch.cuda.max_memory_allocated(self.device) / 1e9, 2)

    def seconds(self, work: Callable[[], Any]) -> float:
        """How long `work` takes on the device."""
        self.wait()
        begin = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - begin

    def median(self, work: Callable[[], Any], rounds: int) -> tuple[float, float]:
        """Median seconds, and those of the rehearsal."""
        first = self.seconds(work)
        return statistics.median(self.seconds(work) for _ in range(rounds)), first

    def describe(self) -> str:
        """The device's name."""
        return torch.cuda.get_device_name(self.device) if self.cuda else "CPU"


def run_stages(
    machine: Machine, stages: Mapping[str, Callable[[], Any]], rounds: int
) -> dict[str, Any]:
    """Seconds by stage, their sum, the rehearsal's, and the peak of memory."""
    machine.forget_peak()
    seconds: dict[str, float] = {}
    rehearsal = 0.0
    for stage in STAGES:
        seconds[stage], first = machine.median(stages[stage], rounds)
        rehearsal += first
    rounded = {stage: round(s, 4) for stage, s in seconds.items()}
    total = round(sum(seconds.values()), 4)
    return {
        "seconds": rounded,
        "total_s": total,
        "rehearsal_s": round(rehearsal, 2),
        "peak_gb": machine.peak_gb(),
    }


def run_batch(
    machine: Machine, parts: Parts, decoder: SpeechDecoder, sizes: Sizes, rows: int, rounds: int
) -> dict[str, Any]:
    """`rows` replies at once, from prompts to sound and frames."""
    machine.forget_peak()
    talk = Talk(parts, decoder, sizes, rows, machine)
    spent = {
        stage: machine.median(work, rounds)[0]
        for stage, work in (
            ("text", talk.text), ("units", talk.units), ("face", talk.face), ("sound", talk.sound),
        )
    }  # fmt: skip
    total = sum(spent.values())
    return {
        "rows": rows,
        "seconds": {stage: round(s, 4) for stage, s in spent.items()},
        "total_s": round(total, 4),
        "tokens_per_s": round(rows * sizes.tokens / spent["text"], 1),
        "units_per_s": round(rows * sizes.units / spent["units"], 1),
        "speech_s_per_s": round(rows * sizes.units / UNIT_RATE_HZ / total, 2),
        "peak_gb": machine.peak_gb(),
    }


class Talk:
    """Some replies at once. Each stage works on what the one before has left."""

    def __init__(
        self, parts: Parts, decoder: SpeechDecoder, sizes: Sizes, rows: int, machine: Machine
    ) -> None:
        self.parts, self.decoder, self.sizes, self.rows = parts, decoder, sizes, rows
        prompt = Inputs(sizes, machine.device, machine.dtype).prompt
        most = sizes.tokens
        self.asked = [Request(prompt, most, most, seed) for seed in range(rows)]
        llm, generator = parts.llm, parts.generator
        self.texts = DecodeLoop(
            llm.backbone, TextRule(llm, SAMPLING), rows=rows, room=most, positions=sizes.prompt
        )
        self.speech = DecodeLoop(
            generator.backbone,
            UnitRule(generator),
            rows=rows,
            room=sizes.units,
            positions=most + 2,
        )
        self.written: Sequence[Any] = ()
        self.spoken: Sequence[Any] = ()

    def text(self) -> None:
        """Prompts to tokens."""
        self.written = self.texts.serve(self.asked, lambda: None)

    def units(self) -> None:
        """Tokens to units."""
        count = self.sizes.units
        asked = [
            Request(self.parts.generator.prompt(w.hidden, w.ids[None]), count, count, seed)
            for seed, w in enumerate(self.written)
        ]
        self.spoken = self.speech.serve(asked, lambda: None)

    def face(self) -> None:
        """Units to frames, one reply after the other."""
        for one in self.spoken:
            arkit_weights(self.parts.face(one.hidden, one.ids[None])[0]).cpu()

    def sound(self) -> None:
        """Units to samples."""
        self.decoder.decode_many([one.ids.tolist() for one in self.spoken])


def run_stream(machine: Machine, model: OmniModel, sizes: Sizes, rounds: int) -> dict[str, Any]:
    """First audio, first face and pace of a streamed reply."""
    asked = Asked(turns=(), most_tokens=sizes.tokens, sampling=SAMPLING)
    runs = [_one_stream(machine, model, asked) for _ in range(rounds + 1)]
    report = {name: round(statistics.median(run[name] for run in runs[1:]), 4) for name in runs[0]}
    return {**report, "rehearsal_s": round(runs[0]["closed_s"], 2)}


def _one_stream(machine: Machine, model: OmniModel, asked: Asked) -> dict[str, float]:
    machine.wait()
    begin = time.perf_counter()
    audio_s, first_text, first_audio, first_face = 0.0, 0.0, 0.0, 0.0
    pieces = stream_reply(model, asked, lambda: None)
    for piece in pieces:
        now = time.perf_counter() - begin
        first_text = first_text or (now if piece.text else 0.0)
        first_audio = first_audio or (now if len(piece.audio) else 0.0)
        first_face = first_face or (now if len(piece.weights) else 0.0)
        audio_s += len(piece.audio) / model.decoder.sample_rate_hz
        if audio_s >= STREAMED_S:
            break
    pieces.close()  # type: ignore[attr-defined]
    closed = time.perf_counter() - begin
    return {
        "first_text_s": first_text,
        "first_audio_s": first_audio,
        "first_face_s": first_face,
        "audio_s": audio_s,
        "closed_s": closed,
        "speech_s_per_s": audio_s / closed,
    }


def graphs_agree(machine: Machine, parts: Parts, sizes: Sizes) -> bool:
    """Whether steps as CUDA graphs choose the same tokens as without."""
    prompt = Inputs(sizes, machine.device, machine.dtype).prompt
    rule = TextRule(parts.llm, TextSampling(temperature=0.0))
    found = []
    for graphs in (True, False):
        loop = DecodeLoop(
            parts.llm.backbone,
            rule,
            rows=1,
            room=sizes.tokens,
            positions=sizes.prompt,
            graphs=graphs,
        )
        found.append(loop.serve([Request(prompt, 1, sizes.tokens, 0)], lambda: None)[0].ids)
    return torch.equal(*found)


def weights_gb(*parts: nn.Module) -> float:
    """Memory of all parameters, each counted once."""
    tensors = {p.data_ptr(): p for part in parts for p in part.parameters()}
    return round(sum(p.nbytes for p in tensors.values()) / 1e9, 2)


@torch.inference_mode()
def make_report(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything."""
    begin = time.perf_counter()
    machine, sizes, rounds = Machine(options.device), SIZES[options.size], options.rounds
    parts = make_parts(sizes, machine.device, machine.dtype)
    flow, vocoder = make_decoder_parts(sizes, machine.device, machine.dtype)
    given = Inputs(sizes, machine.device, machine.dtype)
    weights = weights_gb(parts.llm, parts.generator, parts.face, flow, vocoder)
    rivals: dict[str, Any] = {
        "text": RivalText(parts.llm),
        "units": RivalUnits(parts.generator),
        "face": RivalFace(parts.face),
        "flow": RivalFlow(flow),
        "vocoder": RivalVocoder(vocoder),
    }
    plain = run_stages(machine, plain_stages(rivals, given), rounds)
    del rivals  # it holds on to the weights in the order that ours is about to leave
    parts.pack()
    decoder = as_decoder(flow, vocoder)
    ours = run_stages(machine, our_stages(parts, decoder, given), rounds)
    batches = [
        run_batch(machine, parts, decoder, sizes, rows, rounds) for rows in BATCHES[options.size]
    ]
    machine.forget_peak()
    stream = run_stream(
        machine, RandomModel(parts, decoder, sizes, machine.device, machine.dtype), sizes, rounds
    )
    speech_s = sizes.sound_units / UNIT_RATE_HZ
    return {
        "benchmark": "omni_gpu",
        "size": options.size,
        "device": machine.describe(),
        "dtype": str(machine.dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "rounds": rounds,
        "lengths": {n: getattr(sizes, n) for n in ("prompt", "tokens", "units", "sound_units")},
        "weights_gb": weights,
        "plain": {**plain, "rtf": round(plain["total_s"] / speech_s, 4)},
        "ours": {**ours, "rtf": round(ours["total_s"] / speech_s, 4)},
        "ratio": round(plain["total_s"] / ours["total_s"], 2),
        "stage_ratio": {s: round(plain["seconds"][s] / ours["seconds"][s], 2) for s in STAGES},
        "batches": batches,
        "stream": {
            **stream,
            "plain_first_audio_s": plain["total_s"],
            "peak_gb": machine.peak_gb(),
        },
        "graphs_agree": graphs_agree(machine, parts, sizes),
        "took_s": round(time.perf_counter() - begin, 1),
    }


def print_tables(report: Mapping[str, Any]) -> None:
    """What the JSON says, for people."""
    print(f"{report['device']}, {report['size']} size, {report['dtype']}")
    print(f"{'stage':10}{'plain s':>10}{'ours s':>10}{'ratio':>8}")
    for stage, ratio in report["stage_ratio"].items():
        plain, ours = (report[way]["seconds"][stage] for way in ("plain", "ours"))
        print(f"{stage:10}{plain:10.3f}{ours:10.3f}{ratio:8.2f}")
    totals = [report[way]["total_s"] for way in ("plain", "ours")]
    print(f"{'all':10}{totals[0]:10.3f}{totals[1]:10.3f}{report['ratio']:8.2f}")
    print(f"real-time factor: plain {report['plain']['rtf']}, ours {report['ours']['rtf']}")
    print(f"\n{'rows':>5}{'tokens/s':>10}{'units/s':>10}{'speech s/s':>12}{'peak GB':>9}")
    for batch in report["batches"]:
        print(
            f"{batch['rows']:5}{batch['tokens_per_s']:10.0f}{batch['units_per_s']:10.0f}"
            f"{batch['speech_s_per_s']:12.1f}{batch['peak_gb'] or '':>9}"
        )
    stream = report["stream"]
    print(
        f"\nstream: first audio {stream['first_audio_s']:.3f} s, first face "
        f"{stream['first_face_s']:.3f} s (plain {stream['plain_first_audio_s']:.3f} s), "
        f"then {stream['speech_s_per_s']:.1f} s of speech a second"
    )
    print(f"graphs agree with plain steps: {report['graphs_agree']}; took {report['took_s']} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=tuple(SIZES), default="published")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = make_report(options)
    print_tables(report)
    print(json.dumps(report))
    if options.json:
        options.json.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
