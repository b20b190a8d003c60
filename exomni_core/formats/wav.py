# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip in, its sound alone out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from exomni_core.audio import write_wav
from exomni_core.clip import Clip
from exomni_core.formats.format import Format


def write_sound(path: Path, clip: Clip) -> dict[str, Any]:
    """Write the sound as a WAV file; returns its `seconds` and `sample_rate_hz`."""
    write_wav(path, clip.audio, clip.sample_rate_hz)
    return {"seconds": round(clip.duration_s, 6), "sample_rate_hz": clip.sample_rate_hz}


FORMAT: Final = Format("wav", "WAV", ".wav", "the sound alone", write_clip=write_sound)
