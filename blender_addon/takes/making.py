# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip in, whole or in pieces, a new take on the face out; on failure nothing of it is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from exomni_core.clip_notes import notes_in

from .. import epoch, stored
from . import clips, records, sequencer, showing, writing


def apply_clip(
    item: Any, clip: clips.StoredClip, start_frame: int, scene: Any, storage: str
) -> tuple[Any, str]:
    """A whole clip as a new take that is shown; on failure nothing of it is left.

    storage: `packed` or `beside` (the .blend). Returns the take and what the user should know of
    it, else ''.
    """
    showing.check_ready(item)
    take = records.new_take(item, start_frame, str(clip.facts.get("text") or ""))
    take_id = take.id
    try:
        writing.write(item, take, clip.weights, clip.face.fps, scene)
        note = _finish(item, take, clip, storage, scene)
    except BaseException:
        showing.delete(item, records.find_take(item, take_id), scene)
        raise
    return take, note


def _finish(item: Any, take: Any, clip: clips.StoredClip, storage: str, scene: Any) -> str:
    """Store the clip of a take whose keys are written, show it and place its sound.

    Returns what the user should know of it: the clip's notes, and where its sound can't be placed;
    else ''.
    """
    facts = clip.facts
    records.describe(take, str(facts.get("text") or take.text))
    take.engine, take.route = str(facts.get("engine", "")), str(facts.get("route", ""))
    take.seed = str(facts.get("seed", ""))
    take.duration_s = clip.face.duration_s
    folder = clips.store_folder(storage)
    sound_file = clips.keep(take, clip, folder)
    showing.show(item, take, scene)
    provenance = facts.get("provenance")
    notes = notes_in(provenance) if isinstance(provenance, dict) else []
    if scene.exomni.add_strip:
        notes.append(sequencer.add(scene, take, sound_file, pack=folder is None))
    return "; ".join(note for note in notes if note)


class ArrivingTake:
    """A take whose clip is still being made; every step leaves the file in a usable state.

    The take is looked up by name and id each time, because undo may replace every datablock.
    note: what the user should know of it, such as words that were not spoken, else ''.
    """

    def __init__(self, item: Any, scene: Any, *, start_frame: int, text: str, storage: str) -> None:
        self.note = ""
        self._item_name, self._scene_name = item.name, scene.name
        self._start_frame, self._text, self._storage = start_frame, text, storage
        self._take_id = records.new_id()
        self._pieces: list[npt.NDArray[np.float32]] = []
        self._fps = 0.0
        self._steps: Iterator[None] | None = None
        self._epoch = epoch.current()
        self._written_rows = 0
        self._clip: clips.StoredClip | None = None

    def add_piece(self, weights: npt.NDArray[np.float32], fps: float) -> None:
        """Note the next piece of the clip: weights (T, 52) at `fps`."""
        self._pieces.append(weights)
        self._fps = fps

    def complete(self, clip: clips.StoredClip) -> None:
        """Note the whole clip, which replaces the pieces."""
        self._clip, self._steps = clip, None

    def work(self, budget_s: float) -> bool:
        """Write keys for about `budget_s` seconds; True once the whole take is there."""
        if self._epoch != epoch.current():  # undo or redo: what is half written is gone
            self._steps, self._written_rows, self._epoch = None, 0, epoch.current()
        end = time.perf_counter() + budget_s
        while time.perf_counter() < end:
            if self._steps is None:
                if self._clip is None and self._rows() == self._written_rows:
                    return False
                self._steps = self._write()
            if next(self._steps, self) is self:
                self._steps = None
                if self._clip is not None:
                    return True
        return False

    def discard(self) -> None:
        """Remove the take as if it had never been begun."""
        item, scene = self._item(), self._scene()
        take = records.find_take(item, self._take_id) if item is not None else None
        if take is not None:
            before = item.exomni.shown_before
            showing.delete(item, take, scene)
            earlier = records.find_take(item, before)
            if earlier is not None:
                showing.show(item, earlier, scene)
        for action in list(bpy.data.actions):  # of a character that was deleted meanwhile
            if stored.mark_of(action) == self._take_id:
                bpy.data.actions.remove(action)

    def _rows(self) -> int:
        return sum(len(piece) for piece in self._pieces)

    def _item(self) -> Any:
        return bpy.data.objects.get(self._item_name)

    def _scene(self) -> Any:
        return bpy.data.scenes.get(self._scene_name) or bpy.context.scene

    def _write(self) -> Iterator[None]:
        """Write what is there so far, at the end the whole clip with its sound."""
        item, clip = writing.living_character(self._item_name), self._clip
        take = records.find_take(item, self._take_id)
        if take is None:
            take = records.new_take(item, self._start_frame, self._text, self._take_id)
        rows = self._rows()
        weights, fps = (
            (np.concatenate(self._pieces), self._fps)
            if clip is None
            else (clip.weights, clip.face.fps)
        )
        yield from writing.write_steps(item, take, weights, fps, self._scene())
        self._written_rows = rows
        item = self._item()  # time has passed
        take = records.find_take(item, self._take_id)
        if clip is None:
            showing.show(item, take, self._scene())
        else:
            self.note = _finish(item, take, clip, self._storage, self._scene())
