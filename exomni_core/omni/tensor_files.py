# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of weights in -> its tensors by name, mapped from disk straight to a device.

Knows safetensors (one file, or shards with an index) and, where there are none, pytorch's .bin.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from exomni_core.errors import InputError
from exomni_core.storage.foreign import load_json

_MEND = "get the file again (exorender models check lists the damaged files)"


def weight_files(folder: Path) -> list[Path]:
    """The files in `folder` that hold its weights; InputError if there is none, or one is missing.

    An index names the shards; without one, all `*.safetensors` count, in the order of names.
    """
    for stem, suffix in (("model", ".safetensors"), ("pytorch_model", ".bin")):
        index = folder / f"{stem}{suffix}.index.json"
        if index.is_file():
            return _shards(index)
        if found := sorted(folder.glob(f"*{suffix}")):
            return found
    raise InputError(f"{folder} holds no weights (*.safetensors or *.bin); choose another folder")


def tensors_in(file: Path, device: torch.device | str = "cpu") -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor) of each tensor in `file`, on `device`; InputError if it is damaged."""
    if file.suffix == ".safetensors":
        try:
            with safe_open(file, "pt", device=str(device)) as tensors:
                for name in tensors.keys():  # noqa: SIM118 (no dict)
                    yield name, tensors.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file} is damaged ({error}); {_MEND}") from error
    else:
        yield from _unpickled(file, device).items()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; InputError if it is missing or none."""
    try:
        data = load_json(path)
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); {_MEND}") from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); {_MEND}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} holds no JSON object; {_MEND}")
    return data


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f"{index} has no weight_map; {_MEND}")
    shards = [index.with_name(name) for name in sorted(set(names.values()))]
    for shard in shards:
        if not shard.is_file():
            raise InputError(f"{shard}, which {index.name} names, is missing; {_MEND}")
    return shards


def _unpickled(file: Path, device: torch.device | str) -> dict[str, Tensor]:
    try:
        try:
            found = torch.load(file, map_location=device, mmap=True, weights_only=True)
        except RuntimeError:  # files of old pytorch can't be mapped
            found = torch.load(file, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{file} is damaged or holds more than weights ({reason}); {_MEND}"
        ) from error
    if isinstance(found, dict) and all(isinstance(value, Tensor) for value in found.values()):
        return found
    raise InputError(f"{file} holds no tensors by name; {_MEND}")
