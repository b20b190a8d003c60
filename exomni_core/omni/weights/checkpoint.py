# SPDX-License-Identifier: GPL-3.0-or-later
"""A published checkpoint folder in, modules with its weights out: each tensor read once.

The files are sharded safetensors; the parts other than the language model have one of three
prefixes. Modules are built without memory, and every tensor goes from the mapped file directly to
its device and dtype, so the peak is the weights plus one tensor. Missing, unexpected or misshapen
tensors stop the load with their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from exomni_core.errors import ExOmniError, InputError
from exomni_core.omni.config import OmniConfig

PARTS: Final = ("speech_encoder", "speech_projector", "speech_generator", "blendshape_generator")
_SHOWN: Final = 4  # bad tensors that an error names
# Mapped pages count as ours until the file is closed: close it after each so much.
_MAPPED_BYTES: Final = 16 << 20


@dataclass(frozen=True)
class Stored:
    """The file and the shape of a tensor."""

    file: Path
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """All tensors of a folder by canonical name: `PART.rest`, or the language model's own name."""

    folder: Path
    tensors: Mapping[str, Stored]


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read the headers of all `*.safetensors` in `folder`; later files win, as in the release.

    Raises InputError for a folder without weights and for a damaged file.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(
            f"{folder} holds no *.safetensors; name the folder of an Ex-Omni checkpoint "
            "(to get it: exorender models pull)",
            field="model",
        )
    tensors: dict[str, Stored] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (it is no mapping)
                    shape = tuple(opened.get_slice(name).get_shape())
                    tensors[canonical(name)] = Stored(file, name, shape)
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{file} can't be read ({error}); get it again: {how_to_mend(folder)}",
                field="model",
            ) from error
    return Checkpoint(folder, tensors)


def how_to_mend(folder: Path) -> str:
    """The command that gets the checkpoint in `folder` again."""
    return f"exorender models pull ex-omni --models {folder.parent}"


def canonical(name: str) -> str:
    """`model.model.M.x`, `model.M.x` or `M.x` -> `M.x` for the parts M; other names stay."""
    for prefix in ("model.model.", "model.", ""):
        for part in PARTS:
            if name.startswith(f"{prefix}{part}."):
                return name[len(prefix) :]
    return name


def build(make: Callable[[OmniConfig], nn.Module], config: OmniConfig) -> nn.Module:
    """A module without memory: shapes only; InputError for sizes that make no module."""
    try:
        with torch.device("meta"):
            return make(config).eval().requires_grad_(False)
    except ExOmniError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"the sizes in config.json make no model ({reason}); get the file again", field="model"
        ) from error


def expected_shapes(module: nn.Module, rename: Callable[[str], str]) -> dict[str, tuple[int, ...]]:
    """Canonical tensor name -> shape, for every parameter; tied ones count once."""
    return {rename(name): tuple(t.shape) for name, t in module.named_parameters()}


def check(folder: Path, found: Mapping[str, Stored], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """InputError that names tensors which are missing, unexpected or of another shape."""
    missing = [f"{n} {_shape(s)}" for n, s in wanted.items() if n not in found]
    unexpected = [f"{n} {_shape(s.shape)}" for n, s in found.items() if n not in wanted]
    misshapen = [
        f"{n} is {_shape(found[n].shape)} instead of {_shape(s)}"
        for n, s in wanted.items()
        if n in found and found[n].shape != s
    ]
    complaints = [
        f"{what} {_some(names)}"
        for what, names in (
            ("it lacks", missing),
            ("it has the unknown", unexpected),
            ("", misshapen),
        )
        if names
    ]
    if complaints:
        raise InputError(
            f"the checkpoint in {folder} doesn't fit its config.json: "
            f"{'; '.join(c.strip() for c in complaints)}; get the files again: "
            f"{how_to_mend(folder)}",
            field="model",
        )


def load(
    module: nn.Module,
    found: Mapping[str, Stored],
    rename: Callable[[str], str],
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Fill a module from `build`, tensor by tensor, in the order of the files.

    rename: the module's name of a tensor -> its key in `found`. The shapes were checked before.
    """
    names = [name for name, _ in module.named_parameters()]
    names.sort(key=lambda n: (found[rename(n)].file, found[rename(n)].name))
    for name, tensor in _read(names, lambda n: found[rename(n)]):
        owner, _, attribute = name.rpartition(".")
        moved = tensor.to(device=device, dtype=dtype, copy=True)
        setattr(module.get_submodule(owner), attribute, nn.Parameter(moved, requires_grad=False))


def _read(names: Sequence[str], place: Callable[[str], Stored]) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor as a view of the mapped file, which is closed now and then."""
    at = 0
    while at < len(names):
        file = place(names[at]).file
        mapped = 0
        with safe_open(file, framework="pt") as opened:
            while at < len(names) and mapped < _MAPPED_BYTES:
                stored = place(names[at])
                if stored.file != file:
                    break
                tensor = opened.get_tensor(stored.name)
                mapped += tensor.nbytes
                yield names[at], tensor
                del tensor  # or the mapping would stay
                at += 1


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"
