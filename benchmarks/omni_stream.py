# SPDX-License-Identifier: GPL-3.0-or-later
"""How far streamed faces and sound are from those made whole, with random weights.

    python benchmarks/omni_stream.py [--size tiny|published] [--json out.json]

For 1, 7, 35, 205 and 1,000 units (published: up to 205), one segment pushed 10 units at a time: the
largest difference of a weight, and the mean difference of the log10 mel of the sound, beside that
mel's own deviation. Random weights listen to the far past as to the near one, so for the sound this
is the worst case. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from omni_parts import SIZES, as_decoder, make_decoder_parts, random_part

from exomni_core.omni.nets.audio_features import MelExtractor
from exomni_core.omni.nets.face_decoder import FaceDecoder, arkit_weights
from exomni_core.omni.speech.speech_decoder import SpeechDecoder

LENGTHS = {"tiny": (1, 7, 35, 205, 1000), "published": (1, 7, 35, 205)}
PUSH = 10  # units at a time


def compare_face(face: FaceDecoder, units: torch.Tensor, hidden: torch.Tensor) -> dict[str, float]:
    """Streamed frames against frames made at once."""
    state, frames = face.start(), []
    for begin in range(0, len(units), PUSH):
        last = begin + PUSH >= len(units)
        rows = hidden[:, begin : None if last else begin + PUSH]
        part = units[begin : begin + PUSH].tolist()
        frames.append(face.push(state, rows, part, segment_ends=last, final=last))
    streamed = arkit_weights(torch.cat(frames, dim=1)[0])
    whole = arkit_weights(face(hidden, units[None])[0])
    return {"weight_max": float((streamed - whole).abs().max())}


def compare_sound(decoder: SpeechDecoder, units: list[int]) -> dict[str, float]:
    """The log mel of sound made in blocks against that made whole."""
    whole = decoder.decode(units, seed=0)
    state = decoder.start(seed=0)
    parts = [
        decoder.push(state, units[i : i + PUSH], final=i + PUSH >= len(units))
        for i in range(0, len(units), PUSH)
    ]
    streamed = torch.cat(parts)
    mel = MelExtractor()
    length = -(-len(whole) // mel.hop) * mel.hop
    pair = mel.padded_features([whole.numpy(), streamed.numpy()], length) * 4 - 4
    return {
        "samples_differ_by": len(streamed) - len(whole),
        "log10_mel_mean": float((pair[0] - pair[1]).abs().mean()),
        "log10_mel_deviation": float(pair.std()),
    }


@torch.inference_mode()
def measure(size: str) -> list[dict[str, Any]]:
    """One row per length."""
    sizes, cpu = SIZES[size], torch.device("cpu")
    face = random_part(lambda: FaceDecoder(sizes.face), cpu, torch.float32, 0)
    decoder = as_decoder(*make_decoder_parts(sizes, cpu, torch.float32))
    rows = []
    for count in LENGTHS[size]:
        random = torch.Generator().manual_seed(count)
        units = torch.randint(0, sizes.vocab, (count,), generator=random)
        hidden = torch.randn(1, count + 1, 1024, generator=random)
        row = {"units": count, **compare_face(face, units, hidden)}
        rows.append(row | compare_sound(decoder, units.tolist()))
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=LENGTHS, default="tiny")
    parser.add_argument("--json", type=Path, help="also write the result there")
    arguments = parser.parse_args()
    report = {"size": arguments.size, "rows": measure(arguments.size)}
    for row in report["rows"]:
        print("  ".join(f"{name} {value:.3g}" for name, value in row.items()))
    print(json.dumps(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
