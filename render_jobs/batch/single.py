# SPDX-License-Identifier: GPL-3.0-or-later
"""One prompt or one clip in, one clip or mp4 file out: what `say`, `lipsync` and `render` do."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core.clip import Clip, save_clip
from exomni_core.clip_notes import clip_notes
from exomni_core.engine import Engine, ProgressCallback, load_engine
from exomni_core.errors import ExOmniError, InputError
from exomni_core.prompt import Prompt
from exomni_core.storage.files import check_writable, sha256_file, swept
from render_jobs.settings import RenderSettings
from render_jobs.video.encode import ALPHA_ENDINGS
from render_jobs.video.ffmpeg_command import check_ffmpeg
from render_jobs.video.make import render_video, render_worker, video_key
from render_jobs.workers.pool import Worker
from templates.library import find_template, template_hash

_SCRATCH: Final = "exorender-"


@dataclass(frozen=True)
class VideoOptions:
    """What the user chose for the picture. blender: their own program; sheet: also draw a sheet."""

    settings: RenderSettings = RenderSettings()
    blender: Path | None = None
    sheet: bool = False


def make(
    prompt: Prompt,
    output: Path,
    engine_name: str,
    video: VideoOptions,
    *,
    engine_options: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    on_frames: Callable[[int], None] | None = None,
    on_text: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Make `output` from `prompt` and return the facts for `--json`.

    output: a `.clip`, an `.mp4`, or with alpha a `.mov` or `.webm`.
    engine_options: see the engine. on_text: told the text piece by piece; the engine then streams.
    Raises InputError, EnvironmentProblem, WorkerError.
    """
    check_output(output, video.settings)
    engine = load_engine(engine_name, **(engine_options or {}))
    if output.suffix.lower() == ".clip":
        if video.sheet:
            raise InputError("a contact sheet needs a video; write an .mp4", field="contact-sheet")
        clip = _speak(engine, prompt, progress, on_text)
        with swept(output.parent, of=output.stem):
            return {"clip": str(output), "sha256": save_clip(clip, output), **clip_facts(clip)}
    # Blender starts while the engine speaks.
    with swept(output.parent, of=output.stem), _renderer(video, output) as (worker, work):
        clip = _speak(engine, prompt, progress, on_text)
        path = work / "speech.clip"
        save_clip(clip, path)
        facts = _render(worker, path, output, video, work, on_frames)
    known = clip_facts(clip)
    return {**known, **facts, "notes": [*known["notes"], *facts["notes"]]}


def _speak(
    engine: Engine,
    prompt: Prompt,
    progress: ProgressCallback | None,
    on_text: Callable[[str], None] | None,
) -> Clip:
    """The clip of `prompt`; the engine is done for afterwards, its memory free for Blender."""
    try:
        if on_text is None:
            return engine.generate(prompt, progress=progress)
        for chunk in engine.stream(prompt, progress=progress):
            on_text(chunk.text)
            if chunk.clip is not None:
                return chunk.clip
    finally:
        engine.close()
    raise ExOmniError(f"the {engine.name} engine ended without a clip; please report it")


def render_clip(
    clip: Path,
    output: Path,
    video: VideoOptions,
    *,
    on_frames: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Render the clip file `clip` to the mp4 `output` and return the facts for `--json`."""
    check_output(output, video.settings, clip=False)
    with swept(output.parent, of=output.stem), _renderer(video, output) as (worker, work):
        return _render(worker, clip, output, video, work, on_frames)


def check_output(
    output: Path, settings: RenderSettings = RenderSettings(), *, clip: bool = True
) -> None:
    """InputError unless `output` has an extension that we write with these settings.

    clip: whether a clip may be written, too.
    """
    ending = output.suffix.lower()
    endings = ALPHA_ENDINGS if settings.alpha else (".mp4",)
    if not settings.alpha and ending in ALPHA_ENDINGS:
        raise InputError(f"{output} would be transparent; add --alpha, or write an .mp4")
    if ending not in endings and not (clip and ending == ".clip"):
        wanted = " or ".join([".clip", *endings] if clip else endings)
        what = ", because an .mp4 can't be transparent" if ending == ".mp4" else ""
        raise InputError(f"{output} must end in {wanted}{what}", field="output")
    check_writable(output)


def clip_facts(clip: Clip) -> dict[str, Any]:
    """The facts of a clip that a person or a script asks for first."""
    return {
        "text": clip.text,
        "duration_s": round(clip.duration_s, 3),
        "frames": len(clip.weights),
        "fps": clip.fps,
        "sample_rate_hz": clip.sample_rate_hz,
        "language": clip.language,
        "engine": clip.engine,
        "route": clip.route,
        "confidence": round(clip.confidence, 3),
        "seed": clip.seed,
        "notes": clip_notes(clip),
    }


@contextlib.contextmanager
def _renderer(video: VideoOptions, output: Path) -> Iterator[tuple[Worker, Path]]:
    """A starting render worker and a folder for unfinished files, both gone afterwards."""
    check_ffmpeg(output.suffix.lower(), *([".png"] if video.sheet else []))
    find_template(video.settings.template)
    _sweep_scratch()
    with tempfile.TemporaryDirectory(prefix=f"{_SCRATCH}{os.getpid()}-") as work:
        worker = Worker(render_worker(Path(work), video.blender))
        try:
            yield worker, Path(work)
        finally:
            worker.stop(now=True)


def _sweep_scratch() -> None:
    """Remove the working folders of runs that were killed (their number says which)."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*-*"):
        owner = folder.name[len(_SCRATCH) :].partition("-")[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists() and Path("/proc/1").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _render(
    worker: Worker,
    clip: Path,
    output: Path,
    video: VideoOptions,
    work: Path,
    on_frames: Callable[[int], None] | None,
) -> dict[str, Any]:
    template_sha256 = template_hash(find_template(video.settings.template), video.settings.look)
    key = video_key(sha256_file(clip), template_sha256, video.settings)
    worker.wait_ready()
    sheet = output.with_suffix(".png") if video.sheet else None
    result = render_video(
        worker, clip.resolve(), output, video.settings, key,
        work=work, sheet=sheet, on_frames=on_frames,
    )  # fmt: skip
    facts: dict[str, Any] = {
        "video": str(output),
        "frames": result.frames,
        "sha256": result.sha256,
        "seconds": result.seconds,
        "notes": list(result.notes),
    }
    return facts | ({"sheet": str(sheet)} if sheet else {})
