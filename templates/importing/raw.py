# SPDX-License-Identifier: GPL-3.0-or-later
"""A file's meshes with their shape keys in, one head with the 52 channels out; axes as they were.

Which key makes which channel is for `exomni_core.matching` to say; here its sums become offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from exomni_core.arrays import FloatArray, IntArray
from exomni_core.errors import InputError
from exomni_core.matching.families import best_families, read_names
from exomni_core.matching.match import Matching, Target, match
from exomni_core.matching.stand_ins import channel_substitutes
from templates.mesh import TemplateMesh
from templates.reading import Colour

# A head that is meant to move has far fewer; 52 shapes of so many take 250 MB.
MAX_VERTICES: Final = 400_000
MAX_POLYGONS: Final = 1_000_000
MAX_PARTS: Final = 256


# Which visemes a missing channel of the mouth is made of: the first that is there.
_BY_VISEMES: Final[Mapping[str, tuple[tuple[str, float], ...]]] = {
    "jawOpen": (("open", 1.0), ("aa", 1.0)),
    "mouthClose": (("open", -1.0), ("aa", -1.0)),
    "mouthFunnel": (("O", 1.0),),
    "mouthPucker": (("U", 1.0),),
    "mouthStretchLeft": (("I", 0.5), ("E", 0.5)),
    "mouthStretchRight": (("I", 0.5), ("E", 0.5)),
}


@dataclass(frozen=True, eq=False)
class RawMesh:
    """One mesh of a file, in the file's unit, x to the subject's left, y up, z forward.

    vertices: (V, 3) float32. polygons: (Q, 4) int32, -1 ends a triangle. part: (Q,) int32, an
    index into part_names. uv: (Q, 4, 2) float32 or empty. keys: the names of its shape keys;
    offsets(name): (V, 3) float32 offsets from the vertices.
    """

    name: str
    vertices: FloatArray
    polygons: IntArray
    part: IntArray
    part_names: tuple[str, ...]
    keys: tuple[str, ...] = ()
    offsets: Callable[[str], FloatArray] | None = None
    uv: FloatArray = field(default_factory=lambda: np.empty((0, 4, 2), np.float32))


@dataclass(frozen=True)
class Origin:
    """Where a head came from and how it was read; plain data.

    format: `npz`, `ict`, `gltf`, `fbx` or `blend`. keys: how many shape keys the file had.
    made_of: channel -> the keys that are summed for it, with their weights. stand_ins: channels
    that only other channels' shapes make. shared: pairs of channels that one key makes.
    families: the naming families that were recognised. left_out: names without a meaning here.
    unit_hint: metres per unit as the file says, or None. colours: part -> scene-linear RGB.
    licence, source: as the file says. notes: sentences for the user.
    """

    format: str
    keys: int = 0
    made_of: Mapping[str, tuple[tuple[str, float], ...]] = field(default_factory=dict)
    stand_ins: tuple[str, ...] = ()
    shared: tuple[tuple[str, str], ...] = ()
    families: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unit_hint: float | None = None
    colours: Mapping[str, Colour] = field(default_factory=dict)
    licence: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()

    def recipe(self, channel: str) -> str:
        """What makes a channel, for a person: `JawOpen`, `0.5*a + 0.5*b`, or its own name."""
        parts = self.made_of.get(channel, ((channel, 1.0),))
        return " + ".join(name if w == 1 else f"{w:g}*{name}" for name, w in parts)


@dataclass(frozen=True, eq=False)
class RawHead:
    """A head with its channels in the file's own axes and unit, and where it came from."""

    mesh: TemplateMesh
    origin: Origin


def join(meshes: Sequence[RawMesh], where: str) -> tuple[TemplateMesh, dict[str, Any]]:
    """One mesh out of several, with the 52 shapes, and what `Origin` has to say about the names.

    Raises InputError, naming `where`, when no key has a known name or the mesh is too large.
    """
    count = sum(len(mesh.vertices) for mesh in meshes)
    check_size(count, sum(len(mesh.polygons) for mesh in meshes), where)
    keyed = {mesh.name: mesh.keys for mesh in meshes if mesh.keys}
    try:
        found = match_linear(keyed or {"": ()})
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    part_names = tuple(dict.fromkeys(name for mesh in meshes for name in mesh.part_names))
    if len(part_names) > MAX_PARTS:
        raise InputError(
            f"{where} has {len(part_names)} materials; at most {MAX_PARTS} can be used"
        )
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])[:-1]
    shapes = np.zeros((len(ARKIT_52), count, 3), np.float32)
    for mesh, start in zip(meshes, starts, strict=True):
        _add_shapes(shapes[:, start : start + len(mesh.vertices)], mesh, found)
    joined = TemplateMesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float32),
        polygons=np.concatenate(
            [
                np.where(mesh.polygons < 0, -1, mesh.polygons + start)
                for mesh, start in zip(meshes, starts, strict=True)
            ]
        ).astype(np.int32),
        polygon_part=np.concatenate(
            [np.array([part_names.index(n) for n in m.part_names])[m.part] for m in meshes]
        ).astype(np.uint8),
        part_names=part_names,
        shapes=shapes,
        uv=_joined_uv(meshes),
    )
    return joined, _told(found, sum(map(len, keyed.values())))


def check_size(vertices: int, polygons: int, where: str) -> None:
    """Raise InputError for a mesh that no face needs to be as large as, before memory fills up."""
    for count, most, what in (
        (vertices, MAX_VERTICES, "vertices"),
        (polygons, MAX_POLYGONS, "faces"),
    ):
        if count > most:
            raise InputError(
                f"{where} has {count:,} {what}; a head may have {most:,} at most: decimate it"
            )


def match_linear(keyed: Mapping[str, Sequence[str]]) -> Matching:
    """The matching whose channels are plain sums of keys, with stand-ins where they are plain too.

    A head that speaks by visemes gets the mouth shapes that come nearest to them: what the full
    fall-back does with clamps (docs/matching.md) no sum can do. Raises InputError.
    """
    found = match(keyed)
    if not found.clamps:
        return found
    try:
        named = match(keyed, stand_ins=False).targets
    except InputError:
        named = {}
    targets = {channel: list(rows) for channel, rows in named.items()}
    for channel, target in _viseme_targets(keyed):
        if channel not in named:
            targets.setdefault(channel, []).append(target)
    for channel in ARKIT_52:
        for name, factor in () if channel in targets else channel_substitutes(channel):
            for target in named.get(name, ()):
                stand_in = replace(target, weight=factor * target.weight, how="fallback")
                targets.setdefault(channel, []).append(stand_in)
    ordered = {channel: tuple(targets[channel]) for channel in ARKIT_52 if channel in targets}
    return replace(found, targets=ordered, clamps={}, ranges={})


def _viseme_targets(keyed: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Target]]:
    """What each mesh's visemes can do for ARKit's mouth."""
    for mesh, keys in keyed.items():
        reading = read_names(keys, mesh)
        family = best_families(reading, keys)[1]
        there = {
            viseme: key
            for viseme, rows in (family.visemes if family else {}).items()
            if (key := next((k for (p, *_) in rows if (k := reading.first(p.key))), None))
        }
        for channel, choices in _BY_VISEMES.items():
            best = next(((there[name], w) for name, w in choices if name in there), None)
            if best:
                yield channel, Target(best[0], best[1], mesh, "fallback")


def _add_shapes(shapes: FloatArray, mesh: RawMesh, found: Matching) -> None:
    """Add the mesh's share of each channel to `shapes` (52, its vertices, 3)."""
    if mesh.offsets is None:
        return
    wanted: dict[str, list[tuple[int, float]]] = {}
    for channel, targets in found.targets.items():
        for target in targets:
            if target.mesh == mesh.name:
                wanted.setdefault(target.key, []).append((CHANNEL_INDEX[channel], target.weight))
    for key, uses in wanted.items():
        offsets = mesh.offsets(key)
        if offsets.shape != mesh.vertices.shape:
            raise InputError(f"shape key {key!r} of {mesh.name!r} doesn't fit its mesh")
        for row, weight in uses:
            shapes[row] += np.float32(weight) * offsets


def _joined_uv(meshes: Sequence[RawMesh]) -> FloatArray:
    if not any(len(mesh.uv) for mesh in meshes):
        return np.empty((0, 4, 2), np.float32)
    rows = [m.uv if len(m.uv) else np.zeros((len(m.polygons), 4, 2), np.float32) for m in meshes]
    return np.concatenate(rows).astype(np.float32)


def _told(found: Matching, keys: int) -> dict[str, Any]:
    made_of, stand_ins = {}, []
    users: dict[tuple[str, str], set[str]] = {}
    for channel, targets in found.targets.items():
        # Several meshes take part under one name: said once.
        made_of[channel] = tuple(dict.fromkeys((t.key, t.weight) for t in targets))
        if all(target.how == "fallback" for target in targets):
            stand_ins.append(channel)
        for target in targets:
            if target.how != "fallback":
                users.setdefault((target.mesh, target.key), set()).add(channel)
    shared = sorted(
        {
            (channel, mirror_of(channel))
            for channels in users.values()
            for channel in channels
            if channel.endswith("Left") and mirror_of(channel) in channels
        }
    )
    return {
        "keys": keys,
        "made_of": made_of,
        "stand_ins": tuple(stand_ins),
        "shared": tuple(shared),
        "families": tuple(sorted(set(found.families.values()))),
        "left_out": tuple(name for names in found.unknown.values() for name in names),
    }


def refuse_not_finite(mesh: TemplateMesh, origin: Origin, where: str) -> None:
    """Raise InputError that names the first coordinates that are no numbers."""
    if bad := int((~np.isfinite(mesh.vertices)).any(axis=1).sum()):
        raise InputError(
            f"{where}: {bad} vertices of the neutral face have coordinates that are not finite "
            "numbers (NaN); export the mesh again"
        )
    for channel, shape in zip(ARKIT_52, mesh.shapes, strict=True):
        if bad := int((~np.isfinite(shape)).any(axis=1).sum()):
            name = origin.recipe(channel)
            raise InputError(
                f"{where}: shape {name!r} has coordinates that are not finite numbers (NaN) at "
                f"{bad} vertices; export that shape again"
            )


def as_floats(array: npt.NDArray[Any]) -> FloatArray:
    """As contiguous float32; what is too large becomes infinite, which is refused later."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, np.float32)
