# SPDX-License-Identifier: GPL-3.0-or-later
"""A take in, files for others out: Audio2Face JSON, Live Link CSV, glTF, the clip itself."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import bpy
from bpy.props import BoolProperty, StringProperty

from exomni_core.errors import InputError
from exomni_core.formats.convert import write_face
from exomni_core.storage.files import write_bytes

from .. import character, preferences
from ..declare import Operator, fields, tr
from ..takes import clips, curves, records
from ..takes.gltf import write_gltf
from .base import OnTake, button


def render_command(clip: Path, video: Path) -> str:
    """The command line that renders a clip without a window."""
    return f"exorender render {shlex.quote(str(clip))} -o {shlex.quote(str(video))}"


def start_render(clip: Path, video: Path) -> bool:
    """Start the render in a process that outlives this Blender; False if exorender isn't here.

    Taken from the environment of the add-on's preferences, else from the program path. What it
    says goes to a .log beside the video.
    """
    python, program = preferences.chosen_place().python, shutil.which("exorender")
    if python is not None:
        begin = [str(python), "-m", "render_jobs.cli"]
    elif program is not None:
        begin = [program]
    else:
        return False
    with open(video.with_suffix(".log"), "wb") as log:
        subprocess.Popen(
            [*begin, "render", str(clip), "-o", str(video)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return True


@fields(
    filepath=StringProperty(name="File", description="Where it is written", subtype="FILE_PATH"),
    check_existing=BoolProperty(
        name="Overwrite", description="Ask before a file is replaced", default=True
    ),
)
class _Export(OnTake):
    """For buttons that write a take to a file. endings: of the file; the first is the usual one."""

    endings: tuple[str, ...] = ()
    filepath: str

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Let the user choose the file; a name is proposed."""
        if not self.filepath:
            take = self.chosen(character.find_character(context, self.character))
            name = "".join(c if c.isalnum() else "_" for c in take.name)
            self.filepath = f"{name}{self.endings[0]}"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def work_on(self, item: Any, context: Any) -> None:
        """Write the file and say where it is."""
        if not self.filepath:
            raise InputError("there is no file name; choose one", field="filepath")
        path = Path(bpy.path.abspath(self.filepath))
        if path.suffix.lower() not in self.endings:
            path = path.with_name(path.name + self.endings[0])
        self.write(item, self.chosen(item), path, context)
        self.tell(tr("Written: {path}", path=path))

    def write(self, item: Any, take: Any, path: Path, context: Any) -> None:
        """Write the file; raises ExOmniError."""
        raise NotImplementedError


@fields(
    adjusted=BoolProperty(
        name="As adjusted",
        description="As adjusted, or as it was made; the panel's choice if not set",
    )
)
class _ExportFace(_Export):
    """For face files, whose format follows from their ending."""

    def write(self, _item: Any, take: Any, path: Path, context: Any) -> None:
        """The face at the clip's own rate."""
        chosen = context.scene.exomni.export_adjusted
        adjusted = self.adjusted if self.given("adjusted") else chosen
        face = clips.face_of(take)
        weights = face.weights
        if adjusted:
            weights = curves.shape_face(weights, face.fps, records.shaping_of(take))
        write_face(path, weights, face.fps)


@button("export_a2f", "Audio2Face JSON", undo=False)
class ExportA2f(_ExportFace, Operator):
    """The face as Omniverse Audio2Face writes it."""

    endings = (".json",)


@button("export_live_link", "Live Link CSV", undo=False)
class ExportLiveLink(_ExportFace, Operator):
    """The face as the app Live Link Face writes it."""

    endings = (".csv",)


@button("export_clip", "Clip", undo=False)
class ExportClip(_Export, Operator):
    """The clip as it was made, with its sound, for rendering and other .blend files."""

    endings = (".clip", "")  # a name without an ending stays as it is

    def write(self, _item: Any, take: Any, path: Path, _context: Any) -> None:
        """The bytes as they were stored."""
        write_bytes(path, clips.clip_bytes(take))


@button("export_gltf", "glTF with morphs", undo=False)
class ExportGltf(_Export, Operator):
    """The character's meshes with the take as morph animation."""

    endings = (".glb", ".gltf")

    def write(self, item: Any, take: Any, path: Path, context: Any) -> None:
        """By Blender's own exporter."""
        write_gltf(item, take, path, context)


@button("render_job", "Render without a window", undo=False)
class RenderJob(_Export, Operator):
    """Write the clip and render it to a video beside Blender; the command is copied."""

    endings = (".clip", "")  # a name without an ending stays as it is

    def write(self, _item: Any, take: Any, path: Path, context: Any) -> None:
        """The clip on disk, the command on the clipboard, the job running if it can."""
        write_bytes(path, clips.clip_bytes(take))
        context.window_manager.clipboard = render_command(path, path.with_suffix(".mp4"))
        if not start_render(path, path.with_suffix(".mp4")):
            text = tr("exorender is not installed here; the command to run elsewhere was copied")
            self.report({"WARNING"}, text)


CLASSES: Final = (ExportA2f, ExportLiveLink, ExportClip, ExportGltf, RenderJob)
