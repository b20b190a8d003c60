# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons and scripts in, a take adjusted or moved in time out; no clip is made again for it."""

from __future__ import annotations

from typing import Any, Final

from bpy.props import IntProperty

from ..declare import Operator
from ..properties import shaping_fields
from ..takes import adjust, sequencer, writing
from ..takes.records import SHAPING
from .base import Button, OnTake, busy_reason, button


@button("adjust", "Adjust take", **shaping_fields())
class AdjustTake(OnTake, Operator):
    """Write a take's keys again with other intensity, smoothing or key density."""

    def work_on(self, item: Any, context: Any) -> None:
        """Set what is given, write once; what is not given stays."""
        take = self.chosen(item)
        given = {name: getattr(self, name) for name in SHAPING if self.given(name)}
        adjust.set_shaping(take, **given)
        writing.rewrite(item, take, context.scene)


@button("adjust_reset", "Reset")
class AdjustReset(OnTake, Operator):
    """The take as it was made."""

    def work_on(self, item: Any, context: Any) -> None:
        """Reset and write."""
        take = self.chosen(item)
        adjust.reset(take)
        writing.rewrite(item, take, context.scene)


@button(
    "take_move",
    "Move take",
    start_frame=IntProperty(name="Start frame", description="Where the take begins", default=1),
)
class TakeMove(OnTake, Operator):
    """Move a take's keys and sound strip to another start frame."""

    def work_on(self, item: Any, context: Any) -> None:
        """Move both."""
        adjust.move(self.chosen(item), self.start_frame, context.scene)


@button("follow_strips", "Move keys to the strips")
class FollowStrips(Button, Operator):
    """After strips were moved: move the keys of their takes along."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """No take has a strip, or a clip is being made."""
        if busy_reason():
            return busy_reason()
        return "" if sequencer.moved_takes(context.scene) else "No take has a strip in this scene"

    def work(self, context: Any) -> None:
        """Move them."""
        adjust.follow_strips(context.scene)


CLASSES: Final = (AdjustTake, AdjustReset, TakeMove, FollowStrips)
