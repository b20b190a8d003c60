# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of golden arrays of the speech tokenizer in -> how far ours is from each of them.

All shapes come from the folder's own manifests, configurations and arrays; the seed and the lengths
of the recordings stand in its README alone.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from exomni_core.omni.speech.speech_tokenizer import SpeechTokenizer, TokenizerConfig
from tests.golden.result import Result

FEATURES: Final = 1e-4
HIDDEN: Final = 2e-5
CLOSE_CALL: Final = 1e-2  # a wrong unit is forgiven where two codes are so equally near
PUBLIC_SEED: Final = 0x5EED0001
PUBLIC_LENGTHS: Final = (500_800, 48_077, 37_920, 16_000, 102_400)
SEGMENT: Final = 480_000

Arrays = Mapping[str, Any]


class Numbers:
    """The named random numbers of one set, and what its README tells of lengths."""

    def __init__(self, folder: Path) -> None:
        readme = folder / "README.md"
        text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
        found = re.search(r"SET_SEED\s*=\s*(0x[0-9A-Fa-f]+|\d+)", text)
        self._seed = int(found[1], 0) if found else PUBLIC_SEED
        whole = [int(number) for number in re.findall(r"(?<![\w.])\d{3,7}(?![\w.]\w)", text)]
        seconds = re.findall(r"(\d+(?:\.\d+)?) s\b", text)
        told = whole + [int(16_000 * float(number)) for number in seconds]
        self.lengths = list(dict.fromkeys([*told, *PUBLIC_LENGTHS]))

    def rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng((zlib.crc32(name.encode()) ^ self._seed) & 0xFFFFFFFF)

    def normal(self, name: str, shape: Sequence[int], mean: float = 0.0, std: float = 1.0) -> Any:
        return (mean + std * self.rng(name).standard_normal(shape)).astype(np.float32)

    def audio(self, name: str, count: int) -> Any:
        """(count,) float32 at 16 kHz."""
        rng = self.rng(name)
        envelope = np.repeat(rng.uniform(0.02, 0.3, size=count // 800 + 1), 800)[:count]
        return (envelope * rng.standard_normal(count)).astype(np.float32)


def check(folder: Path) -> Iterator[Result]:
    """Compare with everything about the tokenizer that lies in `folder`."""
    numbers = Numbers(folder)
    for part in ("reduced", "published"):
        arrays = folder / f"tokenizer_{part}.npz"
        if arrays.is_file():
            model = build(folder, part, numbers)
            with np.load(arrays) as found, torch.inference_mode():
                golden = {name: found[name] for name in found.files}
                for result in _check_part(model, golden, numbers):
                    name = f"tokenizer_{part} {result.name}"
                    yield Result(name, result.error, result.tolerance, result.note)


def build(folder: Path, part: str, numbers: Numbers) -> SpeechTokenizer:
    """The tokenizer with the weights of a manifest, made one by one."""
    config = json.loads((folder / f"tokenizer_{part}_config.json").read_text())
    manifest = json.loads((folder / f"tokenizer_{part}_manifest.json").read_text())
    tensors = (
        (part, name, torch.from_numpy(numbers.normal(name, m["shape"], m["mean"], m["std"])))
        for name, m in manifest.items()
        if not name.startswith("ema_")  # ignored anyway, and large
    )
    return SpeechTokenizer.from_tensors(TokenizerConfig.from_dict(config), tensors)


def _check_part(model: SpeechTokenizer, golden: Arrays, numbers: Numbers) -> Iterator[Result]:
    if "U.mask" in golden:
        yield from _check_given_features(model, golden, numbers)
    if "A.features" in golden:
        yield from _check_padded_pair(model, golden, numbers)
    if "P.token_ids" in golden:
        yield from _check_utterance(model, golden, numbers)
    if "P.tokens0" in golden:
        yield from _check_pipeline(model, golden, numbers)


def _check_given_features(
    model: SpeechTokenizer, golden: Arrays, numbers: Numbers
) -> Iterator[Result]:
    rows, length = golden["U.mask"].shape
    made = numbers.normal("tok/mel", (rows, model.config.num_mel_bins, length), 0.0, 0.5)
    inner = {"conv2_out": model.conv2, "layer0_out": model.layers[0]}
    inner["last_layer_out"] = model.layers[-1]
    seen: dict[str, Any] = {}

    def keep_as(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            seen[name] = output

        return hook

    hooks = [module.register_forward_hook(keep_as(name)) for name, module in inner.items()]
    yield from _check_hidden("U", model, torch.from_numpy(made), golden["U.mask"], golden)
    for hook in hooks:
        hook.remove()
    for name, found in seen.items():
        if f"U.{name}" in golden:
            yield _compared(f"U.{name}", found, golden[f"U.{name}"], HIDDEN)


def _check_padded_pair(
    model: SpeechTokenizer, golden: Arrays, numbers: Numbers
) -> Iterator[Result]:
    mask = golden["A.mask"]
    length = mask.shape[1] * 160

    def recording(row: int) -> Any:
        valid = int(mask[row].sum())
        choices = [n for n in numbers.lengths if -(-n // 160) == valid] or [valid * 160]
        made = [numbers.audio(f"tok/audio{row}", n) for n in choices]
        wanted = golden["A.features"][row]
        gaps = [_gap(model._mel.padded_features([samples], length)[0], wanted) for samples in made]
        return made[int(np.argmin(gaps))]

    rows = [recording(row) for row in range(len(mask))]
    features = model._mel.padded_features(rows, length)
    yield _compared("A.features", features, golden["A.features"], FEATURES)
    yield from _check_hidden("A", model, features, mask, golden)
    wanted = [
        ids[: -(-int(valid) * 160 // model.unit_samples)].tolist()
        for ids, valid in zip(golden["A.token_ids"], mask.sum(1), strict=True)
    ]
    margins = [m[: len(ids)] for m, ids in zip(golden["A.margin"], wanted, strict=True)]
    yield _units("A.token_ids from samples", model.encode(rows), wanted, margins)


def _check_utterance(model: SpeechTokenizer, golden: Arrays, numbers: Numbers) -> Iterator[Result]:
    wanted, margin = golden["P.token_ids"], golden["P.margin"]
    samples, ids = _best(model, numbers, "tok/utt_pub", wanted[0])
    yield _units("P.token_ids from samples", [ids], wanted.tolist(), margin)
    length = wanted.shape[1] * model.unit_samples
    features = model._mel.padded_features([samples], length)
    mask = np.arange(length // 160)[None] < -(-len(samples) // 160)
    yield from _check_hidden("P", model, features, mask, golden)


def _check_pipeline(model: SpeechTokenizer, golden: Arrays, numbers: Numbers) -> Iterator[Result]:
    names = sorted(name for name in golden if re.fullmatch(r"P\.tokens\d+", name))
    rows = [
        _best(model, numbers, name.replace("P.tokens", "tok/utt"), golden[name])[0]
        for name in names
    ]
    for at_once in (128, 1):
        found = model.encode(rows, segments_per_batch=at_once)
        for name, units in zip(names, found, strict=True):
            yield _units(f"{name}, {at_once} at once", [units], [golden[name].tolist()])


def _best(model: SpeechTokenizer, numbers: Numbers, name: str, wanted: Any) -> tuple[Any, Any]:
    """The recording `name` and its units, of the length that the README may mean."""
    choices = [n for n in numbers.lengths if _unit_count(n, model.unit_samples) == len(wanted)]
    choices = choices or [len(wanted) * model.unit_samples]
    tried = []
    for n in choices:
        samples = numbers.audio(name, n)
        ids = model.encode([samples])[0]
        tried.append((int((np.array(ids) != wanted).sum()), n, samples, ids))
    return min(tried, key=lambda one: one[:2])[2:]


def _unit_count(samples: int, unit: int) -> int:
    whole, rest = divmod(samples, SEGMENT)
    return whole * -(-SEGMENT // unit) + -(-rest // unit)


def _check_hidden(
    group: str, model: SpeechTokenizer, features: Any, mask: Any, golden: Arrays
) -> Iterator[Result]:
    frames = [-(-int(valid) // 2) for valid in mask.sum(1)]
    pooled = model.pooled(features, frames)
    yield _compared(f"{group}.pooled_hidden", pooled, golden[f"{group}.pooled_hidden"], HIDDEN)
    ids = model.quantise(pooled)
    counts = [-(-count // model.config.pooling_kernel_size) for count in frames]
    yield _units(
        f"{group}.token_ids",
        [row[:count].tolist() for row, count in zip(ids, counts, strict=True)],
        [r[:n].tolist() for r, n in zip(golden[f"{group}.token_ids"], counts, strict=True)],
        [r[:n] for r, n in zip(golden[f"{group}.margin"], counts, strict=True)],
    )
    # From the golden ids, so that a forgiven one doesn't count here.
    wanted = golden[f"{group}.last_hidden_state"]
    hidden = model.hidden(torch.from_numpy(golden[f"{group}.token_ids"]))[:, : wanted.shape[1]]
    yield _compared(f"{group}.last_hidden_state", hidden, wanted, HIDDEN)


def _gap(found: Any, wanted: Any) -> float:
    return float(np.abs(np.asarray(found, np.float64) - wanted).max())


def _compared(name: str, found: Any, wanted: Any, tolerance: float) -> Result:
    if tuple(found.shape) != wanted.shape:
        return Result(
            name, float("inf"), tolerance, f"{tuple(found.shape)} instead of {wanted.shape}"
        )
    return Result(name, _gap(found, wanted), tolerance)


def _units(
    name: str, found: list[Any], wanted: list[Any], margins: Sequence[Any] | None = None
) -> Result:
    """How many units are wrong, but for close calls."""
    wrong = close = 0
    for number, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        if len(ours) != len(theirs):
            return Result(name, float("inf"), 0, f"{len(ours)} units instead of {len(theirs)}")
        differs = np.array(ours) != np.array(theirs)
        forgiven = differs & (margins[number] < CLOSE_CALL) if margins is not None else differs & 0
        close += int(forgiven.sum())
        wrong += int(differs.sum() - forgiven.sum())
    return Result(name, wrong, 0, f"{close} close calls differ" if close else "")
