# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch run or a responses file in, what each prompt's answer said and where it lies out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core.audio import read_audio, write_wav
from exomni_core.clip import Clip, load_clip
from exomni_core.errors import ExOmniError, InputError
from exomni_core.metrics.speech.responses import Response, read_responses, write_rows
from exomni_core.prompt import check_id
from render_jobs.batch.folder import BatchFolder, Row, read_rows

RESPONSES: Final = "responses.jsonl"


@dataclass(frozen=True)
class Answer:
    """A response with what is needed to hear it. clip: its file, where it comes from a run.

    sound: its sound file, where there is one; `hear` makes one of a clip.
    """

    response: Response
    clip: Path | None = None
    sound: Path | None = None

    def hear(self, folder: Path) -> Path:
        """A sound file to listen to; written into `folder` if it lies in a clip. InputError."""
        if self.sound is not None:
            if not self.sound.is_file():
                raise InputError(f"its sound {self.sound} is missing")
            return self.sound
        if self.clip is None:
            raise InputError("it has no sound")
        clip = load_clip(self.clip)
        path = folder / f"{_file_name(self.response.id)}.wav"
        write_wav(path, clip.audio, clip.sample_rate_hz)
        return path


def read_answers(place: Path, *, system: str = "") -> list[Answer]:
    """The answers at `place`: a batch run, a folder with responses.jsonl, or such a file.

    Raises InputError for a place without any.
    """
    if place.is_dir() and BatchFolder(place).manifest.is_file():
        answers = [_answer(row, place, system) for row in _rows(place)]
        if not answers:
            raise InputError(f"{place} holds no finished run; nothing can be measured")
        return answers
    path = place / RESPONSES if place.is_dir() else place
    if not path.is_file():
        raise InputError(f"{place} is neither a batch run nor a {RESPONSES}")
    return [_told(response, path.parent) for response in read_responses(path, system=system)]


def write_run_responses(
    run: Path,
    target: Path,
    *,
    system: str = "",
    audio: bool = True,
    on_rows: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write the responses file of a batch run; returns counts and the paths written.

    audio: also write every sound as `audio/ID.wav` beside `target`, for listening and for other
    people's tools. Raises InputError unless `run` is a batch run.
    """
    if not BatchFolder(run).manifest.is_file():
        raise InputError(f"{run} is no batch run: it has no manifest.jsonl", field="run")
    folder = target.parent
    rows, failed = [], 0
    for answer in read_answers(run, system=system):
        response = answer.response
        if answer.clip is not None:
            changes: dict[str, Any] = {"face": _relative(answer.clip, folder)}
            if audio:
                changes["audio"] = _relative(answer.hear(folder / "audio"), folder)
            response = Response(**{**vars(response), **changes})
        failed += response.error is not None
        rows.append(response)
        if on_rows:
            on_rows(1)
    write_rows(rows, target)
    counts = {"n": len(rows), "n_answers": len(rows) - failed, "n_failed": failed}
    return {"responses": str(target), "counts": counts}


def _rows(folder: Path) -> list[Row]:
    return sorted(read_rows(BatchFolder(folder).manifest).values(), key=lambda row: row.line)


def _answer(row: Row, folder: Path, system: str) -> Answer:
    """One prompt of a run. A clip that is gone or damaged is an answer with an error."""
    assert row.id is not None
    path = (folder / row.clip).resolve() if row.clip else None
    reason = row.error or "no clip was made"
    if row.status != "failed" and path is not None and path.is_relative_to(folder.resolve()):
        try:
            clip = load_clip(path)
        except (ExOmniError, OSError) as error:
            reason = str(error)
        else:
            return Answer(_response(row, clip, system), clip=path)
    return Answer(Response(row.id, system or row.engine or "", error=reason))


def _response(row: Row, clip: Clip, system: str) -> Response:
    prompt, made = clip.prompt, clip.provenance
    asked = {"seed": clip.seed, "max_new_tokens": prompt.get("max_tokens")}
    asked |= {name: prompt.get(name) for name in ("temperature", "top_p")}
    meta = {"meta": dict(prompt["meta"])} if prompt.get("meta") else {}
    note = str(made.get("note") or "")
    units = made.get("units")
    return Response(
        id=str(row.id),
        system=system or clip.engine,
        text=clip.text,
        sample_rate=clip.sample_rate_hz,
        duration_s=round(clip.duration_s, 6),
        face_fps=clip.fps,
        face_names="arkit_52",
        n_units=units if isinstance(units, int) else None,
        truncated=note.startswith("the reply was cut") if isinstance(units, int) else None,
        timing=dict(row.seconds) or None,
        gen={name: value for name, value in asked.items() if value is not None},
        lang=clip.language,
        extra=meta,
    )


def _told(response: Response, folder: Path) -> Answer:
    sound = folder / response.audio if response.audio else None
    clip = folder / response.face if response.face and response.face.endswith(".clip") else None
    if response.error is None and response.duration_s is None and sound and sound.is_file():
        try:
            seconds = read_audio(sound).duration_s
        except ExOmniError as error:
            return Answer(Response(**{**vars(response), "error": str(error)}))
        response = Response(**{**vars(response), "duration_s": seconds})
    return Answer(response, clip=clip, sound=sound)


def _file_name(name: str) -> str:
    """The id itself where it can be a file's name, else a hash: it must not lead anywhere."""
    try:
        return check_id(name)
    except InputError:
        return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:24]


def _relative(path: Path, folder: Path) -> str:
    """As a responses file names it: by way of its own folder where that is possible."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return str(path.resolve())
