# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's meshes in, a character out: which shape key each channel moves, what is missing.

Matching is by name (`exomni_core.matching`), over all meshes of a character at once. What the user
chooses by hand is kept as JSON on the character's object and wins over it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import bpy

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.errors import InputError
from exomni_core.keyframes import data_path
from exomni_core.matching import overrides as own
from exomni_core.matching.match import Matching, match

from .quiet import quietly

NOTHING: Final = Matching({})
MeshNames = tuple[tuple[str, tuple[str, ...]], ...]  # (mesh, its shape keys), ...


def find_character(context: Any, name: str = "") -> Any:
    """The character's object by name, else the chosen one, else the active object if it is one.

    Raises InputError with what to do.
    """
    if name:
        item = bpy.data.objects.get(name)
        if item is None:
            raise InputError(f"there is no object called {name!r}", field="character")
    else:
        item = context.scene.exomni.character or _active_character(context)
    if item is None or not item.exomni.targets:
        raise InputError("choose a character first: select its meshes and press Use selected")
    return item


def _active_character(context: Any) -> Any:
    item = getattr(context, "object", None)
    return item if item is not None and item.exomni.targets else None


def set_targets(item: Any, meshes: Sequence[Any]) -> None:
    """Make those of `meshes` that a channel can move the character's targets.

    Raises InputError if there is none, with the names of the shape keys that there are.
    """
    if not meshes:
        raise InputError("select at least one mesh with shape keys")
    for mesh in meshes:
        check_editable(mesh)
    found = match(dict(_names(meshes)), overrides=overrides_of(item))
    kept = [mesh for mesh in meshes if mesh.name in found.keys]
    targets = item.exomni.targets
    for index in reversed(range(len(targets))):
        if targets[index].object not in kept:
            targets.remove(index)
    there = {target.object for target in targets}
    for mesh in kept:
        if mesh not in there:
            targets.add().object = mesh
    refresh(item)


def check_editable(mesh: Any) -> None:
    """Raise InputError if Blender lets nobody animate this mesh's shape keys, and say why."""
    keys = mesh.data.shape_keys if mesh.type == "MESH" else None
    if keys is None:
        raise InputError(f"{mesh.name} has no shape keys; give it blendshapes such as jawOpen")
    if keys.library is not None and keys.override_library is None:
        raise InputError(
            f"{mesh.name} is linked from a library; make a library override of it and of its mesh "
            "data first"
        )
    if not keys.use_relative:
        raise InputError(f"{mesh.name} has absolute shape keys; switch on Relative first")


def has_keys(mesh: Any) -> bool:
    """Whether this is a mesh with shape keys; a .blend may name any object, or none."""
    return mesh is not None and mesh.type == "MESH" and mesh.data.shape_keys is not None


def live_targets(item: Any) -> list[Any]:
    """The character's targets whose mesh still exists with shape keys."""
    return [target for target in item.exomni.targets if has_keys(target.object)]


def find_target(item: Any, mesh: str = "") -> Any:
    """The target with the mesh called `mesh`, or the chosen one; InputError if there is none."""
    targets = live_targets(item)
    if mesh:
        found = next((target for target in targets if target.object.name == mesh), None)
    else:
        index = min(max(item.exomni.target_index, 0), len(targets) - 1)
        found = targets[index] if targets else None
    if found is None:
        known = ", ".join(target.object.name for target in targets) or "none"
        raise InputError(f"{item.name} has no mesh {mesh!r}; it has {known}")
    return found


def matching_of(item: Any) -> Matching:
    """What moves what on this character; empty where nothing matches."""
    meshes = [target.object for target in live_targets(item)]
    return _cached_match(_names(meshes), item.exomni.mended)


@lru_cache(maxsize=64)
def _cached_match(names: MeshNames, mended: str) -> Matching:
    try:
        return match(dict(names), overrides=_parsed(mended))
    except InputError:
        return NOTHING


def _names(meshes: Sequence[Any]) -> MeshNames:
    """The shape keys that we may move: not the one that others refer to, not those with drivers."""
    return tuple((mesh.name, tuple(_free_keys(mesh))) for mesh in meshes if mesh.data.shape_keys)


def _free_keys(mesh: Any) -> list[str]:
    keys = mesh.data.shape_keys
    driven: set[str] = set()
    if keys.animation_data is not None:
        driven = {curve.data_path for curve in keys.animation_data.drivers}
    names = [block.name for block in keys.key_blocks if block != keys.reference_key]
    return [name for name in names if data_path(name) not in driven] if driven else names


def check_moves(item: Any) -> None:
    """Raise InputError, with the names there are, if nothing on this character matches."""
    meshes = [target.object for target in live_targets(item)]
    if not matching_of(item).targets:
        match(dict(_names(meshes)))  # raises the sentence with the names
        raise InputError(
            "every channel was left without a shape key by hand; assign shape keys in the list"
        )


def overrides_of(item: Any) -> own.Overrides:
    """What the user chose by hand; InputError if the saved text is damaged."""
    return _parsed(item.exomni.mended)


def _parsed(text: str) -> own.Overrides:
    return own.from_json(text) if text else own.Overrides()


def store_overrides(item: Any, chosen: own.Overrides) -> None:
    """Keep the user's choices, and show them in the list."""
    item.exomni.mended = "" if chosen == own.Overrides() else own.to_json(chosen)
    refresh(item)


def mend(item: Any, target: Any, channel: str, key: str, weight: float = 1.0) -> None:
    """Let `channel` move the shape key `key` of this target ('' for none), and remember it.

    What the channel moves on the character's other meshes stays.
    """
    if channel not in CHANNEL_INDEX:
        raise InputError(f"there is no channel {channel!r}; the names are those of ARKit's 52")
    mesh = target.object
    if key and key not in mesh.data.shape_keys.key_blocks:
        raise InputError(f"{mesh.name} has no shape key {key!r}")
    there = matching_of(item).targets.get(channel, ())
    rows = [own.Choice(t.key, t.weight, t.mesh) for t in there if t.mesh != mesh.name]
    if key:
        rows.append(own.Choice(key, weight, mesh.name))
    before = overrides_of(item)
    store_overrides(item, replace(before, channels={**before.channels, channel: tuple(rows)}))


def forget_mended(item: Any) -> None:
    """Match by names alone again."""
    store_overrides(item, replace(overrides_of(item), channels={}, family=""))


def choose_family(item: Any, family: str) -> None:
    """Read the names as one family's ('' lets the names decide)."""
    store_overrides(item, replace(overrides_of(item), family=family))


def refresh(item: Any) -> None:
    """Fill each target's list of channels anew."""
    matching = matching_of(item)
    with quietly():
        for target in live_targets(item):
            rows = _rows(matching, target.object.name)
            if len(target.channels) != len(ARKIT_52):
                target.channels.clear()
                for channel in ARKIT_52:
                    target.channels.add().name = channel
            for row in target.channels:
                row.key, row.how = rows.get(row.name, ("", ""))


def _rows(matching: Matching, mesh: str) -> Mapping[str, tuple[str, str]]:
    """channel -> its weightiest key on this mesh, and how it was found."""
    rows = {}
    for channel, targets in matching.targets.items():
        here = sorted((t for t in targets if t.mesh == mesh), key=lambda t: -abs(t.weight))
        if here:
            more = f" +{len(here) - 1}" if len(here) > 1 else ""
            rows[channel] = (here[0].key, here[0].how + more)
    return rows


def mend_row(channel: Any) -> None:
    """Remember the shape key that stands in this row of a target's list."""
    item = channel.id_data
    for target in item.exomni.targets:
        for row in target.channels:
            if row == channel:
                mend(item, target, channel.name, channel.key)
                return
