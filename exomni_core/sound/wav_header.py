# SPDX-License-Identifier: GPL-3.0-or-later
"""A sound file in, what its header promises and, where its sizes are wrong, a readable file out.

A recorder that lost its power, or a program that wrote to a pipe, leaves sizes of 0 or of 4 GB in
the header of a wav. A copy that was stopped holds less than its header says.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

_HEADER: Final = struct.Struct("<4sI4s")
_CHUNK: Final = struct.Struct("<4sI")
_FORMAT: Final = struct.Struct("<HHIIH")  # kind, channels, rate, bytes a second, bytes a frame
_MOST_CHUNKS: Final = 64
_OPEN_END: Final = 0x7F000000  # sizes from here on are a placeholder, no promise
_LAST_PAGE: Final = 0x04  # flag of an Ogg page
_OGG_TAIL: Final = 1 << 16


@dataclass(frozen=True)
class WavHeader:
    """Where a wav's samples lie.

    start: byte at which they begin. size: bytes that its header promises. held: bytes that follow.
    bytes_per_second: 0 if the file does not say.
    """

    start: int
    size: int
    held: int
    bytes_per_second: int

    @property
    def is_open(self) -> bool:
        """Whether the sizes are placeholders of a file that was never closed."""
        return (self.size == 0 or self.size >= _OPEN_END) and self.held > 0

    @property
    def promised_s(self) -> float:
        """The seconds that the header promises, 0 if it promises nothing."""
        if self.is_open or self.bytes_per_second <= 0:
            return 0.0
        return self.size / self.bytes_per_second


def read_wav_header(path: Path) -> WavHeader | None:
    """The header of a RIFF wav; None for any other file. OSError if it can't be read."""
    whole = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        place, rate = _HEADER.size, 0
        for _ in range(_MOST_CHUNKS):
            file.seek(place)
            raw = file.read(_CHUNK.size)
            if len(raw) < _CHUNK.size:
                return None
            name, size = _CHUNK.unpack(raw)
            place += _CHUNK.size
            if name == b"fmt " and len(body := file.read(_FORMAT.size)) == _FORMAT.size:
                rate = _FORMAT.unpack(body)[3]
            if name == b"data":
                if size == 0 and _only_chunks_follow(file, place, whole):
                    return WavHeader(place, 0, 0, rate)
                return WavHeader(place, size, whole - place, rate)
            place += size + size % 2
    return None


def _only_chunks_follow(file: IO[bytes], place: int, whole: int) -> bool:
    """Whether what stands at `place` is a chain of chunks to the file's end, and so no samples."""
    for _ in range(_MOST_CHUNKS):
        if place in (whole, whole + 1):  # a chunk of odd size may lack its last padding
            return True
        file.seek(place)
        raw = file.read(_CHUNK.size)
        if len(raw) < _CHUNK.size:
            return False
        name, size = _CHUNK.unpack(raw)
        if not all(0x20 <= letter < 0x7F for letter in name):
            return False
        place += _CHUNK.size + size + size % 2
    return False


class MendedWav(io.RawIOBase):
    """A wav with true sizes in its header; reads and seeks as the file itself does."""

    def __init__(self, path: Path, header: WavHeader) -> None:
        """Open `path`; OSError if it can't be opened."""
        self._file = open(path, "rb")  # noqa: SIM115
        size = min(header.held, 0xFFFFFFFF - header.start)
        self._true = {
            4: struct.pack("<I", min(0xFFFFFFFF, header.start - 8 + size)),
            header.start - 4: struct.pack("<I", size),
        }

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of the file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of the file."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Read bytes, with the true sizes in their places."""
        at = self._file.tell()
        data = bytearray(self._file.read(len(buffer)))
        for place, true in self._true.items():
            for index, value in enumerate(true):
                if 0 <= place + index - at < len(data):
                    data[place + index - at] = value
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def ogg_is_cut(path: Path) -> bool:
    """Whether an Ogg file lacks its last page, as a copy that was stopped does."""
    with open(path, "rb") as file:
        if file.read(4) != b"OggS":
            return False
        whole = file.seek(0, os.SEEK_END)
        file.seek(max(0, whole - _OGG_TAIL))
        tail = file.read()
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) < last + 27:
        return True
    segments = tail[last + 26]
    table = tail[last + 27 : last + 27 + segments]
    ends = last + 27 + segments + sum(table)
    return not tail[last + 5] & _LAST_PAGE or ends > len(tail)
