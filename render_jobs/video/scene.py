# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage and face weights in, a video or a still out; the stage is as it was afterwards.

`stage.load_stage` runs once per template, `render_face` once per clip. Here it is decided who
draws: the fast engine where it shows what Workbench would show, else one of Blender's engines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exomni_core.arrays import FloatArray, Pixels
from exomni_core.errors import EnvironmentProblem, InputError
from render_jobs.fast.engine import FastUnavailableError
from render_jobs.fast.render import draw_frames, fast_reason_against, too_coarse
from render_jobs.settings import RenderSettings
from render_jobs.stage.animation import OnFrame, apply_settings, render_animation, render_still
from render_jobs.stage.stage import Stage
from render_jobs.video.encode import BUFFERS, Encoder, Film, VideoPipe, pipe_command
from render_jobs.video.ffmpeg_command import find_ffmpeg

__all__ = ["Rendering", "apply_settings", "choose_engine", "render_face", "render_pose"]

_UNAVAILABLE = "fast unavailable"  # key of Stage.prepared: why, once that is known


@dataclass(frozen=True)
class Rendering:
    """How a video was drawn. engine: who drew it. notes: for the user.

    finished: the speech is in it; if not, it is a silent mp4 that waits for `mux.mux`.
    """

    engine: str
    notes: tuple[str, ...] = ()
    finished: bool = False


def render_face(
    stage: Stage,
    weights: FloatArray,
    settings: RenderSettings,
    video: Path,
    on_frame: OnFrame,
    encoder: Encoder | None = None,
    motion: FloatArray | None = None,
) -> Rendering:
    """Render `weights` (n, 52), one row per frame, to the mp4 `video`.

    on_frame: called after each frame with how many are done. encoder: for the fast engine, which
    puts the speech in at once; without one its video is silent. motion: (n, 3) how the head turns
    (`head_motion`), for the fast engine.
    Raises WorkerError if Blender stops early, InputError if `video` can't be written or the engine
    can't draw this, EnvironmentProblem if the disk fills up.
    """
    settings = _heed_template(stage, settings)
    apply_settings(stage, settings)
    engine, notes = choose_engine(stage, settings)
    _check_writable(Path(encoder.output) if encoder and encoder.output else video)
    if engine == "fast":
        try:
            return _film_fast(stage, weights, settings, video, on_frame, encoder, motion)
        except FastUnavailableError as error:
            engine, notes = _without_fast(stage, settings, str(error))
    render_animation(stage, weights, video, on_frame)
    return Rendering(engine, notes)


def render_pose(stage: Stage, weights: FloatArray, settings: RenderSettings) -> Pixels:
    """One still of the face with `weights` (52,): (H, W, 3) uint8, sRGB, first row on top.

    With alpha it is (H, W, 4), colours not multiplied by alpha.
    """
    settings = _heed_template(stage, settings)
    apply_settings(stage, settings)
    engine, _ = choose_engine(stage, settings)
    if engine == "fast":
        try:
            return _pose_fast(stage, weights, settings)
        except FastUnavailableError as error:
            _without_fast(stage, settings, str(error))
    return render_still(stage, weights)


def _heed_template(stage: Stage, settings: RenderSettings) -> RenderSettings:
    """Where the user leaves the engine open, the one that the template says suits it."""
    suits = stage.template.engine
    # `fast` is what auto tries first anyway, and there it may fall back.
    if settings.engine != "auto" or suits in ("auto", "fast"):
        return settings
    return replace(settings, engine=suits)


def choose_engine(stage: Stage, settings: RenderSettings) -> tuple[str, tuple[str, ...]]:
    """The engine that will draw, and what the user should know about that.

    Raises InputError if the fast engine was asked for by name and can't draw this stage.
    """
    notes: tuple[str, ...] = ()
    if settings.head_motion:
        notes = ("the head stays still, because only the fast engine moves it",)
    if settings.engine not in ("auto", "fast"):
        _refuse_alpha(settings, f"{settings.engine} can't leave the background out")
        return settings.engine, notes
    reason = stage.prepared.get(_UNAVAILABLE) or fast_reason_against(stage)
    if reason is None and settings.engine == "auto" and not settings.alpha:
        reason = too_coarse(stage)
    if reason is None:
        return "fast", ()
    if settings.engine == "fast":
        raise InputError(
            f"the fast engine can't draw this: {reason}; use --render-engine workbench",
            field="render-engine",
        )
    _refuse_alpha(settings, reason)
    return "workbench", (f"drawn by Workbench, because {reason}", *notes)


def _refuse_alpha(settings: RenderSettings, reason: str) -> None:
    if settings.alpha:
        raise InputError(f"a transparent picture needs the fast engine: {reason}", field="alpha")


def _without_fast(
    stage: Stage, settings: RenderSettings, reason: str
) -> tuple[str, tuple[str, ...]]:
    """`choose_engine` once more, now that it is known that the fast engine doesn't run here."""
    if settings.engine == "fast":
        raise EnvironmentProblem(
            f"the fast engine doesn't run here: {reason}; use --render-engine workbench"
        )
    stage.prepared[_UNAVAILABLE] = f"the fast engine doesn't run here: {reason}"
    return choose_engine(stage, settings)


def _film_fast(
    stage: Stage,
    weights: FloatArray,
    settings: RenderSettings,
    video: Path,
    on_frame: OnFrame,
    encoder: Encoder | None,
    motion: FloatArray | None,
) -> Rendering:
    encoder = encoder or Encoder(find_ffmpeg())
    video = Path(encoder.output or video)
    size = settings.width, settings.height
    film = Film(*size, settings.frame_rate, len(weights), settings.alpha)
    done = 0
    with VideoPipe(pipe_command(encoder, film, video), f"writing {video.name}") as pipe:

        def take(buffer: Any) -> Any | None:
            nonlocal done
            free = pipe.take(buffer)
            done += 1
            on_frame(done)
            return free

        draw_frames(stage, weights, settings, BUFFERS, take, motion)
    return Rendering("fast", finished=bool(encoder.speech))


def _pose_fast(stage: Stage, weights: FloatArray, settings: RenderSettings) -> Pixels:
    pictures: list[Pixels] = []

    def keep(buffer: Any) -> Any:
        flat = np.frombuffer(buffer, np.uint8)
        shown = flat.reshape(settings.height, settings.width, 4)
        pictures.append(shown[..., : 4 if settings.alpha else 3].copy())
        return buffer

    draw_frames(stage, np.asarray(weights, np.float32)[None], settings, 1, keep)
    return pictures[0]


def _check_writable(video: Path) -> None:
    try:
        video.parent.mkdir(parents=True, exist_ok=True)
        video.write_bytes(b"")  # neither Blender nor ffmpeg would name the reason
    except OSError as error:
        raise InputError(
            f"{video} can't be written ({error.strerror or error}); choose another place"
        ) from error
