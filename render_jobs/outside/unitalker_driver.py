# SPDX-License-Identifier: GPL-3.0-or-later
"""Wavs in, coefficients of the D3 (52) or D6 (51) head at 30 per second out, by UniTalker.

Run by exorender in the Python of the user's own checkout. Built from facts,
not from its code: only these two heads are made, so neither FLAME nor PCA files are needed. Names
that the facts leave open are options, with a guess as default (see docs/systems.md).
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import Any

from driver_common import (  # type: ignore[import-not-found]
    RATE_HZ,
    Driver,
    Predict,
    as_table,
    check_keys,
    load_class,
    state_dict_of,
)

FPS = 30.0
WINDOW_S, STEP_S = 25, 20  # long clips: windows that overlap by 5 s, cross-faded
# head -> (kind of its output, order of its channels, row of id_template.npy that the demo takes)
HEADS = {
    "D3": ("3DETF_blendshape_weight", "arkit-alphabetical", 0),
    "D6": ("inhouse_blendshape_weight", "unitalker-51", 4),
}
STYLE_WEIGHTS = "decoder.learnable_style_emb.weight"
UNEXPECTED_FINE = ("out_head_dict", "pca_layer_dict", "loss_module", "masked_spec_embed")
MISSING_FINE = ("masked_spec_embed", "loss_module")
# How the model's call names what it gets.
CALL = {
    "audio": "audio",
    "template": "template",
    "style": "style_idx",
    "kind": "annot_type",
    "fps": "fps",
    "frames": "",
}


def prepare(driver: Driver) -> Predict:
    """Load the model once."""
    import numpy as np
    import torch

    option = driver.option
    head = option("head", "D3")
    if head not in HEADS:
        raise ValueError(f"head is {head!r}; it must be D3 or D6")
    kind, order, demo_row = HEADS[head]
    names = driver.order(order)
    device = option("device", "cuda" if torch.cuda.is_available() else "cpu")
    weights = state_dict_of(torch.load(driver.job["checkpoint"], map_location="cpu"))
    styles = weights[STYLE_WEIGHTS].shape[0]
    args = _config(option("config", ""))
    args.update(
        {"dataset": ["D3", "D6"], "identity_num": styles, "interpolate_pos": 1, "device": device}
    )
    args.update(option("args", {}))
    model = load_class(option("module", "models.unitalker"), option("class", "UniTalker"))(
        Namespace(**args)
    )
    driver.provenance["keys"] = check_keys(
        model.load_state_dict(weights, strict=False),
        option("unexpected_fine", UNEXPECTED_FINE),
        option("missing_fine", MISSING_FINE),
    )
    model = model.to(device).eval()
    row = option("template_row", demo_row)
    template = _template(np, option("template", ""), row, len(names))
    style = option("style", styles - 1)  # the last row is the common style
    call, method = {**CALL, **option("call", {})}, option("method", "")
    added_by = option("template_added_by", "auto")
    gives = {
        "template": torch.from_numpy(template)[None].to(device),
        "style": torch.tensor([style]).to(device),
        "kind": kind,
        "fps": FPS,
    }

    def ask(samples: Any, frames: int, **changed: Any) -> Any:
        values = {
            **gives,
            **changed,
            "audio": torch.from_numpy(samples)[None].to(device),
            "frames": frames,
        }
        given = {name: values[what] for what, name in call.items() if name}
        with torch.no_grad():
            return as_table(getattr(model, method)(**given) if method else model(**given))

    def predict(samples: Any) -> Any:
        nonlocal added_by
        if added_by == "auto":
            added_by = _who_adds(np, ask, normalised(samples), template, torch, device)
            driver.provenance["used"]["template_added_by"] = added_by
        table = windowed(lambda piece, frames: ask(normalised(piece), frames), normalised(samples))
        return (table + template if added_by == "driver" else table), names, FPS

    return predict


def normalised(samples: Any) -> Any:
    """Zero mean and unit variance, as the feature extractor of wav2vec2 does it."""
    import numpy as np

    return ((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)).astype(np.float32)


def frame_count(samples: int) -> int:
    """Frames that the model gives for that many samples at 16 kHz."""
    frames: int = round(samples / RATE_HZ * FPS)
    return max(1, frames)


def windowed(ask: Any, samples: Any) -> Any:
    """Coefficients of a clip of any length: 25 s at a time, linear cross-fade over 5 s."""
    import numpy as np

    frames = frame_count(len(samples))
    spans = windows(len(samples))
    if len(spans) == 1:
        return ask(samples, frames)
    whole, weight = None, np.zeros((frames, 1), np.float32)
    for start, end in spans:
        table = ask(samples[start:end], frame_count(end - start))
        first = round(start / RATE_HZ * FPS)
        table = table[: frames - first]
        if whole is None:
            whole = np.zeros((frames, table.shape[1]), np.float32)
        fade = np.ones((len(table), 1), np.float32)
        overlap = round((WINDOW_S - STEP_S) * FPS)
        ramp = (np.arange(min(overlap, len(table)), dtype=np.float32) + 0.5) / overlap
        if start > 0:
            fade[: len(ramp), 0] *= ramp
        if end < len(samples):
            fade[len(table) - len(ramp) :, 0] *= ramp[::-1]
        whole[first : first + len(table)] += table * fade
        weight[first : first + len(table)] += fade
    assert whole is not None
    return whole / np.maximum(weight, 1e-6)


def windows(samples: int) -> list[tuple[int, int]]:
    """(start, end) of the pieces, in samples; each begins 20 s after the one before."""
    size, step = WINDOW_S * RATE_HZ, STEP_S * RATE_HZ
    spans = [(0, min(size, samples))]
    while spans[-1][1] < samples:
        start = spans[-1][0] + step
        spans.append((start, min(start + size, samples)))
    return spans


def _who_adds(np: Any, ask: Any, samples: Any, template: Any, torch: Any, device: str) -> str:
    """Whether the model adds the template that it is given, seen by giving it another."""
    piece = samples[: 2 * RATE_HZ]
    frames = frame_count(len(piece))
    shifted = torch.from_numpy(template + 1.0)[None].to(device)
    change = ask(piece, frames, template=shifted) - ask(piece, frames)
    return "model" if float(np.abs(change).mean()) > 0.5 else "driver"


def _config(path: str) -> dict[str, Any]:
    """Arguments from a JSON or YAML file of the checkout; nested tables are laid flat."""
    if not path:
        return {}
    with open(path, encoding="utf-8") as handle:
        text = handle.read()
    if path.endswith(".json"):
        data = json.loads(text)
    else:
        import yaml  # type: ignore[import-untyped]

        data = yaml.safe_load(text)
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat


def _template(np: Any, path: str, row: int, width: int) -> Any:
    """The resting pose: a row of id_template.npy, or zeros without a file."""
    if not path:
        return np.zeros(width, np.float32)
    table = np.load(path, allow_pickle=False)
    chosen = np.asarray(table, np.float32).reshape(len(table), -1)[row]
    if len(chosen) != width:
        raise ValueError(f"{path} holds {len(chosen)} values a row, but the head has {width}")
    return chosen


if __name__ == "__main__":
    sys.exit(Driver(sys.argv).run(prepare))
