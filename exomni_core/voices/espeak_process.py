# SPDX-License-Identifier: GPL-3.0-or-later
"""A JSON request on stdin -> a JSON line and raw 16-bit speech on stdout, by libespeak-ng.

Runs alone (`python -I -S espeak_process.py`) and lives for one utterance: inside one process
espeak-ng gives other samples for the same text the second time, is not thread-safe and crashes
once in some ten thousand utterances. Only the standard library, because every import costs the
user's waiting time.

Request: `task` ("speak" or "voices"), `library`, `data` (folder that holds espeak-ng's data), and
for "speak" `text`, `voice`, `rate_wpm`, `with_pcm`.
Answer: one JSON line, then for "speak" the samples as little-endian signed 16-bit mono.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

# From the public header speak_lib.h of espeak-ng 1.52.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_PHONEME_EVENTS, INITIALIZE_PHONEME_IPA, INITIALIZE_DONT_EXIT = 0x1, 0x2, 0x8000
EVENT_LIST_END, EVENT_WORD, EVENT_PHONEME = 0, 1, 7
PARAMETER_RATE = 1
CHARS_UTF8 = 1
POSITION_CHARACTER = 1
NOISE_SEED = 1


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # 1-based, in characters
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),  # (priority byte, NUL-ended code) ..., 0
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def main() -> int:
    """Serve the one request on stdin; the exit status is 0 whenever an answer was written."""
    request = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    library = _load(request["library"])
    rate = library.espeak_Initialize(
        AUDIO_OUTPUT_SYNCHRONOUS,
        0,
        request["data"].encode(),
        INITIALIZE_PHONEME_EVENTS | INITIALIZE_PHONEME_IPA | INITIALIZE_DONT_EXIT,
    )
    if rate <= 0:
        return _answer({"error": f"espeak_Initialize gave {rate}"})
    version = library.espeak_Info(None).decode()
    if request["task"] == "voices":
        return _answer({"version": version, "voices": _voices(library)})
    return _speak(library, request, {"version": version, "sample_rate_hz": rate})


def _load(path: str) -> Any:
    """The library with the argument types that ctypes can't guess (pointers and size_t)."""
    library = ctypes.CDLL(path)
    library.espeak_Info.restype = ctypes.c_char_p
    library.espeak_Info.argtypes = [ctypes.c_void_p]
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint,
        ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    library.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    return library


def _speak(library: Any, request: dict[str, Any], answer: dict[str, Any]) -> int:
    pcm: list[bytes] = []
    events: list[tuple[int, int, int, str]] = []  # type, character, sample, symbol
    with_pcm = request["with_pcm"]

    def collect(wave: Any, count: int, event: Any) -> int:
        if with_pcm and wave and count > 0:
            pcm.append(ctypes.string_at(wave, count * 2))
        index = 0
        while event[index].type != EVENT_LIST_END:
            one = event[index]
            if one.type in (EVENT_WORD, EVENT_PHONEME):
                symbol = ""
                if one.type == EVENT_PHONEME:
                    # Eight bytes that need not end with a NUL.
                    raw = ctypes.string_at(ctypes.addressof(one.id), 8)
                    symbol = raw.split(b"\0")[0].decode("utf-8", "ignore")
                events.append((one.type, one.text_position, one.sample, symbol))
            index += 1
        return 0

    callback = _Callback(collect)  # the name keeps it alive while the library calls it
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        return _answer(answer | {"error": "voice"})
    library.espeak_SetParameter(PARAMETER_RATE, int(request["rate_wpm"]), 0)
    text = request["text"].encode("utf-8") + b"\0"
    # Breathy voices draw noise, which espeak-ng (since 1.52) would seed with the time of day.
    if (set_seed := getattr(library, "espeak_ng_SetRandSeed", None)) is not None:
        set_seed(ctypes.c_long(NOISE_SEED))
    status = library.espeak_Synth(text, len(text), 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None)
    if status != 0:
        return _answer(answer | {"error": f"espeak_Synth gave {status}"})
    return _answer(answer | {"events": events}, b"".join(pcm))


def _voices(library: Any) -> list[dict[str, Any]]:
    rows = []
    table = library.espeak_ListVoices(None)
    index = 0
    while table[index]:
        voice = table[index].contents
        codes, address = [], voice.languages
        while address and ctypes.string_at(address, 1) != b"\0":
            code = ctypes.string_at(address + 1)
            codes.append(code.decode("utf-8", "replace"))
            address += len(code) + 2
        rows.append({"name": voice.name.decode("utf-8", "replace"), "languages": codes})
        index += 1
    return rows


def _answer(header: dict[str, Any], pcm: bytes = b"") -> int:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + pcm)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
