# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of weights in -> the state of each file: against its receipt, or else by its looks.

The receipt is written after a download and holds every file's hash. Without one, a file can only
be missing, visibly cut short, or unknown.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal

from exomni_core.errors import InputError
from exomni_core.storage.files import TEMPORARY_MARK, sha256_file, write_text
from exomni_core.storage.foreign import load_json, open_regular, parse_json

RECEIPT: Final = "exomni-receipt.json"
_SCHEMA: Final = 1
_MOST_HEADER: Final = 100_000_000  # bytes; the safetensors format's own limit

State = Literal["ok", "missing", "damaged", "unknown"]


@dataclass(frozen=True)
class Receipt:
    """What was downloaded: files maps a name to its size in bytes and SHA-256.

    consent: when and how the licence was accepted; None where it needs no consent.
    """

    repo: str
    revision: str
    pulled: str
    files: Mapping[str, tuple[int, str]]
    consent: Mapping[str, str] | None = None


@dataclass(frozen=True)
class FileState:
    """One file of a model. unknown: it looks complete, but there is no hash to compare with."""

    name: str
    state: State
    size: int = 0
    detail: str = ""

    @property
    def is_bad(self) -> bool:
        """True if the model can't be used because of this file."""
        return self.state in ("missing", "damaged")


def files_in(folder: Path) -> dict[str, Path]:
    """All files of a model by name, also those in folders; without hidden files and the receipt."""
    if not folder.is_dir():
        return {}
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts) or TEMPORARY_MARK in path.name
        if path.is_file() and not hidden and name.as_posix() != RECEIPT:
            found[name.as_posix()] = path
    return found


def check_files(
    folder: Path, needed: Sequence[str] = (), *, hashes: bool = True
) -> Iterator[FileState]:
    """Yield the state of each file in `folder`, as soon as it is known.

    needed: patterns that must each match a file. hashes: False compares sizes alone, which is
    quick. Raises InputError for a receipt that can't be read.
    """
    files = files_in(folder)
    receipt = read_receipt(folder)
    listed = receipt.files if receipt else {}
    for name, (size, sha256) in listed.items():
        yield _against_receipt(name, files.get(name), size, sha256 if hashes else None)
    for name, path in files.items():
        if name not in listed:
            detail = "not in the receipt" if receipt else "no receipt to compare with"
            defect = _defect(path)
            state: State = "damaged" if defect else "unknown"
            yield FileState(name, state, path.stat().st_size, defect or detail)
    names = files.keys() | listed.keys()
    for name in (*_shards(files), *needed):
        if not any(fnmatchcase(one, name) for one in names):
            yield FileState(name, "missing")


def read_receipt(folder: Path) -> Receipt | None:
    """The receipt in `folder`; None without one, InputError for one that can't be read."""
    path = folder / RECEIPT
    if not path.exists():
        return None
    try:
        data = load_json(path)
        return Receipt(
            repo=str(data["repo"]),
            revision=str(data["revision"]),
            pulled=str(data["pulled"]),
            files={
                str(name): (int(entry["size"]), str(entry["sha256"]))
                for name, entry in data["files"].items()
            },
            consent=data.get("consent"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} can't be read as a receipt; delete it and pull the model again"
        ) from error


def write_receipt(folder: Path, receipt: Receipt) -> None:
    """Write the receipt in one step; raises InputError."""
    data: dict[str, Any] = {"schema": _SCHEMA, **asdict(receipt)}
    data["files"] = {n: {"size": size, "sha256": sha} for n, (size, sha) in receipt.files.items()}
    write_text(folder / RECEIPT, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _against_receipt(name: str, path: Path | None, size: int, sha256: str | None) -> FileState:
    if path is None:
        return FileState(name, "missing", size)
    try:
        real = path.stat().st_size
        if real != size:
            return FileState(name, "damaged", real, f"has {real} bytes instead of {size}")
        if sha256 is not None and sha256_file(path) != sha256:
            return FileState(name, "damaged", size, "differs from what was downloaded")
    except OSError as error:
        return FileState(name, "damaged", size, f"can't be read ({error.strerror})")
    return FileState(name, "ok", size)


def _defect(path: Path) -> str | None:
    """The visible fault of a file, or an empty text."""
    try:
        if path.stat().st_size == 0:
            return "is empty"
        if path.suffix == ".safetensors":
            return _safetensors_defect(path)
        if path.suffix in (".pt", ".bin", ".pth"):
            return _pytorch_defect(path)
        if path.suffix == ".json":
            load_json(path)
    except OSError as error:
        return f"can't be read ({error.strerror})"
    except ValueError:
        return "is no JSON"
    return None


def _safetensors_defect(path: Path) -> str | None:
    """Compare the length stated in the header with the file's; detects every truncation."""
    with open_regular(path) as handle:
        length = int.from_bytes(handle.read(8), "little")
        text = handle.read(length) if length <= _MOST_HEADER else b""
    try:
        entries = parse_json(text)
        spans = [entry["data_offsets"] for n, entry in entries.items() if n != "__metadata__"]
        promised = 8 + length + max((int(end) for _, end in spans), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "has no safetensors header"
    real = path.stat().st_size
    return None if real == promised else f"has {real} bytes instead of {promised}"


def _pytorch_defect(path: Path) -> str | None:
    """Check the end of a zip; the old format can't be checked."""
    with open_regular(path) as handle:
        start = handle.read(2)
    is_zip = start == b"PK"
    if is_zip and not zipfile.is_zipfile(path):
        return "is cut short"
    return None if is_zip or start[:1] == b"\x80" else "is no pytorch file"


def _shards(files: Mapping[str, Path]) -> list[str]:
    """The weight files that an index in the folder names."""
    names: set[str] = set()
    for name, path in files.items():
        if name.endswith(".index.json"):
            try:
                shards = load_json(path)["weight_map"].values()
                names |= {(Path(name).parent / str(shard)).as_posix() for shard in shards}
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # told by its looks, or by its hash
    return sorted(names)
