# SPDX-License-Identifier: GPL-3.0-or-later
"""The step of a systems run as plain data in, faces, clips or videos out.

Its events are those of a batch's steps; see `render_jobs.batch.steps`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from exomni_core.arkit import ARKIT_52
from exomni_core.clip import Clip, load_face, save_clip
from exomni_core.errors import (
    Cancelled,
    EnvironmentProblem,
    ExOmniError,
    InputError,
    WorkerError,
    error_to_json,
)
from exomni_core.formats.convert import clip_from_face
from exomni_core.metrics.resample import FEW_FRAMES
from exomni_core.storage.files import sha256_file, write_text
from render_jobs.batch import steps as batch_steps
from render_jobs.batch.folder import BatchFolder
from render_jobs.systems.adapter import DRIVER_LOG, PROVENANCE
from render_jobs.systems.config import AdapterSystem, System, system_from_json, system_to_json
from render_jobs.systems.items import SystemItem, item_from_json
from render_jobs.systems.making import Made, make_by_adapter, make_face
from render_jobs.video.mux import probe
from render_jobs.workers.executor import Action, Crew, LocalExecutor, Step, Workplace
from render_jobs.workers.wire import Send, WireMessage

FACE: Final = "face"
SYSTEM: Final = "system"  # threads that start its programs


def face_step(
    system: System, items: Sequence[SystemItem], keys: Mapping[str, str], folder: BatchFolder
) -> Step:
    """Have the system make the face of each item; keys: of the clips, by id."""
    wanted = [
        {
            "item": item.to_json(),
            "key": keys[item.item_id],
            "clip": str(folder.clip(item.item_id)),
            "video": str(folder.video(item.item_id)),
            "log": str(folder.root / "logs" / f"{item.item_id}.log"),
        }
        for item in items
    ]
    books = {name: str(folder.root / name) for name in (DRIVER_LOG, PROVENANCE)}
    request = {"system": system_to_json(system), "items": wanted, "books": books}
    inputs = {str(item.sound): item.sound_sha256 for item in items if item.sound is not None}
    outputs = [str(one[name]) for one in wanted for name in ("clip", "video", "log")]
    return Step(FACE, request, inputs, (*outputs, *books.values()))


def local_executor(crews: Sequence[Crew], work: Path) -> LocalExecutor:
    """An executor on this machine that knows the steps of a systems run."""
    return LocalExecutor(ACTIONS, batch_steps.COMMANDS, crews, work)


def face_notes(clip: Clip) -> list[str]:
    """What the user should know of foreign coefficients."""
    facts = clip.provenance
    notes = [str(note) for note in facts.get("notes", ())]
    if outside := facts.get("clipped_values"):
        total = len(clip.weights) * len(ARKIT_52)
        notes.append(f"{outside / total:.1%} of the values lie outside 0 to 1; they are clipped")
    if missing := facts.get("missing_channels"):
        notes.append(f"without {', '.join(missing)}")
    for name, word in (("frames_added", "held"), ("frames_cut", "cut")):
        if facts.get(name, 0) > FEW_FRAMES:
            notes.append(f"the last {facts[name]} frames are {word} to fit the sound")
    return notes


# ------------------------------------------------------------------------ what is done for the step


def _faces(request: Mapping[str, Any], place: Workplace, send: Send) -> WireMessage:
    system = system_from_json(request["system"])
    wanted = {one["item"]["prompt"]["id"]: one for one in request["items"]}
    items = [_here(item_from_json(one["item"]), place) for one in wanted.values()]

    def keep(item: SystemItem, made: Made | ExOmniError, seconds: float) -> None:
        one = wanted[item.item_id]
        send({"id": item.item_id, **_kept(system, item, made, seconds, one, place)})

    if isinstance(system, AdapterSystem):
        work = place.work / "adapter"
        facts = make_by_adapter(system, items, work, keep, place.running)
        books = {name: place.here(path) for name, path in request["books"].items()}
        _keep_books(work, facts, books)
        return {}
    for item in items:
        began = time.perf_counter()
        log = place.here(wanted[item.item_id]["log"])
        try:
            made: Made | ExOmniError = make_face(system, item, place.work, log, place.running)
        except (Cancelled, EnvironmentProblem):
            raise
        except ExOmniError as error:
            made = error
        keep(item, made, round(time.perf_counter() - began, 3))
    return {}


def _here(item: SystemItem, place: Workplace) -> SystemItem:
    return item if item.sound is None else replace(item, sound=place.here(str(item.sound)))


def _kept(
    system: System, item: SystemItem, made: Made | ExOmniError, seconds: float,
    one: Mapping[str, Any], place: Workplace,
) -> WireMessage:  # fmt: skip
    """What is told of an item, whose clip or video is in its place then."""
    if isinstance(made, ExOmniError):
        return {"event": "bad", **error_to_json(made)}
    try:
        if made.video is not None:
            told = _keep_video(made.video, place.here(one["video"]))
        else:
            told = _keep_clip(system, item, made, one, place)
    except InputError as error:
        return {"event": "bad", **error_to_json(error)}
    told["facts"]["notes"] = [*made.notes, *told["facts"]["notes"]]
    return {"event": "made", "seconds": seconds, **told}


def _keep_clip(
    system: System, item: SystemItem, made: Made, one: Mapping[str, Any], place: Workplace
) -> WireMessage:
    clip = made.clip
    if clip is None:
        assert made.track is not None
        clip = clip_from_face(made.track, made.name, _sound_file(made.sound, place.work))
    clip = replace(
        clip,
        text=clip.text or item.text,
        language=clip.language or item.language,
        prompt=item.prompt.to_json(),
        engine=system.name[:60],
        provenance={**clip.provenance, "key": one["key"], "system": system.name},
    )
    facts = {
        "duration_s": round(clip.duration_s, 6),
        "frames": len(clip.weights),
        "route": clip.route,
        "notes": face_notes(clip),
    }
    return {"what": "clip", "sha256": save_clip(clip, place.here(one["clip"])), "facts": facts}


def _sound_file(sound: Path | None, work: Path) -> Path | None:
    """A file that holds sound alone; a clip's is taken out as it is."""
    if sound is None or sound.suffix != ".clip":
        return sound
    flac = work / f"{sound.stem}.flac"
    flac.write_bytes(load_face(sound).flac)
    return flac


def _keep_video(made: Path, target: Path) -> WireMessage:
    try:
        info = probe(made)
    except WorkerError as error:
        raise InputError(f"it wrote no usable video ({error})") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, target)
    facts = {"duration_s": round(info.video_end_s, 6), "frames": info.frames, "notes": []}
    return {"what": "video", "sha256": sha256_file(target), "facts": facts}


def _keep_books(work: Path, facts: Mapping[str, Any], books: Mapping[str, Path]) -> None:
    """The driver's log and provenance, beside the manifest."""
    with contextlib.suppress(OSError):
        shutil.copyfile(work / DRIVER_LOG, books[DRIVER_LOG])
    text = json.dumps(dict(facts), ensure_ascii=False, indent=1)
    write_text(books[PROVENANCE], text + "\n")


ACTIONS: Final = {**batch_steps.ACTIONS, FACE: Action(SYSTEM, _faces)}
