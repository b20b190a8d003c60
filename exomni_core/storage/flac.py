# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole-number samples in, a FLAC file's bytes out, with numpy alone (RFC 9639).

For a Python that has no soundfile, such as the next Blender's: about a tenth larger than what
libFLAC writes, and exact.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BLOCK: Final = 4096  # samples in a frame
_PARTITIONS_LOG2: Final = 3  # each frame's residual has eight Rice parameters
_MAX_ORDER: Final = 3  # of the fixed predictors (section 9.2.5)
_MAX_UNARY_LOG2: Final = 12  # keeps the bits of an outlier within bounds
_BIT_CODES: Final = {16: 4, 24: 6}  # section 9.1.4

Bits = npt.NDArray[np.uint8]
Whole = npt.NDArray[np.int64]


def encode(samples: npt.NDArray[Any], sample_rate_hz: int, bits: int) -> bytes:
    """(S,) whole numbers of 16 or 24 bits, mono -> the bytes of a FLAC file."""
    values = np.asarray(samples, np.int64)
    frames = [
        _frame(values[start : start + BLOCK], start // BLOCK, bits)
        for start in range(0, len(values), BLOCK)
    ]
    checks = _crc16(frames)
    body = b"".join(f + int(c).to_bytes(2, "big") for f, c in zip(frames, checks, strict=True))
    sizes = [len(frame) + 2 for frame in frames]
    return b"fLaC" + _stream_info(values, sample_rate_hz, bits, sizes) + body


def _stream_info(values: Whole, rate_hz: int, bits: int, sizes: list[int]) -> bytes:
    """The one metadata block, marked as the last (section 8.2)."""
    packed = (rate_hz << 44) | ((bits - 1) << 36) | len(values)  # one channel: three zero bits
    raw = np.ascontiguousarray(values, "<i4").view(np.uint8).reshape(-1, 4)[:, : bits // 8]
    return b"".join(
        (
            b"\x80" + (34).to_bytes(3, "big"),
            BLOCK.to_bytes(2, "big") * 2,
            min(sizes).to_bytes(3, "big") + max(sizes).to_bytes(3, "big"),
            packed.to_bytes(8, "big"),
            hashlib.md5(raw.tobytes(), usedforsecurity=False).digest(),
        )
    )


def _frame(block: Whole, number: int, bits: int) -> bytes:
    """A frame without its last two bytes (section 9)."""
    head = bytearray(b"\xff\xf8")  # frames of one size
    head += bytes((0x70, _BIT_CODES[bits] << 1))  # size at the end, rate as in the stream, mono
    head += chr(number).encode("utf-8", "surrogatepass")  # FLAC numbers frames in this way
    head += (len(block) - 1).to_bytes(2, "big")
    head.append(_crc8(head))
    order, residual = _predict(block)
    parts = [
        _number((8 + order) << 1, 8),  # a fixed predictor of this order
        *(_number(int(value), bits) for value in block[:order]),
        *_rice(residual, order, len(block)),
    ]
    return bytes(head) + np.packbits(np.concatenate(parts)).tobytes()


def _predict(block: Whole) -> tuple[int, Whole]:
    """The fixed predictor that leaves least, and what it leaves."""
    best, residual = 0, block
    left = block
    for order in range(1, min(_MAX_ORDER, len(block) - 1) + 1):
        left = np.diff(left)
        if np.abs(left).sum() < np.abs(residual).sum():
            best, residual = order, left
    return best, residual


def _rice(residual: Whole, order: int, size: int) -> list[Bits]:
    """Rice codes with parameters of five bits (section 9.2.7)."""
    log2 = _PARTITIONS_LOG2 if size == BLOCK else 0
    cuts = [size // (1 << log2) * k - order for k in range(1, 1 << log2)]
    folded = np.where(residual < 0, -2 * residual - 1, 2 * residual)
    parts = [_number(0b01, 2), _number(log2, 4)]
    for piece in np.split(folded, cuts):
        parameter = _parameter(piece)
        parts += [_number(parameter, 5), _codes(piece, parameter)]
    return parts


def _parameter(folded: Whole) -> int:
    if not len(folded):
        return 0
    usual = int(np.log2(max(1.0, float(folded.mean()) * np.log(2.0))))
    return max(usual, int(folded.max()).bit_length() - _MAX_UNARY_LOG2)


def _codes(folded: Whole, parameter: int) -> Bits:
    """Each number as so many zeros, a one, and its low bits."""
    ends = np.cumsum((folded >> parameter) + 1 + parameter)
    bits = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    bits[ends - 1 - parameter] = 1
    for k in range(parameter):
        bits[ends - 1 - k] = (folded >> k) & 1
    return bits


def _number(value: int, width: int) -> Bits:
    """The lowest `width` bits, highest first; negative numbers in two's complement."""
    return (value >> np.arange(width - 1, -1, -1, dtype=np.int64) & 1).astype(np.uint8)


def _crc8(data: bytearray) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ (0x107 if crc & 0x80 else 0)
    return crc


def _crc16(frames: list[bytes]) -> npt.NDArray[np.uint16]:
    """The check of each frame, all at once: zeros in front of a frame don't change it."""
    table = np.arange(256, dtype=np.uint32) << 8
    for _ in range(8):
        table = ((table << 1) ^ np.where(table & 0x8000, 0x8005, 0)) & 0xFFFF
    checks: list[npt.NDArray[np.uint16]] = []
    for first in range(0, len(frames), 1024):
        some = frames[first : first + 1024]
        width = max(map(len, some))
        rows = np.frombuffer(b"".join(f.rjust(width, b"\0") for f in some), np.uint8)
        crc = np.zeros(len(some), np.uint32)
        for column in np.ascontiguousarray(rows.reshape(len(some), width).T):
            crc = ((crc << 8) & 0xFFFF) ^ table[(crc >> 8) ^ column]
        checks.append(crc.astype(np.uint16))
    return np.concatenate(checks)
