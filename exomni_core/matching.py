# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape-key names of a mesh in, which ARKit channel drives which key out; pure, by name only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from exomni_core.arkit import ARKIT_52, canonical_name
from exomni_core.errors import InputError

_NAMES_SHOWN = 40


@dataclass(frozen=True)
class Matching:
    """Which channel drives which shape key.

    key_of: channel -> shape key name, in ARKIT_52 order.
    missing: channels for which the mesh has no key (their motion is not shown).
    duplicates: keys that name a channel which another key already took; they stay untouched.
    ignored: keys that name no channel (`Basis`, correctives ...); they stay untouched.
    """

    key_of: Mapping[str, str]
    missing: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Make the mapping read-only, as the rest of a frozen object is."""
        object.__setattr__(self, "key_of", MappingProxyType(dict(self.key_of)))

    @property
    def coverage(self) -> float:
        """The share of the 52 channels that this mesh can show, 0 to 1."""
        return len(self.key_of) / len(ARKIT_52)


def match_channels(key_names: Sequence[str]) -> Matching:
    """Match shape keys to channels however they are cased or sided (`JawOpen`, `eyeBlink_L`).

    Of several keys for one channel the one spelled exactly as ARKit spells it wins, otherwise the
    first. Raises InputError with the mesh's key names when nothing matches.
    """
    candidates: dict[str, list[str]] = {}
    ignored = []
    for key in key_names:
        channel = canonical_name(key)
        if channel is None:
            ignored.append(key)
        else:
            candidates.setdefault(channel, []).append(key)
    if not candidates:
        raise InputError(_nothing_matches(key_names), field="target")
    key_of = {}
    duplicates = []
    for channel in ARKIT_52:
        if keys := candidates.get(channel):
            chosen = channel if channel in keys else keys[0]
            key_of[channel] = chosen
            duplicates += [key for key in keys if key != chosen]
    return Matching(
        key_of=key_of,
        missing=tuple(channel for channel in ARKIT_52 if channel not in key_of),
        duplicates=tuple(duplicates),
        ignored=tuple(ignored),
    )


def _nothing_matches(key_names: Sequence[str]) -> str:
    if not key_names:
        return "the mesh has no shape keys; give it ARKit blendshapes such as jawOpen"
    shown = ", ".join(repr(name) for name in key_names[:_NAMES_SHOWN])
    rest = f" and {len(key_names) - _NAMES_SHOWN} more" if len(key_names) > _NAMES_SHOWN else ""
    return (
        f"no shape key has the name of an ARKit blendshape (such as jawOpen); the mesh has "
        f"{shown}{rest}"
    )
