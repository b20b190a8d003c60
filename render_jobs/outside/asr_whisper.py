# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files in, transcripts by Whisper out, with transformers; for `exorender eval --asr`.

    python asr_whisper.py --list LIST.jsonl [--model openai/whisper-large-v3] [--device cuda:0]
    python asr_whisper.py --language en FILE.wav ...

Up to 30 s, one window is decoded greedily, as Seed-TTS-Eval does. Longer files use Whisper's
long-form decoding: a single window would cut them, and that would be taken for the speaker's fault.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from asr_common import RATE_HZ, Transcribe, main, read_mono  # type: ignore[import-not-found]

WINDOW_S = 30
# The thresholds at which Whisper decodes a window anew (Radford et al. 2022, section 4.5).
LONG_FORM = {
    "return_timestamps": True,
    "condition_on_prev_tokens": False,
    "temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "compression_ratio_threshold": 1.35,
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
}


def prepare(arguments: argparse.Namespace) -> Transcribe:
    """Load the model once."""
    import torch
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    device = arguments.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    dtype = torch.float16 if device.startswith("cuda") else torch.float32
    processor: Any = WhisperProcessor.from_pretrained(arguments.model)
    model: Any = WhisperForConditionalGeneration.from_pretrained(arguments.model)
    model = model.to(device=device, dtype=dtype).eval()

    def transcribe(path: str, language: str) -> str:
        samples = read_mono(path)
        is_long = len(samples) > WINDOW_S * RATE_HZ
        extra = {"truncation": False, "padding": "longest"} if is_long else {}
        inputs = processor(
            samples, sampling_rate=RATE_HZ, return_tensors="pt", return_attention_mask=True, **extra
        )
        asked = {"language": language.split("-")[0]} if language else {}
        torch.manual_seed(0)  # a window that is decoded anew is sampled
        with torch.no_grad():
            ids = model.generate(
                inputs.input_features.to(device=device, dtype=dtype),
                attention_mask=inputs.attention_mask.to(device),
                task="transcribe",
                **asked,
                **(LONG_FORM if is_long else {}),
            )
        return str(processor.batch_decode(ids, skip_special_tokens=True)[0]).strip()

    return transcribe


if __name__ == "__main__":
    sys.exit(main("Transcribe with Whisper.", prepare, "openai/whisper-large-v3"))
