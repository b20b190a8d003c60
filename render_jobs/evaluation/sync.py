# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips of any engine, or Blender files, in; what their mouths do with their own sounds out.

No reference face is needed: the sounds come from the clip, from a phone file, or from a forced
alignment of the known text. Whatever can't be measured is told, clip by clip.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core import __version__
from exomni_core.audio import read_audio
from exomni_core.clip import Clip, Phone, load_clip
from exomni_core.errors import ExOmniError, InputError
from exomni_core.metrics.phone_files import find_phones, read_phones
from exomni_core.metrics.series import read_series
from exomni_core.metrics.sources import Item, read_items
from exomni_core.metrics.sync.mouth import Mouth, measure_mouth, shifted
from exomni_core.metrics.sync.offset import correlations
from exomni_core.metrics.sync.smoothness import smoothness
from exomni_core.metrics.sync.table import Measured, row_of, summarise
from exomni_core.metrics.sync.truth import align_text
from exomni_core.storage.files import is_file_name
from exomni_core.storage.json_lines import read_json_lines
from render_jobs.evaluation.take_curves import BlendTake, read_blend

OnRows = Callable[[int], None]
_AUDIO_ENDINGS: Final = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".mp4")
_TOLD_ROUTES: Final = ("tts_events", "transcript", "units")  # whose text is what is said


@dataclass(frozen=True)
class SyncRun:
    """What is measured.

    texts: a JSON-lines file of ids and what is said (`reference`, `transcript` or `text`), for
    clips that don't know. audio: a folder of sounds by id, for files without one. phones: a folder
    of phone files by id. realign: align the text even where the clip tells its sounds. fps: of
    arrays that don't tell. blender: the program that reads .blend files, None is the bpy module.
    """

    clips: Path
    system: str = ""
    texts: Path | None = None
    audio: Path | None = None
    phones: Path | None = None
    realign: bool = False
    language: str = ""
    fps: float | None = None
    seed: int = 0
    workers: int = 0
    blender: Path | None = None


@dataclass(frozen=True, eq=False)
class _Face:
    """One face with what is known of it. samples: (S,) or None. phones: its own, or ().

    exact: whether those are the synthesiser's own.
    """

    weights: npt.NDArray[Any]
    fps: float
    samples: npt.NDArray[np.float32] | None = None
    sample_rate_hz: int = 0
    phones: tuple[Phone, ...] = ()
    text: str = ""
    language: str = ""
    route: str = "file"
    engine: str = "unknown"
    exact: bool = False
    notes: tuple[str, ...] = field(default_factory=tuple)


def evaluate_sync(run: SyncRun, on_rows: OnRows | None = None) -> dict[str, Any]:
    """The whole result as plain data: settings, counts, groups, failures and rows.

    Raises InputError for a place that holds nothing to measure; a bad clip is its own row only.
    """
    items = _items(run)
    texts = read_texts(run.texts) if run.texts else {}
    rows: list[dict[str, Any]] = []
    clips: list[Measured] = []
    for item, outcome in zip(items, measure_items(items, run, texts), strict=True):
        if isinstance(outcome, Measured):
            clips.append(outcome)
            rows.append(row_of(outcome))
        else:
            rows.append({"id": item.id, "status": "failed", "reason": outcome})
        if on_rows:
            on_rows(1)
    settings = {
        "exomni": __version__,
        "clips": str(run.clips),
        "system": run.system,
        "realign": run.realign,
        "seed": run.seed,
        "notes": [*_unused(run, clips), *notes_of(clips)],
    }
    return {
        "settings": settings,
        "counts": {"n": len(rows), "n_scored": len(clips), "n_failed": len(rows) - len(clips)},
        "groups": summarise(clips, seed=run.seed),
        "failures": [{"id": r["id"], "reason": r["reason"]} for r in rows if r["reason"]],
        "rows": rows,
    }


def _items(run: SyncRun) -> Sequence[Item]:
    """The clips; a .blend, or the .blend files of a folder, is told by its name."""
    if run.clips.suffix.lower() == ".blend":
        return [Item(run.clips.stem, run.clips)]
    if run.clips.is_dir() and (found := sorted(run.clips.glob("*.blend"))):
        return [Item(path.stem, path) for path in found]
    return read_items(run.clips, system=run.system)


def measure_items(
    items: Sequence[Item], run: SyncRun, texts: Mapping[str, Mapping[str, Any]]
) -> Iterator[Measured | str]:
    """What was measured of each item, or the sentence why not, in order."""

    def one(item: Item) -> Measured | str:
        try:
            return _measure(item, run, texts.get(item.id, {}))
        except ExOmniError as error:
            return str(error)

    # Threads do: alignment runs in processes of its own, and numpy lets go of the lock.
    with ThreadPoolExecutor(run.workers or min(os.cpu_count() or 1, 8)) as pool:
        yield from pool.map(one, items)


def _measure(item: Item, run: SyncRun, told: Mapping[str, Any]) -> Measured:
    if item.path is None:
        raise InputError(item.error)
    face = _load(item, run, told)
    phones, truth, note = _truth(item, face, run)
    mouth: Mouth | None = None
    chance: Mouth | None = None
    if phones:
        mouth = measure_mouth(face.weights, face.fps, phones)
        chance = measure_mouth(shifted(face.weights), face.fps, phones)
    curve = None
    if face.samples is not None:
        curve = correlations(face.weights, face.fps, face.samples, face.sample_rate_hz)
    return Measured(
        id=item.id,
        language=face.language or "unknown",
        route=face.route,
        engine=face.engine,
        truth=truth,
        duration_s=len(face.weights) / face.fps,
        fps=face.fps,
        smoothness=smoothness(face.weights, face.fps),
        mouth=mouth,
        shifted=chance,
        correlations=curve,
        note="; ".join((*face.notes, note) if note else face.notes),
    )


def _load(item: Item, run: SyncRun, told: Mapping[str, Any]) -> _Face:
    """The face, its sound and its words, from wherever they stand."""
    assert item.path is not None
    if item.path.suffix.lower() == ".clip":
        face = _of_clip(load_clip(item.path))
    elif item.path.suffix.lower() == ".blend":
        face = _of_blend(read_blend(item.path, run.blender))
    else:
        series = read_series(item.path, fps=item.fps or run.fps, names=item.names)
        face = _Face(series.weights, series.fps)
    text = _said(told) or item.text or face.text
    language = str(told.get("language") or told.get("lang") or item.language or face.language)
    engine = item.system or face.engine
    face = replace(face, text=text, language=language or run.language, engine=engine)
    sound = item.audio or _sound_of(item.id, run.audio)
    if face.samples is None and sound is not None:
        audio = read_audio(sound)
        face = replace(face, samples=audio.samples, sample_rate_hz=audio.sample_rate_hz)
    return face


def _of_clip(clip: Clip) -> _Face:
    silent = not clip.audio.any()
    prompt = clip.prompt
    text = str(prompt.get("transcript") or "")
    if not text and clip.route in _TOLD_ROUTES:
        text = clip.text
    return _Face(
        clip.weights,
        clip.fps,
        None if silent else clip.audio,
        clip.sample_rate_hz,
        clip.phones,
        text,
        clip.language,
        clip.route or "unknown",
        clip.engine or "unknown",
        exact=clip.route == "tts_events" and bool(clip.phones),
    )


def _of_blend(take: BlendTake) -> _Face:
    """Shape keys as Blender shows them, with the words and sounds of the clips they came from."""
    notes = (f"missing on the mesh: {', '.join(take.missing)}",) if take.missing else ()
    face = _Face(take.weights, take.fps, route="blender", engine="blender", notes=notes)
    if not take.clips:
        return face
    kept = [_of_clip(clip) for _, clip in take.clips]
    starts = [start for start, _ in take.clips]
    phones = [
        Phone(p.symbol, p.start_s + start, p.end_s + start)
        for start, one in zip(starts, kept, strict=True)
        for p in one.phones
    ]
    samples, rate = _in_one(starts, kept, len(take.weights) / take.fps)
    return replace(
        face,
        samples=samples,
        sample_rate_hz=rate,
        language=kept[0].language,
        text=kept[0].text if len(kept) == 1 else "",
        engine=kept[0].engine,
        phones=tuple(sorted(phones, key=lambda p: p.start_s)),
        exact=all(one.exact for one in kept),
    )


def _in_one(
    starts: Sequence[float], faces: Sequence[_Face], seconds: float
) -> tuple[npt.NDArray[np.float32] | None, int]:
    """The clips' sounds on the take's clock; None if there is none, or rates differ."""
    there = [(s, f) for s, f in zip(starts, faces, strict=True) if f.samples is not None]
    rates = {face.sample_rate_hz for _, face in there}
    if len(rates) != 1:
        return None, 0
    rate = rates.pop()
    mixed = np.zeros(max(1, round(seconds * rate)), np.float32)
    for start, face in there:
        assert face.samples is not None
        first = min(max(0, round(start * rate)), len(mixed))
        piece = face.samples[: len(mixed) - first]
        mixed[first : first + len(piece)] += piece
    return mixed, rate


def _truth(item: Item, face: _Face, run: SyncRun) -> tuple[tuple[Phone, ...], str, str]:
    """The sounds to measure by, where they come from, and why there are none."""
    path = find_phones(run.phones, item.id) if run.phones else None
    if path is not None:
        return read_phones(path), "file", ""
    if face.exact and not run.realign:
        return face.phones, "events", ""
    note = "its text isn't known"
    if face.text and face.samples is not None:
        try:
            found = align_text(face.samples, face.sample_rate_hz, face.text, face.language or None)
            return found, "aligned", ""
        except InputError as error:
            note = str(error)
    elif face.text:
        note = "its sound isn't known"
    return (face.phones, "own", note) if face.phones else ((), "none", note)


def _said(row: Mapping[str, Any]) -> str:
    return str(row.get("reference") or row.get("transcript") or row.get("text") or "")


def _sound_of(name: str, folder: Path | None) -> Path | None:
    if folder is None or not is_file_name(name):
        return None
    paths = (folder / f"{name}{ending}" for ending in _AUDIO_ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def read_texts(path: Path) -> dict[str, Mapping[str, Any]]:
    """Lines of what is said, by id; InputError names file and line."""
    rows: dict[str, Mapping[str, Any]] = {}
    for number, row in read_json_lines(path):
        if "id" not in row:
            raise InputError(f"{path}, line {number} has no id; a line is an id and a text")
        rows[str(row["id"])] = row
    return rows


def _unused(run: SyncRun, clips: Sequence[Measured]) -> list[str]:
    """A folder of phones that names other clips would go unnoticed."""
    without = [clip.id for clip in clips if clip.truth != "file"]
    if run.phones is None or not without:
        return []
    return [
        f"{run.phones} has no sounds for {len(without)} of {len(clips)} clips (such as "
        f"{without[0]}.TextGrid, .ctm or .json); those were measured without it"
    ]


def notes_of(clips: Sequence[Measured]) -> list[str]:
    """What the reader of a table must know of where the sounds come from."""
    own = sum(clip.truth == "own" for clip in clips)
    same = sum(clip.truth == "aligned" and clip.route == "transcript" for clip in clips)
    none = [clip for clip in clips if clip.truth == "none"]
    notes = []
    if own:
        notes.append(
            f"{_clips(own)} measured by the sounds that their own engine found, which flatters "
            "it; --texts says what is said"
        )
    if same:
        notes.append(
            f"{_clips(same)} animated by the alignment that is measured by, which flatters; "
            "--phones gives an independent one"
        )
    if none:
        notes.append(
            f"{_clips(len(none))} measured for smoothness and lag alone, because their sounds are "
            f"not known (such as {none[0].id}: {none[0].note})"
        )
    return notes


def _clips(count: int) -> str:
    return "1 clip was" if count == 1 else f"{count} clips were"
