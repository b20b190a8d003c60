# SPDX-License-Identifier: GPL-3.0-or-later
"""A format, a count and a seed in; its reader on so many broken files, what went wrong out as JSON.

    python tests/slow/fuzz_readers.py clip --count 20000 --seed 1

A reader may take a file or refuse it in one sentence. Anything else is told: another exception,
more than 5 s, more memory than 300 MB + 20 x the file, a file written outside the folder.
"""

from __future__ import annotations

import argparse
import base64
import copy
import io
import json
import os
import random
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from exomni_core.arkit import ARKIT_52
from exomni_core.audio import read_audio
from exomni_core.clip import Clip, clip_to_bytes, load_clip, load_face, load_facts
from exomni_core.errors import ExOmniError
from exomni_core.formats.convert import read_face
from exomni_core.prompt import read_prompts
from render_jobs.batch.folder import Row, read_rows
from render_jobs.study.plan_file import read_study
from render_jobs.study.ratings import COLUMNS, read_ratings
from templates.importing.npz_source import read_npz as read_head
from templates.mesh import mesh_from_npz

MOST_S = 5.0
FREE_MB, TIMES = 300, 20
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, "", "x" * 5000, [], {}, [[]],
    "\x00", "../../etc/passwd", "/dev/zero", "\ud800", [None], {"": None},
)  # fmt: skip
Read = Callable[[Path], object]


def sound(kind: str) -> bytes:
    """A short sine as a file of that kind."""
    out = io.BytesIO()
    time_s = np.arange(4000) / 16_000
    soundfile.write(out, 0.5 * np.sin(1400 * time_s), 16_000, format=kind)
    return out.getvalue()


def clip() -> bytes:
    """A small clip."""
    samples = (0.1 * np.sin(np.arange(8000) / 9)).astype(np.float32)
    weights = np.zeros((15, 52), np.float32)
    return clip_to_bytes(Clip(samples, 16_000, weights, 30.0, text="a", engine="e"))


def npz(**arrays: Any) -> bytes:
    """An npz file."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def head() -> bytes:
    """A head of a few faces."""
    rng = np.random.default_rng(0)
    shapes = rng.random((52, 12, 3)).astype(np.float32)
    faces = rng.integers(0, 12, (9, 3))
    return npz(
        meanshape=rng.random((12, 3)), blendshape=shapes, faces=faces, bs_names=np.array(ARKIT_52)
    )


def lines(*rows: Any) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def read_config(path: Path) -> None:
    """A checkpoint's config.json, where torch is there."""
    from exomni_core.omni.config import parse_config
    from exomni_core.omni.tensor_files import read_json

    parse_config(read_json(path))


def read_tensors(path: Path) -> None:
    """The tensors of a safetensors file."""
    from exomni_core.omni.tensor_files import tensors_in

    for _ in tensors_in(path):
        pass


def safetensors() -> bytes:
    """A file of one tensor."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(16)


def read_clip_in_all_ways(path: Path) -> None:
    """Whole, for a renderer, and its facts; what one refuses, the others are still shown."""
    refused: ExOmniError | None = None
    for read in (load_clip, load_face, load_facts):
        try:
            read(path)
        except ExOmniError as error:
            refused = error
    if refused:
        raise refused


def read_head_in_both_ways(path: Path) -> None:
    """As an import reads it, and as a renderer does."""
    try:
        read_head(path)
    finally:
        mesh_from_npz(path)


FACE = {"exportFps": 30, "facsNames": list(ARKIT_52), "weightMat": [[0.25] * 52] * 3}
PROMPT = {"id": "a", "text": "Hello.", "history": [{"role": "user", "text": "x"}], "seed": 3,
          "mode": "reply", "meta": {"a": [1]}}  # fmt: skip
CONFIG = {
    "unit_vocab_size": 8, "speech_encoder_ds_rate": 5, "bs_decoder_dimension": 8, "nhead": 2,
    "speech_vocab_size": 8, "speech_embed_dim": 8, "num_bs_decoder_layers": 1, "out_dim": 52,
    "hidden_size": 8, "vocab_size": 8, "period": 25, "speech_projector_type": "linear",
}  # fmt: skip
ROW = vars(Row("a", 1, "done", clip="clips/a.clip", notes=[], key={"clip": "0f"}))
CSV = "Timecode,BlendshapeCount," + ",".join(n[0].upper() + n[1:] for n in ARKIT_52)
CSV += "".join(f"\n00:00:0{k // 30}:{k % 30:02}.0,52" + ",0.25" * 52 for k in range(40))
RATINGS = ",".join(COLUMNS[:15]) + "\nr,p,i,en,a,b,a,b,left,main,,0,900,2000,\n"
# format -> (file name, a good file, its reader)
FORMATS: dict[str, tuple[str, Callable[[], bytes], Read]] = {
    "clip": ("a.clip", clip, read_clip_in_all_ways),
    "npz": ("a.npz", lambda: npz(coef=np.zeros((4, 52)), names=np.array(ARKIT_52), fps=30.0),
            read_face),
    "csv": ("a.csv", CSV.encode, read_face),
    "json": ("a.json", lambda: json.dumps(FACE).encode(), read_face),
    "prompts": ("a.jsonl", lambda: lines(PROMPT, {"id": "b", "audio": "b.wav"}), read_prompts),
    "manifest": ("manifest.jsonl", lambda: lines(ROW, ROW), read_rows),
    "study": ("study.json", lambda: json.dumps({"schema_version": 1, "seats": []}).encode(),
              lambda path: read_study(path.parent)),
    "ratings": ("a.csv", RATINGS.encode, read_ratings),
    "head": ("a.npz", head, read_head_in_both_ways),
    "config": ("config.json", lambda: json.dumps(CONFIG).encode(), read_config),
    "safetensors": ("a.safetensors", safetensors, read_tensors),
    "wav": ("a.wav", lambda: sound("WAV"), read_audio),
    "flac": ("a.flac", lambda: sound("FLAC"), read_audio),
}  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A broken form of a file: its zip's members, its JSON's values, or its bytes."""
    way = rng.random()
    if data[:2] == b"PK" and way < 0.7:
        return _zip_again(data, rng)
    if data[:1] == b"{" and way < 0.6:
        return _json_again(data, rng)
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        data = _bytes_again(data, rng)
    return data


def _zip_again(data: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    members[name] = mutated(members[name], rng)
    if rng.random() < 0.1:
        members[rng.choice(list(members))] = bytes(rng.choice((0, 1 << 20, 40 << 20)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            if rng.random() > 0.02:
                archive.writestr(name, body)
    return out.getvalue()


def _json_again(data: bytes, rng: random.Random) -> bytes:
    rows = data.split(b"\n")
    at = rng.randrange(len(rows))
    try:
        found = json.loads(rows[at])
    except ValueError:
        return _bytes_again(data, rng)
    for _ in range(rng.choice((1, 1, 3))):
        inner = found
        while isinstance(inner, (dict, list)) and inner:
            key: Any = rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            if isinstance(inner[key], (dict, list)) and inner[key] and rng.random() < 0.6:
                inner = inner[key]
                continue
            inner[key] = copy.deepcopy(rng.choice(ODD))
            break
    rows[at] = json.dumps(found).encode()
    return b"\n".join(rows)


def _bytes_again(data: bytes, rng: random.Random) -> bytes:
    at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    way = rng.randrange(6)
    if way == 0:
        return data[:at] or b"\0"
    if way == 1:
        return data[:at] + rng.randbytes(rng.choice((1, 4, 100))) + data[at:]
    if way == 2:
        return data[:at] + data[end:]
    if way == 3:
        return data[:at] + data[at : min(end, at + 200)] * rng.choice((2, 50)) + data[at:]
    if way == 4:
        odd = (b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(8), b"-1", b"1e999", b"null", b",;\t", b'"')
        piece = rng.choice(odd)
        return data[:at] + piece + data[at + len(piece) :]
    return data[:at] + bytes((data[at] ^ (1 << rng.randrange(8)),)) + data[at + 1 :] if (
        at < len(data)
    ) else data[:-1] or b"\0"  # fmt: skip


def watch_writing(folder: Path, found: list[str]) -> None:
    """From now on, files opened for writing outside of `folder` are told in `found`."""
    inside = str(folder.resolve())

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(given[0], str) and isinstance(given[2], int):
            writes = given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            place = Path(given[0]).resolve()
            # A folder is opened for a file without a name, which is gone when it is closed.
            if writes and not place.is_dir() and not str(place).startswith((inside, "/dev/null")):
                found.append(given[0])

    sys.addaudithook(hook)


def attack(kind: str, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """`count` broken files of a format; the faults, the slowest (s) and the peak memory (MB)."""
    name, make, read = FORMATS[kind]
    good, path, faults, slowest, largest = make(), folder / name, {}, 0.0, 0
    outside: list[str] = []
    path.write_bytes(good)
    taken = sum(_taken(read, path, faults, good))  # also loads what it needs
    watch_writing(folder, outside)
    for number in range(count):
        data = mutated(good, random.Random(f"{kind} {seed} {number}"))
        path.write_bytes(data)
        started = time.monotonic()
        taken += sum(_taken(read, path, faults, data))
        took = time.monotonic() - started
        slowest, largest = max(slowest, took), max(largest, len(data))
        if took > MOST_S:
            faults.setdefault(f"took {took:.1f} s", base64.b64encode(data[:4000]).decode())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    if peak > FREE_MB + TIMES * (largest >> 20):
        faults[f"took {peak} MB"] = f"largest file {largest} bytes"
    return {"format": kind, "count": count, "seed": seed, "taken": taken, "slowest_s": slowest,
            "peak_mb": peak, "outside": outside, "faults": faults}  # fmt: skip


def _taken(read: Read, path: Path, faults: dict[str, str], data: bytes) -> list[int]:
    try:
        read(path)
    except ExOmniError as error:
        if "\n" in str(error):
            faults.setdefault(f"two lines: {error}"[:300], base64.b64encode(data[:4000]).decode())
        return [0]
    except Exception as error:  # noqa: BLE001 (that is what it looks for)
        trace, last = error.__traceback__, ""
        while trace:
            last = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
            trace = trace.tb_next
        told = f"{type(error).__name__}: {error}"[:120] + f" at {last}"
        faults.setdefault(told, base64.b64encode(data[:4000]).decode())
        return [0]
    return [1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("format", choices=sorted(FORMATS))
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(attack(asked.format, asked.count, asked.seed, Path(place)), indent=1))
