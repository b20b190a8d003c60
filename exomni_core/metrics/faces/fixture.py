# SPDX-License-Identifier: GPL-3.0-or-later
"""An npz of a head and pairs of series in, its metrics under the golden names out.

Keys of the npz: `neutral` (V, 3), `deltas` (52, V, 3), `names`, `lip_ids`, `upper_ids`,
`lip_open_pairs` (n, 2), `unit_to_mm`, `fps`, `n_samples`; per sample `pred_000` (T, K),
`pred_names_000`, `pred_fps_000`, `ref_000` (T', 52), `ref_fps_000`, `bilabial_000` (n, 2 seconds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.errors import InputError
from exomni_core.metrics.aggregate import mean_of, pooled_mean
from exomni_core.metrics.faces.basis import FaceBasis, Regions, make_basis
from exomni_core.metrics.faces.face import Values
from exomni_core.metrics.faces.registry import clip_metrics, row_keys
from exomni_core.metrics.resample import align
from exomni_core.metrics.series import by_name
from exomni_core.storage.npz import read_arrays

Arrays = Mapping[str, npt.NDArray[Any]]
_NEEDED: Final = ("neutral", "deltas", "names", "lip_ids", "upper_ids", "unit_to_mm", "fps")


def score_fixture(path: Path) -> dict[str, Any]:
    """Score every sample of the fixture; returns {"per_sample": [...], "aggregate": {...}}.

    Undefined values are None. Raises InputError for a file that breaks the layout.
    """
    arrays = _load(path)
    basis, fps = _basis(arrays, path), float(arrays["fps"])
    count = int(arrays["n_samples"]) if "n_samples" in arrays else 0
    if count < 1:
        raise InputError(f"{path} holds no samples")
    rows = [_sample(arrays, number, basis, fps, path) for number in range(count)]
    return {"per_sample": rows, "aggregate": aggregate(rows)}


def aggregate(rows: Sequence[Values]) -> dict[str, float | int | None]:
    """Means over the samples, and over all frames of all samples, under the golden names."""
    result: dict[str, float | int | None] = {
        f"mean_{name}": mean_of(row[name] for row in rows) for name in row_keys()
    }
    for name in ("lve_l2_mm", "lve_sq_mm2"):
        result[f"{name}_sample_mean"] = mean_of(row[name] for row in rows)
        result[f"{name}_frame_pooled"] = pooled_mean(rows, name)
    result["mve_mm_frame_pooled"] = pooled_mean(rows, "mve_mm")
    result["fdd_sq_mm2_signed_mean"] = mean_of(row["fdd_sq_mm2"] for row in rows)
    for name in ("fdd_sq_mm2", "fdd_l2_mm"):
        there = [row[name] for row in rows if row[name] is not None]
        result[f"{name}_abs_mean"] = mean_of(abs(value) for value in there if value is not None)
    result["frames_used_total"] = sum(int(row["frames_used"] or 0) for row in rows)
    return result


def _load(path: Path) -> Arrays:
    arrays = read_arrays(path)
    if missing := [name for name in _NEEDED if name not in arrays]:
        raise InputError(f"{path} is no fixture: it lacks {', '.join(missing)}")
    return arrays


def _basis(arrays: Arrays, path: Path) -> FaceBasis:
    names, deltas = [str(name) for name in arrays["names"]], arrays["deltas"]
    if len(deltas) != len(names):
        raise InputError(f"{path}: {len(deltas)} deltas but {len(names)} names")
    ordered = np.zeros((len(ARKIT_52), *deltas.shape[1:]), deltas.dtype)
    for name, delta in zip(names, deltas, strict=True):
        if name not in CHANNEL_INDEX:
            raise InputError(f"{path}: {name!r} is not an ARKit channel")
        ordered[CHANNEL_INDEX[name]] = delta
    pairs = arrays.get("lip_open_pairs", np.empty((0, 2)))
    regions = Regions(
        arrays["lip_ids"].astype(np.int64),
        arrays["upper_ids"].astype(np.int64),
        pairs.astype(np.int64).reshape(-1, 2),
    )
    return make_basis(arrays["neutral"], ordered, regions, float(arrays["unit_to_mm"]))


def _sample(arrays: Arrays, number: int, basis: FaceBasis, fps: float, path: Path) -> Values:
    """One sample's row; one that can't be scored has None everywhere and an `error`."""
    tail = f"{number:03d}"
    if missing := [key for key in ("pred", "pred_names", "ref") if f"{key}_{tail}" not in arrays]:
        raise InputError(f"{path}: sample {number} lacks {', '.join(missing)}")
    pred, ref = arrays[f"pred_{tail}"], arrays[f"ref_{tail}"]
    row: Values = {"sample": number, "frames_pred": len(pred), "frames_ref": len(ref)}
    try:
        pred = by_name(pred, [str(n) for n in arrays[f"pred_names_{tail}"]])[0]
        ref = by_name(ref, [str(n) for n in arrays["names"]])[0]
        if min(len(pred), len(ref)) == 0:
            raise InputError("it holds no frames")
        rates = [float(arrays.get(f"{side}_fps_{tail}", fps)) for side in ("pred", "ref")]
        both = align(pred, rates[0], ref, rates[1], to_fps=fps, allow_mismatch=True)
    except InputError as error:
        return row | {"frames_used": 0} | dict.fromkeys(row_keys()) | {"error": str(error)}
    row |= {"frames_pred": both.frames_pred, "frames_ref": both.frames_ref}
    row["frames_used"] = len(both.pred)
    return row | clip_metrics(both.pred, both.ref, basis, fps, arrays.get(f"bilabial_{tail}"))
