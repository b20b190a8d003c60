# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in, the one audio track of a stimulus out: same loudness, exact length, AAC 48 kHz."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray
from exomni_core.audio import Audio, read_audio, resample, wav_bytes
from exomni_core.clip import load_clip
from exomni_core.errors import InputError
from exomni_core.storage.files import replacing
from render_jobs.study.making.runs import RunItem
from render_jobs.video.encode import AUDIO_RATE_HZ
from render_jobs.video.ffmpeg_command import file_argument, quiet_command
from render_jobs.video.mux import run_ffmpeg

LOUDNESS_LUFS: Final = -20.0  # EBU R128, integrated; speech at a usual level for loudspeakers
PEAK: Final = 0.891  # -1 dBFS; a recording that would pass it is made less loud than the others
SILENT_LUFS: Final = -60.0
SAME_SOUND: Final = 0.5  # least correlation of two recordings that count as the same speech
_COMPARE_HZ: Final = 4000
_COMPARE_LAG_S: Final = 0.15  # encoders shift sound by less
_MOMENTARY_S: Final = 0.4


def sound_of(item: RunItem) -> Audio:
    """The speech of an item: exactly as in its clip, else out of its video; InputError."""
    if item.clip is not None:
        clip = load_clip(item.clip)
        return Audio(clip.audio, clip.sample_rate_hz)
    if item.video is None:
        raise InputError(f"{item.item_id} has neither clip nor video")
    return read_audio(item.video)


def levelled(audio: Audio) -> FloatArray:
    """(S,) float32 at 48 kHz, by one constant gain at LOUDNESS_LUFS, its peak below PEAK.

    Raises InputError for silence.
    """
    samples = resample(audio.samples, audio.sample_rate_hz, AUDIO_RATE_HZ)
    loudness = integrated_loudness(samples)
    peak = float(np.abs(samples).max())
    if loudness < SILENT_LUFS or peak == 0.0:
        raise InputError("its sound is silent; there is nothing to match lips with", field="audio")
    gain = min(10.0 ** ((LOUDNESS_LUFS - loudness) / 20.0), PEAK / peak)
    return (samples * np.float32(gain)).astype(np.float32)


def integrated_loudness(samples: npt.ArrayLike) -> float:
    """Integrated loudness in LUFS (EBU R128, measured by ffmpeg) of (S,) samples at 48 kHz."""
    values = np.asarray(samples, np.float32)
    # The gate needs whole blocks of 0.4 s; a shorter sound is repeated, which changes no level.
    values = np.tile(values, max(1, -(-int(2 * _MOMENTARY_S * AUDIO_RATE_HZ) // len(values))))
    with tempfile.TemporaryDirectory(prefix="exorender-level-") as folder:
        wav = Path(folder) / "sound.wav"
        wav.write_bytes(wav_bytes(values, AUDIO_RATE_HZ))
        command = quiet_command(
            "-i",
            file_argument(wav),
            "-af",
            "ebur128=metadata=1,ametadata=mode=print:key=lavfi.r128.I:file=-",
            "-f",
            "null",
            "-",
        )
        told = re.findall(r"lavfi\.r128\.I=(-?[\d.]+|-inf)", run_ffmpeg(command, "measuring sound"))
    return float(told[-1]) if told else float("-inf")


def same_speech(one: Audio, other: Audio) -> bool:
    """Whether two recordings are the same speech, whatever their level, codec or small shift.

    The greatest normalised correlation over shifts of up to 0.15 s must reach SAME_SOUND.
    """
    a = resample(one.samples, one.sample_rate_hz, _COMPARE_HZ).astype(np.float64)
    b = resample(other.samples, other.sample_rate_hz, _COMPARE_HZ).astype(np.float64)
    size = 1 << int(np.ceil(np.log2(len(a) + len(b))))
    cross = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    lag = int(_COMPARE_LAG_S * _COMPARE_HZ)
    best = float(max(cross[: lag + 1].max(), cross[-lag:].max()))
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return norm > 0.0 and best / norm >= SAME_SOUND


def track(parts: Sequence[tuple[int, FloatArray]], samples: int) -> FloatArray:
    """Put each recording at its start (in samples) into silence of (samples,), cutting the rest."""
    whole = np.zeros(samples, np.float32)
    for start, part in parts:
        room = part[: max(0, samples - start)]
        whole[start : start + len(room)] += room
    return whole


def write_m4a(samples: FloatArray, final: Path) -> None:
    """Write (S,) samples at 48 kHz as AAC in an mp4 without dates or names; same in, same out."""
    with (
        replacing(final) as unfinished,
        tempfile.TemporaryDirectory(prefix="exorender-track-") as folder,
    ):
        wav = Path(folder) / "sound.wav"
        wav.write_bytes(wav_bytes(samples, AUDIO_RATE_HZ))
        command = quiet_command(
            "-y",
            "-i",
            file_argument(wav),
            "-c:a",
            "aac",
            "-b:a",
            "128k",
            "-ac",
            "1",
            "-threads",
            "1",
            "-map_metadata",
            "-1",
            "-fflags",
            "+bitexact",
            "-flags:a",
            "+bitexact",
            "-movflags",
            "+faststart",
            "-f",
            "mp4",
            file_argument(unfinished),
        )
        run_ffmpeg(command, f"encoding the sound of {final.name}")
