# SPDX-License-Identifier: GPL-3.0-or-later
"""A JSON line and 16 kHz samples on stdin -> the sounds in them as one JSON line, by pocketsphinx.

Runs alone (`python -I sphinx_process.py [FOLDER]`, where FOLDER holds pocketsphinx) and ends with
its request, so that a hang can be timed out and a crash of the C code costs one route instead of
the user's program.

Request: `task` and `pieces`, each with `start` and `end` in samples and, for "align", `words`: the
pronunciation of each word as ARPAbet. After the line come the samples, signed 16-bit.
Answer: `pieces`, one for each asked: None where nothing was found, else `words` (texts, for
"recognise") and `phones`: [ARPAbet, start, length, score, word]; start and length in frames of
10 ms from the start of the piece, score per frame (log, near -10 fits, below -24 does not).
"""

from __future__ import annotations

import json
import sys
from typing import Any

SAMPLE_RATE_HZ = 16000
SHORTEST_SAMPLES = SAMPLE_RATE_HZ // 10  # the decoder finds nothing in less, or fails
# Wide beams: with the words given, a pruned path is a failed alignment, and time is no concern.
ALIGN_BEAMS = {"beam": 1e-80, "pbeam": 1e-80, "wbeam": 1e-60}
NO_BEAMS = {"beam": 0.0, "pbeam": 0.0, "wbeam": 0.0}
FRAME_SAMPLES = SAMPLE_RATE_HZ // 100
LONGEST_SAMPLES = 30 * SAMPLE_RATE_HZ  # of what is aligned sound by sound at once
# Without the second and third pass, and with fewer paths: twice as fast and no worse here.
QUICK = {"fwdflat": False, "bestpath": False, "maxhmmpf": 5000}
ALLPHONE = {"lw": 0.5, "pip": 0.3, "beam": 1e-20, "pbeam": 1e-20}

Phones = list[tuple[str, int, int, float, int]]


def main() -> int:
    """Serve the one request on stdin."""
    sys.path[:0] = sys.argv[1:]
    request = json.loads(sys.stdin.buffer.readline())
    samples = sys.stdin.buffer.read()
    pieces = [
        (samples[2 * piece["start"] : 2 * piece["end"]], piece.get("words", []))
        for piece in request["pieces"]
    ]
    task = {"align": align, "recognise": recognise, "allphone": allphone}[request["task"]]
    sys.stdout.buffer.write(json.dumps({"pieces": task(pieces)}).encode() + b"\n")
    return 0


def align(pieces: list[tuple[bytes, list[str]]]) -> list[Any]:
    """Find when each word's sounds are spoken."""
    decoder = _decoder(lm=None, bestpath=False, **ALIGN_BEAMS)
    exhaustive = None
    found: list[Any] = []
    for samples, words in pieces:
        if len(samples) > 2 * LONGEST_SAMPLES:
            found.append(_align_long(decoder, samples, words))
            continue
        piece = _align_piece(decoder, samples, words)
        if piece is None:  # seldom the right path is pruned even with these beams
            exhaustive = exhaustive or _decoder(lm=None, bestpath=False, **NO_BEAMS)
            piece = _align_piece(exhaustive, samples, words)
        found.append(piece)
    return found


def _align_long(decoder: Any, samples: bytes, pronunciations: list[str]) -> Any:
    """Align words over the whole recording, then sounds in stretches of at most half a minute.

    The search for sounds keeps a table of sounds by frames: minutes at once would fill the memory.
    """
    names, numbers = _register(decoder, pronunciations)
    if not names:
        return None
    try:
        decoder.set_align_text(" ".join(names))
    except RuntimeError:
        return None
    if not _hears(decoder, samples):
        return None
    spoken = [s for s in decoder.seg() if s.word.startswith("w_")]
    phones: Phones = []
    first = 0
    for k in range(1, len(spoken) + 1):
        if k < len(spoken) and (
            (spoken[k].end_frame - spoken[first].start_frame) * FRAME_SAMPLES < LONGEST_SAMPLES
        ):
            continue
        start = 0 if first == 0 else _between(spoken[first - 1], spoken[first])
        end = len(samples) if k == len(spoken) else _between(spoken[k - 1], spoken[k])
        words = [pronunciations[number] for number in numbers[first:k]]
        piece = _align_piece(
            decoder, samples[2 * FRAME_SAMPLES * start : 2 * FRAME_SAMPLES * end], words
        )
        for name, at, length, score, word in piece["phones"] if piece else ():
            phones.append(
                (name, at + start, length, score, numbers[first + word] if word >= 0 else -1)
            )
        first = k
    return {"phones": phones} if phones else None


def _between(before: Any, after: Any) -> int:
    """The frame half-way between two words."""
    return int(before.end_frame + 1 + after.start_frame) // 2


def recognise(pieces: list[tuple[bytes, list[str]]]) -> list[Any]:
    """Recognise English words, then find when their sounds are spoken."""
    from pocketsphinx import get_model_path

    decoder = _decoder(lm=get_model_path("en-us/en-us.lm.bin"), **QUICK)
    aligner = _decoder(lm=None, bestpath=False, **ALIGN_BEAMS)
    found: list[Any] = []
    for samples, _ in pieces:
        found.append(None)
        if len(samples) < 2 * SHORTEST_SAMPLES or not _hears(decoder, samples):
            continue
        spoken = [s.word for s in decoder.seg() if not s.word.startswith(("<", "["))]
        if not spoken:
            continue
        pronunciations = [aligner.lookup_word(word) or "" for word in spoken]
        piece = _align_piece(aligner, samples, pronunciations)
        if piece is not None:
            found[-1] = piece | {"words": [word.partition("(")[0] for word in spoken]}
    return found


def allphone(pieces: list[tuple[bytes, list[str]]]) -> list[Any]:
    """Recognise sounds without words."""
    from pocketsphinx import get_model_path

    decoder = _decoder(
        lm=None,
        dict=None,
        allphone=get_model_path("en-us/en-us-phone.lm.bin"),
        allphone_ci=True,
        **ALLPHONE,
    )
    found: list[Any] = []
    for samples, _ in pieces:
        if len(samples) < 2 * SHORTEST_SAMPLES or not _hears(decoder, samples):
            found.append(None)
            continue
        log = decoder.get_logmath().log
        phones: Phones = []
        for s in decoder.seg():
            length = s.end_frame - s.start_frame + 1
            phones.append((s.word.strip("+"), s.start_frame, length, log(s.ascore) / length, -1))
        found.append({"phones": phones})
    return found


def _decoder(**options: Any) -> Any:
    from pocketsphinx import Config, Decoder, get_model_path

    defaults = {
        "hmm": get_model_path("en-us/en-us"),
        "dict": get_model_path("en-us/cmudict-en-us.dict"),
        "samprate": SAMPLE_RATE_HZ,
        "loglevel": "FATAL",
    }
    return Decoder(Config(**(defaults | options)))


def _run(decoder: Any, samples: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(samples, no_search=False, full_utt=True)
    decoder.end_utt()


def _hears(decoder: Any, samples: bytes) -> bool:
    """Run a search that gives words or sounds; False if it found none."""
    _run(decoder, samples)
    return decoder.hyp() is not None


def _align_piece(decoder: Any, samples: bytes, pronunciations: list[str]) -> Any:
    """Align one piece in two passes, words and then sounds; None if they do not fit at all."""
    if len(samples) < 2 * SHORTEST_SAMPLES:
        return None
    names, numbers = _register(decoder, pronunciations)
    if not names:
        return None
    try:
        decoder.set_align_text(" ".join(names))
        if not _hears(decoder, samples):
            return None
        decoder.set_alignment()
        _run(decoder, samples)  # decoder.hyp() would crash after this pass
        alignment = decoder.get_alignment()
    except RuntimeError:  # "Failed to set up alignment": the words don't fit the sound
        return None
    if alignment is None:
        return None
    phones: Phones = []
    remaining = iter(numbers)
    for word in alignment:
        number = next(remaining, -1) if word.name.startswith("w_") else -1
        for phone in word:
            score = phone.score / max(phone.duration, 1)
            phones.append((phone.name, phone.start, phone.duration, score, number))
    return {"phones": phones}


def _register(decoder: Any, pronunciations: list[str]) -> tuple[list[str], list[int]]:
    """Teach the decoder a made-up word for each pronunciation; returns their names and numbers.

    Written words are never used: one that the dictionary lacks would fail the whole alignment.
    """
    names, numbers = [], []
    for number, pronunciation in enumerate(pronunciations):
        if not pronunciation:
            continue
        name = "w_" + "_".join(pronunciation.lower().split())
        if decoder.lookup_word(name) is None:
            decoder.add_word(name, pronunciation, True)
        names.append(name)
        numbers.append(number)
    return names, numbers


if __name__ == "__main__":
    sys.exit(main())
