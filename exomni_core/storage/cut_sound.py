# SPDX-License-Identifier: GPL-3.0-or-later
"""A sound file that was never finished in; a readable stream, and how much it lacks, out.

A recorder that lost power, or that wrote into a pipe, leaves sizes of 0 in a wav's header. A file
that was copied in part ends before its header says.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_UNKNOWN: Final = 0x7FFFF000  # and more: how programs write "I don't know yet"
_MOST_CHUNKS: Final = 64
_MISSING_S: Final = 0.1  # packed formats may tell a little more than they hold
# What may follow the samples: then a size of 0 is the truth.
_OTHERS: Final = (b"LIST", b"id3 ", b"ID3 ", b"fact", b"bext", b"cue ", b"smpl", b"iXML", b"PEAK")


@dataclass(frozen=True)
class WavSize:
    """Where a wav's samples start, how many bytes of them the header tells, how many there are."""

    start: int
    told: int
    there: int

    @property
    def is_untold(self) -> bool:
        """Whether the header says 0 although samples follow."""
        return self.told == 0 and self.there > 0

    @property
    def missing(self) -> float:
        """The share of the samples that a cut file lacks; 0 where nobody knows."""
        if self.told >= _UNKNOWN or self.told <= self.there:
            return 0.0
        return 1.0 - self.there / self.told


class Mended:
    """A file in which some bytes read as others; as much of a file as libsndfile asks for."""

    def __init__(self, handle: IO[bytes], patches: Mapping[int, bytes]) -> None:
        self._handle, self._patches = handle, patches

    def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        start = self._handle.tell()
        data = bytearray(self._handle.read(count))
        for place, new in self._patches.items():
            for offset, byte in enumerate(new, place - start):
                if 0 <= offset < len(data):
                    data[offset] = byte
        return bytes(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        return self._handle.seek(offset, whence)

    def tell(self) -> int:
        """The place."""
        return self._handle.tell()


def wav_size(path: Path) -> WavSize | None:
    """What the header of a wav file says of its samples; None for any other file."""
    with open(path, "rb") as handle:
        end = handle.seek(0, os.SEEK_END)
        handle.seek(0)
        head = handle.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        for _ in range(_MOST_CHUNKS):
            chunk = handle.read(8)
            if len(chunk) < 8:
                return None
            size = struct.unpack("<I", chunk[4:])[0]
            if chunk[:4] == b"data":
                start = handle.tell()
                is_empty = size == 0 and handle.read(4) in _OTHERS
                return WavSize(start, size, 0 if is_empty else end - start)
            handle.seek(size + size % 2, os.SEEK_CUR)
    return None


def mended_wav(handle: IO[bytes], size: WavSize) -> Mended:
    """The wav with the sizes that it really has."""
    riff = struct.pack("<I", min(size.start + size.there - 8, 0xFFFFFFFF))
    data = struct.pack("<I", min(size.there, 0xFFFFFFFF))
    return Mended(handle, {4: riff, size.start - 4: data})


def file_name(path: Path) -> str | bytes:
    """The name as libsndfile takes it, also where it is not UTF-8."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def ogg_is_cut(path: Path) -> bool:
    """Whether an ogg file lacks its last page."""
    with open(path, "rb") as handle:
        end = handle.seek(0, os.SEEK_END)
        handle.seek(max(0, end - (1 << 17)))
        tail = handle.read()
    place = tail.rfind(b"OggS")
    return not (0 <= place < len(tail) - 27 and tail[place + 5] & 4)


def cut_notes(
    told: int, read: int, rate_hz: int, size: WavSize | None, *, is_cut_ogg: bool
) -> list[str]:
    """A note where fewer samples were read than the file tells of; none for a whole file.

    told, read: samples that the header tells of and that were read. size: of a wav.
    """
    is_cut_wav = size is not None and size.missing > 0.0
    if size is not None and is_cut_wav:
        told = round(read / max(1e-9, 1.0 - size.missing))
    there = f"{read / rate_hz:.2f}"
    if is_cut_wav or _MISSING_S * rate_hz < told - read < 1 << 60:
        return [f"the file is cut: {there} of {told / rate_hz:.2f} s are there and used"]
    return [f"the file is cut: the {there} s that are there are used"] if is_cut_ogg else []
