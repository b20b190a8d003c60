# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape-key names of a character's meshes in, which ARKit channel drives which key out; by name.

`match` finds ARKit's names in any spelling, then the naming families, then falls back to visemes.
`apply` turns weights into curves: one linear map, each key clamped to its range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, canonical_name
from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from exomni_core.matching.families import Family, Reading, best_families, family_by_id, read_names
from exomni_core.matching.overrides import Overrides
from exomni_core.matching.passes import (
    Draft,
    How,
    Key,
    Target,
    add_named,
    add_substitutes,
    add_visemes,
    override,
    reading_order,
)
from exomni_core.matching.stand_ins import Clamp

__all__ = ["Duplicate", "Matching", "Target", "apply", "match", "match_channels"]

_NAMES_SHOWN: Final = 12
_REST: Final = ("basis", "base", "neutral", "key")  # what Blender and importers call the rest pose


@dataclass(frozen=True)
class Duplicate:
    """A key that names a channel which `taken_by`, another key of the mesh, already took."""

    mesh: str
    key: str
    channel: str
    taken_by: str


@dataclass(frozen=True)
class Matching:
    """Which channel drives which shape keys, in ARKIT_52 order; matched channels only.

    targets: channel -> its targets (a plain key name stands for one target).
    families: mesh -> label of the naming family recognised (absent: none).
    clamps: keys that open or close the mouth in a fall-back. ranges: keys that go beyond 0 to 1.
    duplicates: see Duplicate; they stay untouched.
    unused: mesh -> keys we know but do not need, such as visemes beside ARKit's shapes.
    unknown: mesh -> keys of no meaning to us, in the mesh's order; the rest pose is left out.
    problems: sentences about overrides that could not be followed.
    """

    targets: Mapping[str, tuple[Target, ...]]
    families: Mapping[str, str] = field(default_factory=dict)
    clamps: Mapping[Key, Clamp] = field(default_factory=dict)
    ranges: Mapping[Key, tuple[float, float]] = field(default_factory=dict)
    duplicates: tuple[Duplicate, ...] = ()
    unused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Make the mappings read-only, as the rest of a frozen object is."""
        targets = {
            channel: (Target(rows),) if isinstance(rows, str) else tuple(rows)
            for channel, rows in self.targets.items()
        }
        object.__setattr__(self, "targets", MappingProxyType(targets))
        for name in ("families", "clamps", "ranges", "unused", "unknown"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def key_of(self) -> Mapping[str, str]:
        """channel -> the one key it drives alone and fully; sums and stand-ins are left out."""
        own = {
            channel: [target for target in rows if target.how != "fallback"]
            for channel, rows in self.targets.items()
        }
        users = Counter(key for rows in own.values() for key in {(t.mesh, t.key) for t in rows})
        return MappingProxyType(
            {
                channel: rows[0].key
                for channel, rows in own.items()
                if rows and rows[0].weight == 1.0 and users[rows[0].mesh, rows[0].key] == 1
            }
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Channels whose motion is not shown."""
        return tuple(channel for channel in ARKIT_52 if channel not in self.targets)

    @property
    def coverage(self) -> float:
        """The share of the 52 channels that these meshes show, 0 to 1."""
        return len(self.targets) / len(ARKIT_52)

    @property
    def coverage_text(self) -> str:
        """`48 of 52`; what only stands in is told apart: `31 of 52, 12 of them by stand-ins`."""
        stand_ins = sum(all(t.how == "fallback" for t in rows) for rows in self.targets.values())
        rest = f", {stand_ins} of them by stand-ins" if stand_ins else ""
        return f"{len(self.targets)} of {len(ARKIT_52)}{rest}"

    @property
    def keys(self) -> Mapping[str, tuple[str, ...]]:
        """mesh -> the keys that `apply` gives curves for, in the order of their channels."""
        found: dict[str, list[str]] = {}
        for rows in self.targets.values():
            for target in rows:
                keys = found.setdefault(target.mesh, [])
                if target.key not in keys:
                    keys.append(target.key)
        return {mesh: tuple(keys) for mesh, keys in found.items()}


def match(
    names: Sequence[str] | Mapping[str, Sequence[str]],
    *,
    family: str | None = None,
    overrides: Overrides | None = None,
    stand_ins: bool = True,
) -> Matching:
    """Match the shape keys of one mesh (a list) or of several (mesh -> list) to the channels.

    family: id of the naming family to take (see `naming_families.families`) instead of the one
        that explains most names. overrides: the user's own choices, put on top.
    stand_ins: whether visemes and other shapes may stand in for what a head lacks.
    Raises InputError, with the names seen, when nothing matches.
    """
    meshes = _checked_names(names)
    overrides = overrides or Overrides()
    forced = family_by_id(chosen) if (chosen := family or overrides.family) else None
    draft = Draft()
    readings = {mesh: read_names(keys, mesh) for mesh, keys in meshes.items()}
    visemes: dict[str, Family] = {}
    for mesh, keys in meshes.items():
        by_channel, by_viseme, label = best_families(readings[mesh], keys)
        order = reading_order(forced, by_channel)
        add_named(draft, mesh, readings[mesh], order)
        if talks := forced if forced and forced.visemes else by_viseme:
            visemes[mesh] = talks
        if named := forced or label:
            draft.families[mesh] = named.label
    if stand_ins:
        add_visemes(draft, readings, visemes)
        add_substitutes(draft)
    override(draft, meshes, overrides)
    if not draft.targets and not overrides.channels:
        raise InputError(_nothing_matches(meshes), field="target")
    return _finished(draft, meshes, readings)


def match_channels(key_names: Sequence[str]) -> Matching:
    """Match one mesh's keys to channels by ARKit's names alone (`JawOpen`, `eyeBlink_L`).

    Of several keys for one channel the one spelled exactly as ARKit spells it wins, otherwise the
    first. Raises InputError with the mesh's key names when nothing matches.
    """
    meshes = _checked_names(key_names)
    (keys,) = meshes.values()
    rows: dict[str, list[str]] = {}
    for key in keys:
        if channel := canonical_name(key):
            rows.setdefault(channel, []).append(key)
    if not rows:
        raise InputError(_nothing_matches(meshes), field="target")
    targets, duplicates = {}, []
    for channel in ARKIT_52:
        if found := rows.get(channel):
            chosen = channel if channel in found else found[0]
            how: How = "exact" if chosen == channel else "spelling"
            targets[channel] = (Target(chosen, how=how),)
            duplicates += [Duplicate("", k, channel, chosen) for k in found if k != chosen]
    unknown = tuple(key for key in keys if canonical_name(key) is None and not _is_rest(key))
    return Matching(targets, duplicates=tuple(duplicates), unknown={"": unknown} if unknown else {})


def apply(
    matching: Matching, weights: npt.ArrayLike, channels: Sequence[str] = ARKIT_52
) -> dict[str, dict[str, FloatArray]]:
    """Weights (T, len(channels)) -> mesh -> shape key -> its curve, (T,) float32.

    A channel that is absent counts as 0. A key's value is the sum over its channels, clamped to 0
    to 1, or to what its weights allow if an override or a two-way key goes beyond. Linear and
    without memory: rows may come in pieces. Raises InputError on bad shapes and unknown channels.
    """
    table = _checked_table(weights, channels)
    column = {name: table[:, i] for i, name in enumerate(channels)}
    nothing = np.zeros(len(table), np.float32)
    gap = column.get("jawOpen", nothing) - column.get("mouthClose", nothing)
    sums: dict[Key, FloatArray] = {}
    for mesh, keys in matching.keys.items():
        sums |= {(mesh, key): nothing for key in keys}
    for channel, rows in matching.targets.items():
        if channel in column:
            for target in rows:
                at = (target.mesh, target.key)
                sums[at] = sums[at] + np.float32(target.weight) * column[channel]
    curves: dict[str, dict[str, FloatArray]] = {}
    for (mesh, key), values in sums.items():
        low, high = matching.ranges.get((mesh, key), (0.0, 1.0))
        clamped = np.clip(values, np.float32(low), np.float32(high))
        if clamp := matching.clamps.get((mesh, key)):
            clamped = clamp.apply(clamped, gap)
        curves.setdefault(mesh, {})[key] = np.ascontiguousarray(clamped, np.float32)
    return curves


def _finished(
    draft: Draft, meshes: Mapping[str, Sequence[str]], readings: Mapping[str, Reading]
) -> Matching:
    targets = {
        channel: tuple(draft.targets[channel]) for channel in ARKIT_52 if channel in draft.targets
    }
    driven = {(t.mesh, t.key) for rows in targets.values() for t in rows}
    duplicates = _duplicates(targets, readings, driven)
    spare = {(row.mesh, row.key) for row in duplicates}
    unused, unknown = {}, {}
    for mesh, keys in meshes.items():
        known = {key for rows in readings[mesh].keys.values() for key in rows}
        left = [key for key in keys if (mesh, key) not in driven | spare and not _is_rest(key)]
        if rows := tuple(key for key in left if key in known):
            unused[mesh] = rows
        if rows := tuple(key for key in left if key not in known):
            unknown[mesh] = rows
    alive = {key: clamp for key, clamp in draft.clamps.items() if key in driven}
    ranges = {key: limits for key, limits in draft.ranges.items() if key in driven}
    return Matching(
        targets, draft.families, alive, ranges, duplicates, unused, unknown, tuple(draft.problems)
    )


def _duplicates(
    targets: Mapping[str, Sequence[Target]], readings: Mapping[str, Reading], driven: set[Key]
) -> tuple[Duplicate, ...]:
    """Keys that say what a driven key says: the same meaning, or another spelling of ARKit's."""
    rows = []
    for channel, found in targets.items():
        chosen = {t.mesh: t.key for t in reversed(found) if t.how in ("exact", "spelling")}
        for mesh, taken_by in chosen.items():
            for meaning, keys in readings[mesh].keys.items():
                if canonical_name(meaning) == channel:
                    rows += [
                        Duplicate(mesh, key, channel, taken_by)
                        for key in keys
                        if (mesh, key) not in driven
                    ]
    return tuple(rows)


def _is_rest(key: str) -> bool:
    return key.casefold().split(".")[0] in _REST


def _checked_names(
    names: Sequence[str] | Mapping[str, Sequence[str]],
) -> dict[str, tuple[str, ...]]:
    meshes = names if isinstance(names, Mapping) else {"": names}
    checked: dict[str, tuple[str, ...]] = {}
    for mesh, keys in meshes.items():
        rows: Any = keys
        if isinstance(rows, str) or not isinstance(mesh, str):
            raise InputError("give the shape keys as a list of names, or as mesh -> list of names")
        try:
            checked[mesh] = tuple(dict.fromkeys(rows))
        except TypeError as error:
            raise InputError("the shape keys must be given as a list of names") from error
        if not all(isinstance(key, str) for key in checked[mesh]):
            raise InputError(f"a shape key of {mesh or 'the mesh'} has no name but something else")
    return checked


def _checked_table(weights: npt.ArrayLike, channels: Sequence[str]) -> FloatArray:
    try:
        table: FloatArray = np.asarray(weights, np.float32)
    except (ValueError, TypeError) as error:
        raise InputError("the weights are not a table of numbers") from error
    if table.ndim != 2 or table.shape[1] != len(channels):
        raise InputError(f"weights of shape {table.shape} do not fit {len(channels)} channels")
    if unknown := [name for name in channels if name not in CHANNEL_INDEX]:
        raise InputError(f"there is no channel {unknown[0]!r}; the names are those of ARKit's 52")
    if not np.isfinite(table).all():
        raise InputError("weights must be finite")
    return table


def _nothing_matches(meshes: Mapping[str, Sequence[str]]) -> str:
    names = [name for keys in meshes.values() for name in keys]
    if not names:
        return "the mesh has no shape keys; give it ARKit blendshapes such as jawOpen"
    shown = ", ".join(repr(name[:63]) for name in names[:_NAMES_SHOWN])
    rest = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return (
        f"no shape key has the name of an ARKit blendshape (such as jawOpen) or of another naming "
        f"that we know; the mesh has {shown}{rest}; rename them, or choose a key for each channel"
    )
