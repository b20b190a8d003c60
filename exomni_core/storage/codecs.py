# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays in, npy and FLAC bytes and zips out, and back; nothing is pickled or believed unchecked.

All but reading FLAC needs numpy alone, so it also runs inside Blender. All readers raise ValueError
with half a sentence; the caller knows the file's name and adds it.
"""

from __future__ import annotations

import ast
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray
from exomni_core.storage.flac import encode as encode_flac
from exomni_core.storage.foreign import allowance, open_zip

_NPY_MAGIC: Final = b"\x93NUMPY"
_MAX_NPY_HEADER: Final = 10_000
# libFLAC calls a rate above 65535 Hz that is no multiple of 10 not streamable and refuses it.
_ANY_RATE_UP_TO_HZ: Final = 65_535
_MAX_FLAC_RATE_HZ: Final = 655_350
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def read_npy(data: bytes) -> npt.NDArray[Any]:
    """An array of real numbers from the bytes of an npy file; a read-only view where possible.

    numpy's own reader allocates what the header asks for before it looks at the data.
    """
    if data[:6] != _NPY_MAGIC or len(data) < 12 or data[6] not in (1, 2, 3):
        raise ValueError("it is not an npy file")
    size_bytes = 2 if data[6] == 1 else 4
    start = 8 + size_bytes
    size = int.from_bytes(data[8:start], "little")
    if size > _MAX_NPY_HEADER or start + size > len(data):
        raise ValueError("its npy header is cut off")
    try:
        header = ast.literal_eval(data[start : start + size].decode("latin-1").strip())
        dtype, shape, fortran = header["descr"], header["shape"], header["fortran_order"]
        kind = np.dtype(dtype if isinstance(dtype, str) else "O")
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise ValueError("its npy header can't be read") from error
    if kind.kind not in "fiu":
        raise ValueError("its array does not hold plain numbers")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("its npy header tells no shape")
    count = 1
    for length in shape:
        count *= length
    body = memoryview(data)[start + size :]
    if len(shape) > 8 or count * kind.itemsize != len(body):
        raise ValueError(f"its array of shape {shape} should have {count} numbers, but has not")
    array = np.frombuffer(body, kind)
    return array.reshape(shape, order="F" if fortran is True else "C")


def npy_bytes(array: npt.NDArray[Any]) -> bytes:
    """The bytes of an npy file that holds `array`; equal arrays give equal bytes."""
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=(1, 0), allow_pickle=False)  # type: ignore[no-untyped-call]
    return out.getvalue()


def flac_bytes(audio: FloatArray, sample_rate_hz: int) -> bytes:
    """(S,) samples in [-1, 1] -> FLAC: exact at 16 bits if they came from 16 or fewer, else 24.

    By libFLAC where soundfile is installed, else by numpy: the same samples in other bytes.
    """
    steps = audio.astype(np.float64) * 32768.0
    # +1.0 lies one step above what 16 bits can say.
    exact_16 = np.array_equal(np.round(steps), steps) and steps.max() <= 32767.0
    bits = 16 if exact_16 else 24
    top = float(1 << (bits - 1))
    whole = np.clip(np.round(audio.astype(np.float64) * top), -top, top - 1).astype(np.int32)
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: it is there, but its C library is not
        return encode_flac(whole, sample_rate_hz, bits)
    out = io.BytesIO()
    # Integers pass libsndfile unchanged; it would scale floats.
    soundfile.write(out, whole << (32 - bits), sample_rate_hz, format="FLAC", subtype=f"PCM_{bits}")
    return out.getvalue()


def is_flac_rate(sample_rate_hz: int) -> bool:
    """Whether FLAC can hold sound at this sample rate."""
    if sample_rate_hz <= _ANY_RATE_UP_TO_HZ:
        return sample_rate_hz >= 1
    return sample_rate_hz <= _MAX_FLAC_RATE_HZ and sample_rate_hz % 10 == 0


def flac_length(data: bytes) -> tuple[int, int]:
    """Sample rate in Hz and number of samples, from the head of a FLAC file (RFC 9639, 8.2)."""
    if len(data) < 26 or data[:4] != b"fLaC" or data[4] & 0x7F != 0:
        raise ValueError("its audio is not FLAC")
    packed = int.from_bytes(data[18:26], "big")  # 20 bits rate, 3 channels, 5 depth, 36 samples
    rate, samples = packed >> 44, packed & ((1 << 36) - 1)
    if rate == 0 or samples == 0:
        raise ValueError("its audio tells no length")
    return rate, samples


def samples_from_flac(data: bytes, max_samples: int) -> tuple[FloatArray, int]:
    """(S,) float32 mono samples in [-1, 1] and their rate in Hz from FLAC bytes."""
    rate, samples = flac_length(data)
    if samples > max_samples:
        raise ValueError(f"its audio has {samples} samples; {max_samples} is the most")
    # Silence packs a thousandfold: decoding holds each sample as a float, and a check copies it.
    if samples * 8 > allowance(len(data)):
        raise ValueError(f"its audio has {samples} samples, too many for its {len(data)} bytes")
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as source:
            if source.format != "FLAC" or source.channels != 1:
                raise ValueError(f"its audio has {source.channels} channels instead of one")
            audio: FloatArray = source.read(dtype="float32")
    except soundfile.SoundFileError as error:
        raise ValueError("its audio can't be decoded") from error
    if len(audio) != samples:
        raise ValueError(f"its audio ends after {len(audio)} of {samples} samples")
    return audio, rate


def zip_bytes(members: Mapping[str, bytes], *, stored: str) -> bytes:
    """A zip of `members` in their order; equal members give equal bytes, on any system.

    stored: the ending of names that are not worth packing, such as `.flac`.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _ZIP_EPOCH)
            info.create_system = 3  # the same on Windows
            info.external_attr = 0o644 << 16
            packed = zipfile.ZIP_STORED if name.endswith(stored) else zipfile.ZIP_DEFLATED
            archive.writestr(info, data, compress_type=packed, compresslevel=6)
    return out.getvalue()


def members_from_zip(data: bytes, limits: Mapping[str, int]) -> dict[str, bytes]:
    """The members named in `limits` (name -> most bytes) from the bytes of a zip.

    ValueError for one that takes more memory than a file of that size may.
    """
    members = {}
    try:
        with open_zip(data) as archive:
            infos = {name: archive.getinfo(name) for name in limits}
            total, most = sum(i.file_size for i in infos.values()), allowance(len(data)) // 4
            if total > most:
                raise ValueError(
                    f"it would unpack to {total >> 20} MB; {most >> 20} MB is the most"
                )
            for name, limit in limits.items():
                info = infos[name]
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ValueError(f"{name} is packed in an unknown way")
                if not 0 < info.file_size <= limit:
                    raise ValueError(f"{name} is empty or oversized ({info.file_size} bytes)")
                with archive.open(info) as handle:  # the listed size may lie, so the read is capped
                    members[name] = handle.read(limit + 1)
                if not 0 < len(members[name]) <= limit:
                    raise ValueError(f"{name} is empty or oversized")
    except KeyError as error:
        raise ValueError(str(error.args[0])) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
    ) as error:
        # zipfile quotes what it found, which may be kilobytes of noise.
        raise ValueError(f"its zip can't be read: {error}"[:100]) from error
    return members
