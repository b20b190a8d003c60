# SPDX-License-Identifier: GPL-3.0-or-later
"""Read names and their families in, a matching in the making out: the passes that `match` makes.

First the names that the head has, then visemes, then shapes that stand in, then the user's choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, canonical_name
from exomni_core.matching.families import Alternatives, Family, Reading, family_by_id
from exomni_core.matching.overrides import Overrides
from exomni_core.matching.stand_ins import VISEMES, Clamp, channel_substitutes, viseme_map

# With these a head has ARKit's own mouth, or nearly, and its visemes stay at rest.
_LIP_SHAPES: Final = (
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthStretchLeft",
    "mouthLowerDownLeft",
    "mouthRollLower",
    "mouthUpperUpLeft",
)
# What a head's own shapes do, its visemes do too: with any of these a shape would move twice.
_DONE_BY: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    (("jawOpen",), VISEMES),
    (("mouthFunnel", "mouthPucker"), ("O", "U")),
    (("mouthStretchLeft", "mouthStretchRight", "mouthLowerDownLeft", "mouthLowerDownRight",
      "mouthUpperUpLeft", "mouthUpperUpRight"), ("E", "I", "SS", "DD")),
    (("mouthClose", "mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthRollUpper"),
     ("PP",)),
)  # fmt: skip

How = Literal["exact", "spelling", "family", "fallback", "override"]
Key = tuple[str, str]  # (mesh, shape key)


@dataclass(frozen=True)
class Target:
    """A shape key that a channel drives: the key's value gets weight times the channel's.

    how: `exact` (ARKit's name), `spelling` (case, sides, what stands around it), `family`,
        `fallback` (stands in for what the head lacks), `override` (the user's choice).
    """

    key: str
    weight: float = 1.0
    mesh: str = ""
    how: How = "exact"


@dataclass
class Draft:
    """A matching in the making."""

    targets: dict[str, list[Target]] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)
    clamps: dict[Key, Clamp] = field(default_factory=dict)
    ranges: dict[Key, tuple[float, float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def drives(self, channel: str, mesh: str) -> bool:
        """Whether a channel already moves something on a mesh."""
        return any(target.mesh == mesh for target in self.targets.get(channel, ()))


def reading_order(forced: Family | None, best: Family | None) -> tuple[Family, ...]:
    """The families whose channels count on a mesh: the best, then what all may have."""
    wanted = (forced or best, family_by_id("arkit"), family_by_id("plain"))
    return tuple({family.id: family for family in wanted if family}.values())


def add_named(draft: Draft, mesh: str, reading: Reading, order: Sequence[Family]) -> None:
    """Give each channel the keys of a mesh that are named for it, by the first family that can."""
    for family in order:
        for channel in ARKIT_52:
            if channel in family.channels and not draft.drives(channel, mesh):
                rows = _targets_of(draft, mesh, reading, channel, family.channels[channel])
                if rows:
                    draft.targets.setdefault(channel, []).extend(rows)


def _targets_of(
    draft: Draft, mesh: str, reading: Reading, channel: str, alternatives: Alternatives
) -> list[Target]:
    for parts in alternatives:
        rows = []
        for part in parts:
            if key := reading.first(part.key):
                how: How = "family" if canonical_name(part.key) != channel else "spelling"
                how = "exact" if key == channel else how
                rows.append(Target(key, part.weight, mesh, how))
                if part.both_ways:
                    draft.ranges[mesh, key] = (-1.0, 1.0)
        if rows:
            return rows
    return []


def add_visemes(
    draft: Draft, readings: Mapping[str, Reading], visemes: Mapping[str, Family]
) -> None:
    """Let visemes talk where the character has not ARKit's mouth on any of its meshes."""
    lips = sum(channel in draft.targets for channel in _LIP_SHAPES)
    if "jawOpen" in draft.targets and lips >= 3:
        return
    for mesh, family in visemes.items():
        keys = {}
        for viseme, row in family.visemes.items():
            there = [key for (part, *_) in row if (key := readings[mesh].first(part.key))]
            if there:
                keys[viseme] = there[0]
        jaw = [t for t in draft.targets.get("jawOpen", ()) if t.mesh == mesh]
        if jaw and not {"aa", "open"} & keys.keys():
            keys["open"] = jaw[0].key
        _drive_visemes(draft, mesh, keys)


def _drive_visemes(draft: Draft, mesh: str, keys: Mapping[str, str]) -> None:
    rows = viseme_map(keys.keys())
    if not rows:
        return
    for channels, done_by in _DONE_BY:
        if any(viseme in rows for viseme in done_by):
            for channel in channels:
                kept = [t for t in draft.targets.get(channel, ()) if t.mesh != mesh]
                draft.targets[channel] = kept
    for viseme, (clamp, weights) in rows.items():
        key = keys[viseme]
        draft.clamps[mesh, key] = clamp
        for channel, weight in weights.items():
            if weight:
                target = Target(key, weight, mesh, "fallback")
                draft.targets.setdefault(channel, []).append(target)
    draft.targets = {channel: targets for channel, targets in draft.targets.items() if targets}


def add_substitutes(draft: Draft) -> None:
    """Give channels that no mesh has to the channels that stand in for them."""
    own = {
        channel: [t for t in rows if t.how != "fallback"] for channel, rows in draft.targets.items()
    }
    speaks = bool(draft.clamps)
    for channel in ARKIT_52:
        if channel in draft.targets or (speaks and channel.startswith(("mouth", "jaw"))):
            continue
        for name, factor in channel_substitutes(channel):
            for target in own.get(name, ()):
                stand_in = replace(target, weight=factor * target.weight, how="fallback")
                draft.targets.setdefault(channel, []).append(stand_in)


def override(draft: Draft, meshes: Mapping[str, Sequence[str]], overrides: Overrides) -> None:
    """Put the user's choices in place of what was found; what can't be followed is a problem."""
    for channel, chosen in overrides.channels.items():
        if channel not in CHANNEL_INDEX:
            draft.problems.append(f"there is no channel {channel!r}, so its override is left out")
            continue
        rows = []
        for choice in chosen:
            holders = [
                mesh
                for mesh, keys in meshes.items()
                if choice.key in keys and choice.mesh in ("", mesh)
            ]
            rows += [Target(choice.key, choice.weight, mesh, "override") for mesh in holders]
            if not holders:
                who = f"mesh {choice.mesh!r} does not have it" if choice.mesh else ""
                draft.problems.append(
                    f"{channel} was set to {choice.key!r}, but "
                    f"{who or 'no mesh has that shape key'}"
                )
        draft.targets[channel] = rows
        if not rows:
            del draft.targets[channel]
    _widen(draft)


def _widen(draft: Draft) -> None:
    """Let keys go as far as the user's weights say, and free those a fall-back drives no more."""
    by_key: dict[Key, list[Target]] = {}
    for rows in draft.targets.values():
        for target in rows:
            by_key.setdefault((target.mesh, target.key), []).append(target)
    for key, rows in by_key.items():
        if not any(target.how == "fallback" for target in rows):
            draft.clamps.pop(key, None)
        own = [target.weight for target in rows if target.how == "override"]
        if own:
            low, high = draft.ranges.get(key, (0.0, 1.0))
            only = len(own) == len(rows) and max(own) < 0.0  # meant to go below zero
            draft.ranges[key] = (min(low, *own) if only else low, max(high, *own))
