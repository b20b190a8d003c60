# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompts file (and maybe another run's speech) in; what a system gets for each prompt out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core.audio import Audio, read_audio, resample, write_wav
from exomni_core.clip import MAX_DURATION_S, load_clip
from exomni_core.errors import InputError
from exomni_core.prompt import BadLine, Prompt, parse_prompt, read_prompts
from exomni_core.storage.files import sha256_file
from render_jobs.settings import RenderSettings
from render_jobs.study.making.runs import Run, read_run

MODEL_RATE_HZ: Final = 16_000  # what the outside models take; also advised for Audio2Face-3D


@dataclass(frozen=True)
class SystemItem:
    """One prompt as a system gets it. sound: the file that its speech comes from, or None.

    from_run: whether the sound is that of another run. text: the words, as far as known.
    sound_sha256: hex SHA-256 of that file, once it is known.
    """

    line: int
    prompt: Prompt
    sound: Path | None
    from_run: bool
    text: str
    language: str
    sound_sha256: str = ""

    @property
    def item_id(self) -> str:
        """The prompt's id."""
        return self.prompt.id

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a step."""
        sound = None if self.sound is None else str(self.sound)
        return {**vars(self), "prompt": self.prompt.to_json(), "sound": sound}


def item_from_json(data: Mapping[str, Any]) -> SystemItem:
    """The inverse of `SystemItem.to_json`."""
    sound = None if data["sound"] is None else Path(data["sound"])
    return SystemItem(**{**data, "prompt": parse_prompt(data["prompt"], Path()), "sound": sound})


def read_items(
    prompts: Path, audio_from: Path | None = None
) -> tuple[list[SystemItem], list[BadLine]]:
    """Good prompts and bad ones; with `audio_from`, a prompt that run lacks is a bad one.

    audio_from: a run whose speech every system shall move its lips to. Raises InputError.
    """
    run = None if audio_from is None else read_run(audio_from, "audio")
    items: list[SystemItem] = []
    bad: list[BadLine] = []
    for entry in read_prompts(prompts):
        if isinstance(entry, BadLine):
            bad.append(entry)
            continue
        try:
            items.append(_item(entry.line, entry.prompt, run))
        except InputError as error:
            place = f"{prompts.name}:{entry.line}"
            bad.append(BadLine(entry.line, f"{place}: {error}", "audio", entry.prompt.id))
    return items, bad


def write_item_wav(item: SystemItem, folder: Path, rate_hz: int | None) -> Path:
    """Write the item's speech to `folder/<id>.wav` and return the path; InputError."""
    if item.sound is None:
        raise InputError(
            "there is no speech for this prompt; give it audio, or take another run's with "
            "--audio-from",
            field="audio",
        )
    target = folder / f"{item.item_id}.wav"
    audio = read_sound(item)
    rate = rate_hz or audio.sample_rate_hz
    write_wav(target, resample(audio.samples, audio.sample_rate_hz, rate), rate)
    return target


def read_sound(item: SystemItem) -> Audio:
    """The speech of an item that has one; InputError."""
    assert item.sound is not None
    if item.sound.suffix == ".clip":
        clip = load_clip(item.sound)
        return Audio(clip.audio, clip.sample_rate_hz)
    return read_audio(item.sound, max_duration_s=MAX_DURATION_S)


def _item(line: int, prompt: Prompt, run: Run | None) -> SystemItem:
    text = prompt.transcript or prompt.text or ""
    if run is None:
        return SystemItem(line, prompt, prompt.audio, False, text, prompt.language or "")
    made = run.items.get(prompt.id)
    if made is None or made.error:
        why = "has no such prompt" if made is None else f"failed there: {made.error}"
        raise InputError(f"the run in {run.folder} {why}")
    sound = made.clip or made.video
    return SystemItem(line, prompt, sound, True, text, made.language or prompt.language or "")


def sound_hash(item: SystemItem) -> str:
    """Hex SHA-256 of the file that the speech comes from; InputError."""
    if item.sound is None:
        return ""
    try:
        return sha256_file(item.sound)
    except OSError as error:
        raise InputError(f"{item.sound} can't be read ({error.strerror})", field="audio") from error


@dataclass(frozen=True)
class SystemOptions:
    """What the user asked for. audio_from: a run whose speech is used; limit: prompts, 0 = all."""

    prompts: Path
    out: Path
    audio_from: Path | None = None
    settings: RenderSettings = RenderSettings()
    video: bool = True
    blender: Path | None = None
    workers: int = 0
    overwrite: bool = False
    limit: int = 0
