# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows (who stands where) and their sources in, encoded files under opaque names out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exomni_core.arrays import FloatArray
from exomni_core.storage.files import sha256_file
from render_jobs.study.making.composite import (
    Canvas,
    Side,
    dress_up,
    encode_composite,
    encode_side,
    opaque_name,
)
from render_jobs.study.making.design import Show
from render_jobs.study.making.eligibility import SideSource
from render_jobs.study.making.sound import track, write_m4a
from render_jobs.study.plan import VIDEO_FOLDER, AudioMode, Stimulus, StimulusMode
from render_jobs.video.encode import AUDIO_RATE_HZ

DESYNC_S: Final = 0.4


@dataclass(frozen=True)
class Layout:
    """When each side plays, in frames from the start; parts: (start sample, recording)."""

    left: Side
    right: Side
    frames: int
    parts: tuple[tuple[int, FloatArray], ...]


@dataclass(frozen=True)
class Workshop:
    """Makes the files of a study. folder: unfinished ones go to `made/`, finished to `videos/`."""

    sources: Mapping[tuple[str, str], SideSource]
    target: str
    canvas: Canvas
    key: bytes
    folder: Path
    audio: AudioMode
    stimulus: StimulusMode

    def make(
        self, shows: Sequence[Show], threads: int, on_done: Callable[[], None]
    ) -> dict[str, Stimulus]:
        """Encode every show, several at a time; the key of a show -> what it became.

        Files that an earlier, stopped build has finished are taken as they are: their names hold
        what they are made of. Raises WorkerError.
        """
        (self.folder / "made").mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(threads) as pool:
            try:
                for _ in pool.map(self._write_track, _one_per_track(shows, self.audio)):
                    pass
                made: dict[str, dict[str, Path]] = {}
                for show, files in zip(shows, pool.map(self._encode, shows), strict=True):
                    made[show.key] = files
                    on_done()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        self._finish(shows, made)
        return {show.key: self._stimulus(show) for show in shows}

    def layout(self, show: Show) -> Layout:
        """Both sides at once to one speech, or one after the other, each to its own."""
        lead = self.canvas.lead_frames
        if self.audio == "shared":
            sound = self._sound(self.target, show)
            frames = self._frames(sound)
            left, right = (self._side(show, s, lead, frames) for s in ("left", "right"))
            return Layout(left, right, lead + frames, ((self.canvas.samples(lead), sound),))
        sounds = [self._sound(show.left, show), self._sound(show.right, show)]
        first, second = (self._frames(sound) for sound in sounds)
        later = lead + first + self.canvas.gap_frames
        return Layout(
            self._side(show, "left", lead, first),
            self._side(show, "right", later, second),
            later + second,
            ((self.canvas.samples(lead), sounds[0]), (self.canvas.samples(later), sounds[1])),
        )

    def _sound(self, system: str, show: Show) -> FloatArray:
        sound = self.sources[system, show.item.item_id].sound
        assert sound is not None
        return sound

    def _frames(self, sound: FloatArray) -> int:
        return max(1, math.ceil(len(sound) / AUDIO_RATE_HZ * self.canvas.rate.fps - 1e-6))

    def _side(self, show: Show, side: str, start: int, frames: int) -> Side:
        source = self.sources[show.left if side == "left" else show.right, show.item.item_id]
        info = source.info
        late_s = max(0.0, info.video_start_s - (info.audio_start_s or 0.0))
        late_s += DESYNC_S if show.delay == side else 0.0
        late = round(late_s * self.canvas.rate.fps)
        return Side(source.video, info.width, info.height, start, frames, late)

    def _made(self, label: str, suffix: str) -> Path:
        return self.folder / "made" / opaque_name(self.key, label, suffix)

    def _write_track(self, show: Show) -> None:
        final = self._made(_track_label(show, self.audio), ".m4a")
        if not final.exists():
            layout = self.layout(show)
            write_m4a(track(layout.parts, self.canvas.samples(layout.frames)), final)

    def _encode(self, show: Show) -> dict[str, Path]:
        """The files of a show by role, undressed."""
        layout = self.layout(show)
        audio = self._made(_track_label(show, self.audio), ".m4a")
        if self.stimulus == "composite":
            both = self._made(f"{show.key}/both", ".mp4")
            if not both.exists():
                encode_composite(layout.left, layout.right, audio, layout.frames, self.canvas, both)
            return {"both": both}
        files = {"audio": audio}
        for role, side in (("left", layout.left), ("right", layout.right)):
            files[role] = self._made(f"{show.key}/{role}", ".mp4")
            if not files[role].exists():
                encode_side(side, layout.frames, self.canvas, files[role])
        return files

    def _finish(self, shows: Sequence[Show], made: Mapping[str, Mapping[str, Path]]) -> None:
        """Dress the files of each group alike, pictures by themselves and sound by itself."""
        groups: dict[tuple[str, bool], dict[Path, Path]] = {}
        for show in shows:
            for role, path in made[show.key].items():
                group = groups.setdefault((show.group, role == "audio"), {})
                final = self.folder / VIDEO_FOLDER / self._name(show, role)
                if role == "audio":
                    dress_up({path: final}, self.key, f"{show.group}/audio")
                else:
                    group[path] = final
        for (label, sound), group in groups.items():
            if not sound:
                dress_up(group, self.key, label)

    def _name(self, show: Show, role: str) -> str:
        return opaque_name(
            self.key, f"show/{show.key}/{role}", ".m4a" if role == "audio" else ".mp4"
        )

    def _stimulus(self, show: Show) -> Stimulus:
        frames = self.layout(show).frames
        roles = ("both",) if self.stimulus == "composite" else ("left", "right", "audio")
        files = {role: self._name(show, role) for role in roles}
        return Stimulus(
            files=files,
            duration_ms=round(frames / self.canvas.rate.fps * 1000),
            frames=frames,
            sha256={
                role: sha256_file(self.folder / VIDEO_FOLDER / name) for role, name in files.items()
            },
        )


def _track_label(show: Show, audio: AudioMode) -> str:
    """Shows with the same label are heard with the very same audio track."""
    if audio == "shared":
        return f"track/{show.item.item_id}"
    return f"track/{show.item.item_id}/{show.left}/{show.right}"


def _one_per_track(shows: Sequence[Show], audio: AudioMode) -> list[Show]:
    return list({_track_label(show, audio): show for show in shows}.values())
