# SPDX-License-Identifier: GPL-3.0-or-later
"""An exported glTF file in, the same with right animation times out.

Blender's exporter (4.2 to 5.2) takes a second to hold fps * fps_base frames; it is fps / fps_base.
At 23.976 frames per second the animation is 0.2 % too short, two frames in 40 seconds.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core.errors import InputError
from exomni_core.storage.files import write_bytes

_MAGIC: Final = 0x46546C67
_JSON: Final = 0x4E4F534A
_BINARY: Final = 0x004E4942
_FLOAT32: Final = 5126


def correct_times(path: Path, last_s: float, factor: float) -> bool:
    """Multiply all animation times of a .glb or .gltf by `factor`, if they need it.

    last_s: when the animation should end. Nothing is changed if it does already, so that an
    exporter without the fault is left alone. Returns whether it was changed; raises InputError.
    """
    try:
        document, binary, buffer_path = _read(path)
        spans = _time_spans(document)
        if not spans:
            return False
        latest = max(float(_times(binary, span).max()) for span in spans)
        if abs(latest * factor - last_s) >= abs(latest - last_s):
            return False
        for span in spans:
            times = _times(binary, span)
            times *= np.float32(factor)
            accessor = document["accessors"][span[2]]
            accessor["min"], accessor["max"] = [float(times.min())], [float(times.max())]
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise InputError(f"{path} can't be read back after its export ({error})") from error
    _write(path, document, binary, buffer_path)
    return True


def _read(path: Path) -> tuple[dict[str, Any], bytearray, Path | None]:
    """The document, its (first) buffer, and the buffer's own file if it has one."""
    data = path.read_bytes()
    if path.suffix.lower() == ".gltf":
        document = json.loads(data)
        buffer_path = path.parent / document["buffers"][0]["uri"]
        return document, bytearray(buffer_path.read_bytes()), buffer_path
    magic, _, _ = struct.unpack_from("<III", data, 0)
    length, kind = struct.unpack_from("<II", data, 12)
    if magic != _MAGIC or kind != _JSON:
        raise ValueError("it is no glTF file")
    document = json.loads(data[20 : 20 + length])
    start = 20 + length
    size, kind = struct.unpack_from("<II", data, start)
    if kind != _BINARY:
        raise ValueError("it has no binary part")
    return document, bytearray(data[start + 8 : start + 8 + size]), None


def _write(path: Path, document: Any, binary: bytearray, buffer_path: Path | None) -> None:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    if buffer_path is not None:
        write_bytes(buffer_path, bytes(binary))
        write_bytes(path, text)
        return
    text += b" " * (-len(text) % 4)
    parts = struct.pack("<II", len(text), _JSON) + text
    parts += struct.pack("<II", len(binary), _BINARY) + bytes(binary)
    write_bytes(path, struct.pack("<III", _MAGIC, 2, 12 + len(parts)) + parts)


def _time_spans(document: Any) -> list[tuple[int, int, int]]:
    """(offset in the buffer, count, accessor) of each list of times; none twice."""
    inputs = {
        sampler["input"]
        for animation in document.get("animations", [])
        for sampler in animation["samplers"]
    }
    spans = []
    for index in sorted(inputs):
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        if accessor["componentType"] != _FLOAT32 or view.get("buffer", 0) != 0:
            raise ValueError("its times are stored in an unknown way")
        offset = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        spans.append((offset, accessor["count"], index))
    return spans


def _times(binary: bytearray, span: tuple[int, int, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A list of times, as a view into the buffer."""
    return np.frombuffer(binary, "<f4", span[1], span[0])
