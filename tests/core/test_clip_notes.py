# SPDX-License-Identifier: GPL-3.0-or-later
"""Notes of a clip, also of foreign ones whose provenance holds anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exomni_core.clip import Clip
from exomni_core.clip_notes import clip_notes


def clip(provenance: dict[str, Any]) -> Clip:
    return Clip(
        audio=np.zeros(16000, np.float32),
        sample_rate_hz=16000,
        weights=np.zeros((30, 52), np.float32),
        fps=30.0,
        provenance=provenance,
    )


@pytest.mark.parametrize(
    ("provenance", "notes"),
    [
        ({}, []),
        ({"note": "no speech", "notes": ["a", "b"]}, ["no speech", "a", "b"]),
        ({"transcript_rejected": "too short"}, ["the transcript was not used: too short"]),
        ({"notes": None}, []),
        ({"notes": "abc"}, []),
        ({"notes": [1, {}]}, ["1", "{}"]),
    ],
)
def test_notes_in_order(provenance: dict[str, Any], notes: list[str]) -> None:
    assert clip_notes(clip(provenance)) == notes
