# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons and scripts in, a character out: choose meshes, match and mend, add the built-in head."""

from __future__ import annotations

from typing import Any, Final

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty

from exomni_core.errors import InputError
from exomni_core.matching.families import families

from .. import character
from ..declare import Operator, tr
from ..head import add_head
from .base import Button, OnCharacter, busy_reason, button


def _tell_coverage(operator: Any, item: Any) -> None:
    coverage = character.matching_of(item).coverage_text
    operator.tell(tr("{name}: {coverage} channels matched", name=item.name, coverage=coverage))


@button(
    "use_selected",
    "Use selected",
    character=StringProperty(
        name="Character", description="Object that holds the character; empty is the active one"
    ),
    meshes=StringProperty(
        name="Meshes", description="Names of meshes, separated by commas; empty is the selection"
    ),
)
class UseSelected(Button, Operator):
    """Make a character of the selected meshes: head, teeth, tongue, lashes."""

    def work(self, context: Any) -> None:
        """Match the meshes and remember them."""
        meshes = self._meshes(context)
        item = self._holder(context, meshes)
        character.set_targets(item, meshes)
        context.scene.exomni.character = item
        _tell_coverage(self, item)

    def _meshes(self, context: Any) -> list[Any]:
        if self.meshes:
            names = [name.strip() for name in self.meshes.split(",")]
            found = [bpy.data.objects.get(name) for name in names]
            for name, item in zip(names, found, strict=True):
                if item is None or item.type != "MESH":
                    raise InputError(f"there is no mesh called {name!r}")
            return found
        chosen = [o for o in context.view_layer.objects if o.select_get() and o.type == "MESH"]
        with_keys = [mesh for mesh in chosen if mesh.data.shape_keys]
        if chosen and not with_keys:
            character.check_editable(chosen[0])  # raises: it has no shape keys
        return with_keys

    def _holder(self, context: Any, meshes: list[Any]) -> Any:
        if self.character:
            item = bpy.data.objects.get(self.character)
            if item is None:
                raise InputError(f"there is no object called {self.character!r}")
            return item
        active = context.view_layer.objects.active
        if not meshes:
            raise InputError("select at least one mesh with shape keys")
        return active if active in meshes else meshes[0]


@button(
    "add_head",
    "Add the built-in head",
    template=StringProperty(
        name="Template",
        description="A bundled head, or the path of an .npz head",
        default="head",
        subtype="FILE_PATH",
    ),
    name=StringProperty(name="Name", description="Name of the new object", default="Head"),
)
class AddHead(Button, Operator):
    """Add a head with all 52 shape keys, for those who have no character yet."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """A clip is being made, or objects can't be added now."""
        return "Go to Object Mode first" if context.mode != "OBJECT" else busy_reason()

    def work(self, context: Any) -> None:
        """Build the head, select it, and make it the character."""
        item = add_head(context.scene, self.template, self.name)
        character.set_targets(item, [item])
        for other in context.view_layer.objects:
            other.select_set(other == item)
        context.view_layer.objects.active = item
        context.scene.exomni.character = item
        _tell_coverage(self, item)


@button("match", "Match again")
class Match(OnCharacter, Operator):
    """Match the shape keys again, for example after they were renamed."""

    def work_on(self, item: Any, _context: Any) -> None:
        """Fill the lists again."""
        character.refresh(item)
        character.check_moves(item)
        _tell_coverage(self, item)


@button(
    "mend",
    "Assign shape key",
    mesh=StringProperty(name="Mesh", description="The mesh; empty is the chosen one"),
    channel=StringProperty(name="Channel", description="An ARKit channel such as jawOpen"),
    key=StringProperty(name="Shape key", description="The shape key it moves; empty is none"),
    weight=FloatProperty(name="Weight", description="How strongly", default=1.0, min=-10, max=10),
)
class Mend(OnCharacter, Operator):
    """Choose which shape key a channel moves."""

    def work_on(self, item: Any, _context: Any) -> None:
        """Remember the choice."""
        target = character.find_target(item, self.mesh)
        character.mend(item, target, self.channel, self.key, self.weight)
        _tell_coverage(self, item)


@button("forget_mended", "Forget my changes")
class ForgetMended(OnCharacter, Operator):
    """Discard what you changed by hand, and match by the names of the shape keys again."""

    def work_on(self, item: Any, _context: Any) -> None:
        """Forget what was mended."""
        character.forget_mended(item)
        _tell_coverage(self, item)


def _families(_operator: Any, _context: Any) -> list[tuple[str, str, str]]:
    rows = [(family.id, family.label, "") for family in families()]
    return [("auto", "Automatic", "The convention that explains most names"), *rows]


@button(
    "choose_family",
    "Naming",
    family=EnumProperty(
        name="Names", description="The naming convention of the shape keys", items=_families
    ),
)
class ChooseFamily(OnCharacter, Operator):
    """Choose the naming convention, where the names of the shape keys alone don't tell."""

    def work_on(self, item: Any, _context: Any) -> None:
        """Match as that family."""
        character.choose_family(item, "" if self.family == "auto" else self.family)
        _tell_coverage(self, item)


CLASSES: Final = (UseSelected, AddHead, Match, Mend, ForgetMended, ChooseFamily)
