# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in, what the Ex-Omni paper prints out, as far as known; never as a comparison.

Its unit, lip list, reference settings, normaliser and hardware are not all stated, so
these values can't be compared with ours.
"""

from __future__ import annotations

from typing import Final

MARK: Final = "†"
NOT_COMPARABLE: Final = (
    f"{MARK} Literature values, as printed in the Ex-Omni paper. They were not measured here and "
    "are not comparable: unit, lip vertices, order of averaging, reference model, sets and machine "
    "differ or aren't told. Nothing here reproduces them."
)
LVE_COLUMN: Final = f"A2F-Bench {MARK}"
LVE: Final = (
    ("Ex-Omni", "3.667"),
    ("Ex-Omni without the velocity loss", "3.751"),
    ("Ex-Omni without speech context", "5.079"),
)
# RTF, time to the first speech unit (s), face latency (s); 100 items of CommonEval, NVIDIA H20.
LATENCY: Final = ("Ex-Omni", "2.158", "0.029", "0.012")
# Seed-TTS-Eval test-hard, WER in per cent.
TTS: Final = (("Ex-Omni", "13.67"), ("Ex-Omni without TQGF", "14.68"))
