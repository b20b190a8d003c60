# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in, the items that can be compared out, and each of the others with the reason.

Only technical reasons count: a side is missing or failed, the length, another speech. Nobody's
taste chooses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from exomni_core.arrays import FloatArray
from exomni_core.audio import Audio
from exomni_core.errors import ExOmniError, InputError, WorkerError
from exomni_core.retime import FrameRate, parse_frame_rate
from render_jobs.batch.render_clips import WantedVideo, render_clips
from render_jobs.settings import RenderSettings
from render_jobs.study.making.design import ItemChoice
from render_jobs.study.making.runs import Run, RunItem, shared_language
from render_jobs.study.making.sound import levelled, same_speech, sound_of
from render_jobs.study.plan import AudioMode, Dropped
from render_jobs.video.mux import VideoInfo, probe

MIN_S: Final = 3.0
MAX_S: Final = 20.0
FEW_FRAMES_S: Final = 0.12  # every tool rounds the number of frames in its own way
MAX_SIDE_PX: Final = 2048


@dataclass(frozen=True, eq=False)
class SideSource:
    """One system's video of one item, and its speech where this study plays it.

    sound: (S,) float32 at 48 kHz, levelled; empty for a side whose own sound is not heard.
    """

    video: Path
    info: VideoInfo
    rate: FrameRate
    sound: FloatArray | None = None


@dataclass(frozen=True)
class EligibilityRules:
    """What makes an item eligible. languages: empty for all."""

    audio: AudioMode = "shared"
    languages: tuple[str, ...] = ()
    min_s: float = MIN_S
    max_s: float = MAX_S


@dataclass(frozen=True)
class Renderer:
    """How clips without a video get one. folder: for the videos and unfinished files."""

    settings: RenderSettings
    folder: Path
    blender: Path | None = None
    workers: int = 0
    on_frames: Callable[[int], None] | None = None


@dataclass
class Intake:
    """What is known so far of a study's inputs; `runs[0]` is the target."""

    runs: Sequence[Run]
    rules: EligibilityRules
    candidates: list[ItemChoice] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    sources: dict[tuple[str, str], SideSource] = field(default_factory=dict)

    def drop(self, item_id: str, reason: str) -> None:
        """Take an item out."""
        self.candidates = [item for item in self.candidates if item.item_id != item_id]
        self.dropped.append(Dropped(item_id, reason))


def first_look(runs: Sequence[Run], rules: EligibilityRules) -> Intake:
    """Every item of every run, judged by what can be seen without opening each side's pictures."""
    intake = Intake(runs, rules)
    everything = sorted({item_id for run in runs for item_id in run.items})
    with ThreadPoolExecutor(_threads()) as threads:
        for item_id, language, reason in threads.map(
            lambda item_id: (item_id, *_judge(item_id, runs, rules)), everything
        ):
            if reason:
                intake.dropped.append(Dropped(item_id, reason))
            else:
                intake.candidates.append(ItemChoice(item_id, language))
    return intake


def make_ready(intake: Intake, wanted: Iterable[ItemChoice], renderer: Renderer) -> bool:
    """Render, open and check both sides of each wanted item; drop what fails; True if all is well.

    What is ready once is not looked at again.
    """
    items = {item.item_id for item in wanted}
    need = [(run, run.items[item_id]) for run in intake.runs for item_id in sorted(items)]
    need = [(run, item) for run, item in need if (run.name, item.item_id) not in intake.sources]
    videos = _videos(need, renderer)
    with ThreadPoolExecutor(_threads()) as threads:
        checks = threads.map(
            lambda item_id: (item_id, _open(item_id, intake, videos)),
            sorted({item.item_id for _, item in need}),
        )
        fine = True
        for item_id, found in checks:
            if isinstance(found, str):
                if item_id not in {one.item for one in intake.dropped}:
                    intake.drop(item_id, found)
                fine = False
            else:
                intake.sources |= found
    return fine


def _threads() -> int:
    return min(4, os.cpu_count() or 1)


def _judge(item_id: str, runs: Sequence[Run], rules: EligibilityRules) -> tuple[str, str]:
    """(language, reason to drop it or empty)."""
    for run in runs:
        item = run.items.get(item_id)
        if item is None:
            return "", f"{run.name} has no such prompt"
        if item.error:
            return "", f"{run.name}: {item.error}"
    language = shared_language(item_id, runs)
    if language == "und" and len(rules.languages) == 1:
        language = rules.languages[0]
    if rules.languages and language not in rules.languages:
        return "", f"its language is {language}, not one of {', '.join(rules.languages)}"
    try:
        lengths = [_duration_s(run.items[item_id]) for run in runs]
    except (InputError, WorkerError) as error:
        return "", str(error)
    return language, _judge_lengths(lengths, runs, rules)


def _judge_lengths(lengths: Sequence[float], runs: Sequence[Run], rules: EligibilityRules) -> str:
    heard = lengths[:1] if rules.audio == "shared" else lengths
    for run, length_s in zip(runs, heard, strict=False):
        if not rules.min_s <= length_s <= rules.max_s:
            return f"{run.name} lasts {length_s:.2f} s, not {rules.min_s:g} to {rules.max_s:g} s"
    if rules.audio == "shared":
        for run, length_s in zip(runs[1:], lengths[1:], strict=True):
            if abs(length_s - lengths[0]) > FEW_FRAMES_S:
                return (
                    f"{run.name} lasts {length_s:.2f} s but {runs[0].name} {lengths[0]:.2f} s, so "
                    "it was made for another speech"
                )
    return ""


def _duration_s(item: RunItem) -> float:
    if item.duration_s:
        return item.duration_s
    assert item.video is not None
    return _seconds(probe(item.video))


def _seconds(info: VideoInfo) -> float:
    return info.video_end_s - min(info.video_start_s, info.audio_start_s or 0.0)


def _videos(
    need: Sequence[tuple[Run, RunItem]], renderer: Renderer
) -> dict[tuple[str, str], Path | str]:
    """(run, item) -> its video, rendered if there was none, or why there is none."""
    videos: dict[tuple[str, str], Path | str] = {}
    jobs: dict[tuple[str, str], WantedVideo] = {}
    for run, item in need:
        key = (run.name, item.item_id)
        if item.video is not None:
            videos[key] = item.video
        elif item.clip is not None:
            target = renderer.folder / run.name / f"{item.item_id}.mp4"
            jobs[key] = WantedVideo("/".join(key), item.clip, target)
    if jobs:
        made = render_clips(
            list(jobs.values()),
            renderer.settings,
            renderer.folder / ".work",
            blender=renderer.blender,
            workers=renderer.workers,
            on_frames=renderer.on_frames,
        )
        for key, job in jobs.items():
            error = made[job.name].error
            videos[key] = f"{key[0]}: {error}" if error else job.video
    return videos


def _open(
    item_id: str, intake: Intake, videos: dict[tuple[str, str], Path | str]
) -> dict[tuple[str, str], SideSource] | str:
    """The sources of one item, or the reason to drop it."""
    found: dict[tuple[str, str], SideSource] = {}
    speech: Audio | None = None
    for run in intake.runs:
        key, item = (run.name, item_id), run.items[item_id]
        if key in intake.sources:
            continue
        video = videos[key]
        if isinstance(video, str):
            return video
        try:
            heard = _speech(item, video)
            if intake.rules.audio == "own" or run is intake.runs[0]:
                if heard is None:
                    return f"{run.name}: its video has no sound"
                speech = speech or heard
                found[key] = _source(video, levelled(heard))
                continue
            if heard is not None and speech is not None and not same_speech(speech, heard):
                return f"{run.name} speaks another recording than {intake.runs[0].name}"
            found[key] = _source(video, None)
        except ExOmniError as error:
            if not isinstance(error, (InputError, WorkerError)):
                raise
            return f"{run.name}: {error}"
    return found


def _speech(item: RunItem, video: Path) -> Audio | None:
    """What is heard in an item, or None of a silent video."""
    if item.clip is None and probe(video).audio_end_s is None:
        return None
    return sound_of(RunItem(item.item_id, item.clip, video))


def _source(video: Path, sound: FloatArray | None) -> SideSource:
    info = probe(video)
    length_s = info.video_end_s - info.video_start_s
    if length_s <= 0.0 or max(info.width, info.height) > MAX_SIDE_PX:
        raise InputError(
            f"{video.name} is {info.width}x{info.height} and {length_s:.2f} s long; "
            f"up to {MAX_SIDE_PX} pixels can be shown"
        )
    return SideSource(video, info, parse_frame_rate(round(info.frames / length_s, 3)), sound)
