# SPDX-License-Identifier: GPL-3.0-or-later
"""What recogniser scripts share: sound files in, one JSON line {"id", "text"} per file out.

Runs in the Python of the recogniser (3.8 and later); imports nothing of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from typing import Any, Callable  # noqa: UP035 (Python 3.8)

RATE_HZ = 16000
# A path and a language code -> the transcript.
Transcribe = Callable[[str, str], str]


def main(description: str, prepare: Callable[[argparse.Namespace], Transcribe], model: str) -> int:
    """Read the arguments, load the model once, transcribe everything; returns the exit code."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("audio", nargs="*", help="sound files")
    parser.add_argument("--list", help='instead: a file of lines {"id", "audio", "language"}')
    parser.add_argument("--language", default="", help="of the files, such as en")
    parser.add_argument("--model", default=model)
    parser.add_argument("--device", default="", help="such as cpu or cuda:0")
    arguments = parser.parse_args()
    items = read_items(arguments)
    # What the recogniser prints must not be taken for a transcript.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr
    transcribe = prepare(arguments)
    failed = 0
    for item in items:
        row: dict[str, Any] = {"id": item["id"]}
        try:
            row["text"] = transcribe(item["audio"], item.get("language") or arguments.language)
        except Exception as error:  # noqa: BLE001 (somebody else's code may raise anything)
            traceback.print_exc()
            failed += 1
            row["error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
        out.flush()
    return 1 if failed and not arguments.list else 0


def read_items(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The files to transcribe, with their ids."""
    if arguments.list:
        with open(arguments.list, encoding="utf-8") as handle:
            return [json.loads(line) for line in handle if line.strip()]
    return [
        {"id": os.path.splitext(os.path.basename(path))[0], "audio": path}  # noqa: PTH119, PTH122
        for path in arguments.audio
    ]


def read_mono(path: str) -> Any:
    """(S,) float32 at 16 kHz; resampled as Seed-TTS-Eval does (scipy.signal.resample)."""
    import numpy as np
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if rate != RATE_HZ:
        from scipy.signal import resample

        mono = resample(mono, int(len(mono) * RATE_HZ / rate))
    return np.asarray(mono, dtype=np.float32)
