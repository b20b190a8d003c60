# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files in, transcripts by Paraformer out, with FunASR; for `exorender eval --asr`.

python asr_paraformer.py --list LIST.jsonl [--model paraformer-zh] [--device cuda:0]

As in Seed-TTS-Eval for Chinese; simplified characters are made by exorender, if zhconv is there.
"""

from __future__ import annotations

import argparse
import sys

from asr_common import Transcribe, main  # type: ignore[import-not-found]


def prepare(arguments: argparse.Namespace) -> Transcribe:
    """Load the model once."""
    from funasr import AutoModel  # type: ignore[import-not-found]

    options = {"device": arguments.device} if arguments.device else {}
    model = AutoModel(model=arguments.model, disable_update=True, **options)

    def transcribe(path: str, language: str) -> str:  # noqa: ARG001 (it knows Chinese)
        found = model.generate(input=path, batch_size_s=300)
        return str(found[0]["text"]) if found else ""

    return transcribe


if __name__ == "__main__":
    sys.exit(main("Transcribe with Paraformer.", prepare, "paraformer-zh"))
