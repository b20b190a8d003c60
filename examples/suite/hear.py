# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording in, the transcript of the small English recogniser of the basic install out.

It shows how to connect a recogniser, and mishears most words of a synthetic voice. For usable
results, use Whisper or Paraformer (docs/evaluation.md).
"""

import sys

from exomni_core.audio import read_audio
from exomni_core.listening.listen import listen

audio = read_audio(sys.argv[1])
track = listen(audio.samples, audio.sample_rate_hz, transcript=None, language="en", budget_s=120)
sys.stdout.write(" ".join(word.text for word in track.words) + "\n")
