# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's own choices about one character in; JSON to keep with it out, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.matching.bones import BoneTarget, bone_from_data, bone_to_data
from exomni_core.storage.foreign import parse_json

SCHEMA_VERSION: Final = 1
MAX_WEIGHT: Final = 10.0  # Blender's sliders end there
_MAX_JSON: Final = 1 << 20


@dataclass(frozen=True)
class Choice:
    """A shape key chosen for a channel; an empty mesh means every mesh that has the key."""

    key: str
    weight: float = 1.0
    mesh: str = ""


@dataclass(frozen=True)
class Overrides:
    """What the user set by hand for a character.

    channels: channel -> the keys it drives instead of those found; empty: none at all.
    family: id of the naming family to take; empty: the one that explains most names.
    bones: bones to turn.
    """

    channels: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)
    family: str = ""
    bones: tuple[BoneTarget, ...] = ()

    def __post_init__(self) -> None:
        """Make the mapping read-only."""
        object.__setattr__(self, "channels", MappingProxyType(dict(self.channels)))


def to_json(overrides: Overrides) -> str:
    """Overrides -> JSON text; equal overrides give equal text."""
    channels = {
        channel: [vars(choice) for choice in chosen] if chosen else "none"
        for channel, chosen in overrides.channels.items()
    }
    data = {
        "exomni_overrides": SCHEMA_VERSION,
        "family": overrides.family,
        "channels": channels,
        "bones": [bone_to_data(bone) for bone in overrides.bones],
    }
    return json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)


def from_json(text: str) -> Overrides:
    """JSON text -> Overrides; InputError if it is none, damaged, or of a newer version.

    Names of channels, keys and bones are not checked here: `match` reports those it can't follow.
    """
    data = _parsed(text)
    try:
        channels = {
            channel: () if chosen == "none" else tuple(_choice(row) for row in chosen)
            for channel, chosen in _mapping(data.get("channels", {})).items()
        }
        bones = tuple(bone_from_data(_mapping(row)) for row in data.get("bones", []))
        family = data.get("family", "")
        if not isinstance(family, str):
            raise InputError("its family is no text")
        return Overrides(channels, family, bones)
    except (InputError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"the saved character settings are damaged: {error}") from error


def _parsed(text: str) -> Mapping[str, Any]:
    if not isinstance(text, str) or len(text) > _MAX_JSON:
        raise InputError("the saved character settings are too long or no text")
    try:
        data = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the saved character settings are no JSON: {error}") from error
    version = data.get("exomni_overrides") if isinstance(data, dict) else None
    if type(version) is not int or version < 1:
        raise InputError("this JSON holds no character settings: exomni_overrides is missing")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"the saved character settings are of version {version} and this Ex-Omni reads up to "
            f"{SCHEMA_VERSION}; update Ex-Omni for Blender"
        )
    assert isinstance(data, dict)
    return data


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"a part that should name its values is {type(value).__name__}")
    return value


def _choice(row: object) -> Choice:
    data = _mapping(row)
    key, mesh, weight = data.get("key"), data.get("mesh", ""), data.get("weight", 1.0)
    if not isinstance(key, str) or not isinstance(mesh, str) or not key:
        raise InputError("a chosen shape key has no name")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise InputError(f"the weight of {key!r} is no number")
    if not math.isfinite(weight) or abs(weight) > MAX_WEIGHT:
        raise InputError(f"the weight of {key!r} must be {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}")
    return Choice(key, float(weight), mesh)
