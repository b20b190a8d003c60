# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in, made-up reference faces out: for tests and examples, never for a claim.

Each is its clip's own weights smoothed, damped, delayed and disturbed, as Audio2Face JSON. That
gives a yardstick of the right form, so that the whole way of an evaluation can be tried; it says
nothing about quality, and every file and table says `synthetic`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import Array
from exomni_core.errors import ExOmniError, InputError
from exomni_core.formats.convert import write_face
from exomni_core.metrics.series import read_series
from exomni_core.metrics.sources import Item, read_items
from exomni_core.storage.files import content_key, sha256_file, write_text

MODEL: Final = "synthetic"
VERSION: Final = 1
_JAW, _CLOSE = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
NOTE: Final = (
    "Made up from the clips of a system itself (smoothed, damped, delayed, disturbed). It is for "
    "trying out an evaluation and says nothing about any system's quality."
)


@dataclass(frozen=True)
class Recipe:
    """How a reference differs from its clip.

    smooth_s: standard deviation of a Gaussian over time. delay_s: how late it is. gain: of all
    weights. noise: standard deviation of slow disturbances, noise_s: how slow, both per channel.
    """

    smooth_s: float = 0.035
    delay_s: float = 0.03
    gain: float = 0.85
    noise: float = 0.02
    noise_s: float = 0.15


def make_references(
    run: Path,
    folder: Path,
    *,
    seed: int = 0,
    system: str = "",
    recipe: Recipe | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write `ID.json` for every clip at `run` (a batch run or whatever `eval face` reads).

    Also `reference.json`, which tells model, version and the hash of recipe and seed, and for each
    clip the hash of what it was made from. Clips without a face are listed, not made up. Returns
    counts and the failures. Raises InputError for a place without clips.
    """
    items, recipe = read_items(run, system=system), recipe or Recipe()
    made: dict[str, str] = {}
    failures = []
    for item in items:
        try:
            made[item.id] = _make(item, folder, seed, recipe)
        except (ExOmniError, OSError) as error:
            failures.append({"id": item.id, "reason": str(error)})
        if on_rows:
            on_rows(1)
    if not made:
        raise InputError(f"{run} holds no usable face; {failures[0]['reason']}")
    facts = {
        "model": MODEL, "model_version": str(VERSION),
        "config_sha256": config_hash(seed, recipe), "fps": 30.0, "note": NOTE, "seed": seed,
        "recipe": asdict(recipe), "made_from": dict(sorted(made.items())),
    }  # fmt: skip
    write_text(folder / "reference.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return {
        "references": str(folder),
        "counts": {"n": len(items), "n_made": len(made), "n_failed": len(failures)},
        "config_sha256": facts["config_sha256"],
        "failures": failures,
    }


def config_hash(seed: int, recipe: Recipe | None = None) -> str:
    """Hex SHA-256 of all that makes these references what they are, but the clips."""
    return content_key(
        {"model": MODEL, "version": VERSION, "seed": seed, "recipe": asdict(recipe or Recipe())}
    )


def synthetic_weights(
    weights: Array, fps: float, rng: np.random.Generator, recipe: Recipe
) -> Array:
    """(T, 52) weights at `fps` -> as many, as the recipe wants; values stay in [0, 1]."""
    late = _delayed(_smoothed(weights, recipe.smooth_s * fps), recipe.delay_s * fps)
    noise = _smoothed(rng.standard_normal(weights.shape), recipe.noise_s * fps)
    spread = noise.std(axis=0)
    noise = recipe.noise * noise / np.where(spread > 0, spread, 1.0)
    # What the clip never moves stays still: eyes that look about would be another face.
    moves = np.ptp(weights, axis=0) > 0.0
    made = np.asarray(np.clip(recipe.gain * late + noise * moves, 0.0, 1.0))
    # Beyond the jaw's opening, lips would go through each other.
    made[:, _CLOSE] = np.minimum(made[:, _CLOSE], made[:, _JAW])
    return made


def _make(item: Item, folder: Path, seed: int, recipe: Recipe) -> str:
    if item.path is None:
        raise InputError(item.error)
    target = folder / f"{item.id}.json"
    if target.parent != folder or item.id == "reference":
        raise InputError(f"{item.id[:60]!r} can't name a reference")
    series = read_series(item.path, fps=item.fps, names=item.names)
    digest = hashlib.sha256(f"{seed}\0{item.id}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    made = synthetic_weights(series.weights, series.fps, rng, recipe)
    write_face(target, made, series.fps)
    return sha256_file(item.path)


def _smoothed(values: Array, sigma: float) -> Array:
    """Each column of (T, K) with a Gaussian of `sigma` frames, its ends held."""
    if sigma <= 0.0:
        return values
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    return np.asarray(windows @ (kernel / kernel.sum()))


def _delayed(values: Array, frames: float) -> Array:
    """Each column of (T, K) later by so many frames, in between if need be; its start held."""
    at = np.arange(len(values), dtype=np.float64)
    columns: Sequence[Array] = [np.interp(at - frames, at, column) for column in values.T]
    return np.stack(columns, axis=1)
