# SPDX-License-Identifier: GPL-3.0-or-later
"""Wavs in, 52 coefficients at 30 per second out, by the user's own checkout of EmoTalk.

Run by exorender in that checkout's Python. Built from facts, not from its
code: names that the facts leave open are options, with a guess as default (see docs/systems.md).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from driver_common import (  # type: ignore[import-not-found]
    Driver,
    Predict,
    as_table,
    check_keys,
    load_class,
    state_dict_of,
)

FPS = 30.0
BLINK_COLUMNS = (8, 9)
MAX_FRAMES = 5000  # what its position bias is built for: 166 s
# Keys that the released checkpoint has too many or too few of, and that change nothing.
UNEXPECTED_FINE = ("lm_head",)
MISSING_FINE = ("lm_head", "biased_mask", "masked_spec_embed")


def prepare(driver: Driver) -> Predict:
    """Load the model once."""
    import torch

    option = driver.option
    device = option("device", "cuda" if torch.cuda.is_available() else "cpu")
    args = {
        "device": device,
        "bs_dim": 52,
        "feature_dim": 832,
        "period": 30,
        "max_seq_len": MAX_FRAMES,
        "batch_size": 1,
    }
    args.update(option("args", {}))
    model = load_class(option("module", "model"), option("class", "EmoTalk"))(Namespace(**args))
    weights = state_dict_of(torch.load(driver.job["checkpoint"], map_location="cpu"))
    found = model.load_state_dict(weights, strict=False)
    driver.provenance["keys"] = check_keys(
        found, option("unexpected_fine", UNEXPECTED_FINE), option("missing_fine", MISSING_FINE)
    )
    model = model.to(device).eval()
    level = _condition(torch, option("level", 1), 2, option("encoding", "index"), device)
    person = _condition(torch, option("person", 0), 24, option("encoding", "index"), device)
    smoothing, zero_blinks = option("smoothing", True), option("zero_blinks", True)
    names = driver.order("arkit-alphabetical")
    method = option("method", "predict")

    def predict(samples: Any) -> Any:
        audio = torch.from_numpy(samples.copy())[None].to(device)
        with torch.no_grad():
            table = as_table(getattr(model, method)(audio, level, person)).copy()
        if smoothing and len(table) >= 5:
            table = smoothed(table)
        if zero_blinks:  # as released, before its random, unseeded blinks, which we leave out
            table[:, BLINK_COLUMNS] = 0.0
        return table, names, FPS

    return predict


def smoothed(table: Any) -> Any:
    """Savitzky-Golay along time, window 5, order 2, as the released demo does; (T >= 5, K)."""
    from scipy.signal import savgol_filter

    return savgol_filter(table, 5, 2, axis=0)


def _condition(torch: Any, value: int, size: int, encoding: str, device: str) -> Any:
    if not 0 <= value < size:
        raise ValueError(f"{value} is not from 0 to {size - 1}")
    if encoding == "one_hot":
        hot = torch.zeros(1, size)
        hot[0, value] = 1.0
        return hot.to(device)
    return torch.tensor([value]).to(device)


if __name__ == "__main__":
    sys.exit(Driver(sys.argv).run(prepare))
