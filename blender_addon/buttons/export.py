# SPDX-License-Identifier: GPL-3.0-or-later
"""A take in, files for others out: Audio2Face JSON, Live Link CSV, glTF, the clip itself."""

from __future__ import annotations

import contextlib
import importlib
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import bpy
from bpy.props import BoolProperty, StringProperty

from exomni_core.clip import frame_count
from exomni_core.errors import EnvironmentProblem, ExOmniError, InputError
from exomni_core.formats.convert import write_face
from exomni_core.storage.files import check_writable, write_bytes

from .. import character, preferences
from ..declare import Explained, Operator, fields, tr
from ..session import session
from ..takes import clips, curves
from ..takes import shown as takes
from ..takes.gltf_times import correct_times
from .generate import busy_reason, fail, no_character_reason
from .takes import chosen_take

_NAME = StringProperty(name="Character", description="Object name; empty is the chosen one")
_TAKE = StringProperty(name="Take", description="Name or id of a take; empty is the chosen one")
_PATH = StringProperty(name="File", description="Where it is written", subtype="FILE_PATH")
_CHECK = BoolProperty(name="Overwrite", description="Ask before a file is replaced", default=True)


def export_face(take: Any, path: Path, *, adjusted: bool) -> None:
    """Write a take's face by the extension of `path` (.json, .csv), at the clip's own rate."""
    face = clips.face_of(take)
    weights = face.weights
    if adjusted:
        weights = curves.shape_face(weights, face.fps, takes.shaping_of(take))
    write_face(path, weights, face.fps)


def export_clip(take: Any, path: Path) -> None:
    """Write the take's clip as it was made."""
    write_bytes(path, clips.clip_bytes(take))


def export_gltf(item: Any, take: Any, path: Path, context: Any) -> None:
    """Write the character's meshes with their morph animation as .glb or .gltf.

    The take is shown for it. Raises EnvironmentProblem if this Blender lacks its glTF exporter.
    """
    check_writable(path)
    takes.show(item, take, context.scene)
    _enable_gltf()
    meshes = [target.object for target in character.live_targets(item)]
    with _only_selected(context, meshes), _range_of(context.scene, take):
        try:
            done = bpy.ops.export_scene.gltf(
                filepath=str(path),
                export_format="GLTF_SEPARATE" if path.suffix.lower() == ".gltf" else "GLB",
                use_selection=True,
                export_apply=False,
                export_animations=True,
                export_morph=True,
                export_morph_animation=True,
                export_animation_mode="ACTIVE_ACTIONS",
                export_frame_range=True,
                export_anim_slide_to_zero=True,
                export_force_sampling=True,
                export_optimize_animation_size=False,
            )
        except RuntimeError as error:
            raise InputError(f"the glTF exporter failed: {_one_line(error)}") from error
    if done != {"FINISHED"}:
        raise InputError("the glTF exporter stopped; see its message")
    base = context.scene.render.fps_base
    if base != 1.0:
        face = clips.face_of(take)
        frames = frame_count(len(face.weights) / face.fps, takes.scene_fps(context.scene))
        correct_times(path, (frames - 1) / takes.scene_fps(context.scene), base * base)


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
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    return True


def _enable_gltf() -> None:
    if hasattr(bpy.types, "EXPORT_SCENE_OT_gltf"):
        return
    addons: Any = importlib.import_module("addon_utils")  # Blender's own
    if addons.enable("io_scene_gltf2") is None:
        raise EnvironmentProblem(
            "this Blender has no glTF exporter; switch on 'glTF 2.0 format' in its add-ons"
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).removeprefix("Error: ")[:300]


@contextlib.contextmanager
def _only_selected(context: Any, meshes: list[Any]) -> Iterator[None]:
    layer = context.view_layer
    before = [item for item in layer.objects if item.select_get()]
    active = layer.objects.active
    for item in layer.objects:
        item.select_set(item in meshes)
    layer.objects.active = meshes[0]
    try:
        yield
    finally:
        for item in layer.objects:
            item.select_set(item in before)
        layer.objects.active = active


@contextlib.contextmanager
def _range_of(scene: Any, take: Any) -> Iterator[None]:
    """The scene's range set to the take's, so that its first frame is at 0 s in the file."""
    before = scene.frame_start, scene.frame_end, scene.frame_current
    length = max(1, round(take.duration_s * takes.scene_fps(scene)))
    scene.frame_start, scene.frame_end = take.start_frame, take.start_frame + length
    try:
        yield
    finally:
        scene.frame_start, scene.frame_end = before[0], before[1]
        scene.frame_set(before[2])


class _Export(Explained):
    """For buttons that write a take to a file."""

    ending = ""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """There is no character, no take, or a clip is being made."""
        reason = busy_reason() or no_character_reason(context)
        if reason:
            return reason
        has_takes = character.find_character(context).exomni.takes
        return "" if has_takes else "There are no takes yet; press Generate first"

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Let the user choose the file; a name is proposed."""
        if not self.filepath:  # type: ignore[has-type]
            name = "".join(c if c.isalnum() else "_" for c in self._take(context).name)
            self.filepath = f"{name}{self.ending}"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Any) -> set[str]:
        """Write the file and say where it is."""
        path = Path(bpy.path.abspath(self.filepath))
        try:
            if not self.filepath:
                raise InputError("there is no file name; choose one", field="filepath")
            if path.suffix.lower() not in (self.ending, ".gltf" if self.ending == ".glb" else ""):
                path = path.with_name(path.name + self.ending)
            self.write(context, path)
        except ExOmniError as error:
            return fail(self, error)
        text = tr("Written: {path}", path=path)
        session.say(text)
        self.report({"INFO"}, text)  # type: ignore[attr-defined]
        return {"FINISHED"}

    def write(self, context: Any, path: Path) -> None:
        """Write the file; raises ExOmniError."""
        raise NotImplementedError

    def _item(self, context: Any) -> Any:
        return character.find_character(context, self.character)  # type: ignore[attr-defined]

    def _take(self, context: Any) -> Any:
        return chosen_take(self._item(context), self.take)  # type: ignore[attr-defined]


class _ExportFace(_Export):
    def write(self, context: Any, path: Path) -> None:
        given = self.properties.is_property_set("adjusted")  # type: ignore[attr-defined]
        chosen = context.scene.exomni.export_adjusted
        adjusted = self.adjusted if given else chosen  # type: ignore[attr-defined]
        export_face(self._take(context), path, adjusted=adjusted)


_ADJUSTED = BoolProperty(
    name="As adjusted", description="As adjusted, or as it was made; the panel's choice if not set"
)


@fields(character=_NAME, take=_TAKE, filepath=_PATH, adjusted=_ADJUSTED, check_existing=_CHECK)
class ExportA2f(_ExportFace, Operator):
    """Write an Audio2Face JSON file."""

    bl_idname = "exomni.export_a2f"
    bl_label = "Audio2Face JSON"
    bl_description = "The face as Omniverse Audio2Face writes it"
    ending = ".json"


@fields(character=_NAME, take=_TAKE, filepath=_PATH, adjusted=_ADJUSTED, check_existing=_CHECK)
class ExportLiveLink(_ExportFace, Operator):
    """Write a Live Link Face CSV file."""

    bl_idname = "exomni.export_live_link"
    bl_label = "Live Link CSV"
    bl_description = "The face as the app Live Link Face writes it"
    ending = ".csv"


@fields(character=_NAME, take=_TAKE, filepath=_PATH, check_existing=_CHECK)
class ExportClip(_Export, Operator):
    """Write the take's .clip file."""

    bl_idname = "exomni.export_clip"
    bl_label = "Clip"
    bl_description = "The clip as it was made, with its sound, for rendering and other .blend files"
    ending = ".clip"

    def write(self, context: Any, path: Path) -> None:
        """The bytes as they were stored."""
        export_clip(self._take(context), path)


@fields(character=_NAME, take=_TAKE, filepath=_PATH, check_existing=_CHECK)
class ExportGltf(_Export, Operator):
    """Write a glTF file."""

    bl_idname = "exomni.export_gltf"
    bl_label = "glTF with morphs"
    bl_description = "The character's meshes with the take as morph animation"
    ending = ".glb"

    def write(self, context: Any, path: Path) -> None:
        """By Blender's own exporter."""
        export_gltf(self._item(context), self._take(context), path, context)


@fields(character=_NAME, take=_TAKE, filepath=_PATH, check_existing=_CHECK)
class RenderJob(_Export, Operator):
    """Render a take without a window."""

    bl_idname = "exomni.render_job"
    bl_label = "Render without a window"
    bl_description = "Write the clip and render it to a video beside Blender; the command is copied"
    ending = ".clip"

    def write(self, context: Any, path: Path) -> None:
        """The clip on disk, the command on the clipboard, the job running if it can."""
        export_clip(self._take(context), path)
        context.window_manager.clipboard = render_command(path, path.with_suffix(".mp4"))
        if not start_render(path, path.with_suffix(".mp4")):
            text = tr("exorender is not installed here; the command to run elsewhere was copied")
            self.report({"WARNING"}, text)


CLASSES: Final = (ExportA2f, ExportLiveLink, ExportClip, ExportGltf, RenderJob)
