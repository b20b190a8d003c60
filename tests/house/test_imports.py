# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules 2 and 3: imports run one way, floor by floor, without circles; heavy doors stay shut."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache

import pytest
from product_sources import (
    PACKAGES,
    REPO,
    Import,
    as_source,
    imports,
    own,
    product,
    product_imports,
)

# The floors of the house, the lowest first. A room is a module, or a folder with all in it but
# what has a place of its own here. A room may import from the floors below it, and from itself.
FLOORS = (
    ("exomni_core",),  # nothing but the version
    ("exomni_core.errors", "exomni_core.arrays"),
    ("exomni_core.storage", "exomni_core.conversation", "exomni_core.registry"),
    ("exomni_core.arkit", "exomni_core.prompt", "exomni_core.http", "exomni_core.engine_kind"),
    ("exomni_core.sound",),
    ("exomni_core.clip", "exomni_core.audio", "exomni_core.head_regions"),
    ("exomni_core.clip_notes", "exomni_core.phonetics", "exomni_core.retime",
     "exomni_core.formats", "exomni_core.engine"),
    ("exomni_core.matching", "exomni_core.text"),
    # Old names of modules, kept for scripts of users.
    ("exomni_core.bone_targets", "exomni_core.overrides", "exomni_core.keyframes"),
    ("exomni_core.voices",),
    ("exomni_core.listening",),
    ("exomni_core.embedded", "exomni_core.omni.config", "exomni_core.omni.tensor_files"),
    ("exomni_core.omni.nets", "exomni_core.metrics"),
    ("exomni_core.omni.prompting", "exomni_core.omni.speech", "exomni_core.omni.training"),
    ("exomni_core.omni.decoding", "exomni_core.omni.weights"),
    ("exomni_core.metrics.sync", "exomni_core.metrics.faces", "exomni_core.metrics.speech"),
    ("exomni_core.omni",),
    ("exomni_core.server",),
    ("templates", "templates.render_engines", "templates.npz_arrays"),
    ("templates.reading",),
    ("templates.mesh", "templates.matcaps"),
    ("templates.looks", "templates.occlusion", "templates.head"),
    ("templates.insides", "templates.descriptor"),
    ("templates.colours", "templates.library"),
    ("templates.importing",),
    ("blender_addon",),
    ("render_jobs", "render_jobs.outside"),
    ("render_jobs.settings", "render_jobs.workers", "render_jobs.reporting",
     "render_jobs.addon_kit"),
    ("render_jobs.stage",),
    ("render_jobs.fast",),
    ("render_jobs.video",),
    ("render_jobs.batch", "render_jobs.heads"),
    ("render_jobs.study.plan", "render_jobs.study.tables"),
    ("render_jobs.study.plan_file", "render_jobs.study.ratings"),
    ("render_jobs.study.making", "render_jobs.study.serving"),
    ("render_jobs.study.report",),
    ("render_jobs.study",),
    ("render_jobs.systems",),
    ("render_jobs.evaluation.imports",),
    ("render_jobs.evaluation",),
    ("render_jobs.evaluation.suite",),
    ("render_jobs.cli",),
)  # fmt: skip
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
# Beside the floors: the add-on and the render jobs know nothing of each other.
STRANGERS = {"blender_addon": "render_jobs", "render_jobs": "blender_addon"}

BLENDER = {"bpy", "gpu", "bmesh", "mathutils", "bpy_extras", "gpu_extras", "aud", "blf"}
BLENDER_DOORS = ("blender_addon/", "render_jobs/", "templates/", "exomni_core/keyframes.py")
NEURAL = {"torch", "transformers", "safetensors", "huggingface_hub", "torchaudio", "torchao"}
# Drivers run in the Python of somebody else's checkout.
NEURAL_DOORS = ("exomni_core/omni/", "render_jobs/outside/")
# What loads slowly, or what a basic install lacks. A function may import our own code only where
# that code loads one of these at once.
HEAVY_DOORS = BLENDER | NEURAL | {
    "ray", "PIL", "ffmpeg", "imageio_ffmpeg", "scipy", "jiwer", "whisper_normalizer",
}  # fmt: skip
# Other imports inside functions: (who, what or "" for anything): why.
LAZY = {
    ("render_jobs.cli", ""): "a verb loads what it needs when it is called",
    ("blender_addon", ""): "the first module imported finds the core for all others",
}
# The interface of all engines and the command line must start at once, and anywhere.
HEAVY = ("bpy", "torch", "transformers", "soundfile", "soxr", "pocketsphinx", "espeakng_loader",
         "scipy", "imageio_ffmpeg", "ffmpeg", "PIL", "jiwer", "rapidfuzz",
         "whisper_normalizer")  # fmt: skip
LIGHT = (
    "exomni_core.arkit", "exomni_core.audio", "exomni_core.clip", "exomni_core.engine",
    "exomni_core.storage.files", "exomni_core.formats", "exomni_core.prompt", "exomni_core.retime",
    "render_jobs.cli.commands",
)  # fmt: skip


def room_of(module: str) -> str:
    """The room that a module is in: the longest name in the table that it starts with, or ""."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in FLOOR), "")


def steps_up(module: str, found: tuple[Import, ...]) -> list[str]:
    """The imports of a module that lead to its own floor or above, or to a stranger."""
    here = room_of(module)
    return [
        f"{module}, line {one.line}: imports {one.target}"
        for one in own(found)
        if (there := room_of(one.target)) != here
        and (FLOOR[there] >= FLOOR[here] or STRANGERS.get(package(here)) == package(there))
    ]


def package(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]


def test_every_module_has_a_floor():
    # The packages' own folders hold few modules; a new one is given its floor by hand.
    by_hand = {"exomni_core", "templates"}
    lost = [m for m in product() if m not in FLOOR and room_of(m) in by_hand | {""}]
    assert not lost, f"give them a floor in FLOORS: {lost}"
    gone = [room for room in FLOOR if not (REPO / room.replace(".", "/")).exists()]
    gone = [room for room in gone if room not in product()]
    assert not gone, f"take them out of FLOORS: {gone}"


def test_imports_lead_to_lower_floors():
    wrong = [line for m, found in product_imports().items() for line in steps_up(m, found)]
    assert not wrong, "\n".join(wrong)


def test_the_floors_see_a_step_up():
    def up(module: str, text: str) -> list[str]:
        return steps_up(module, imports(as_source(module, text), product()))

    assert up("exomni_core.clip", "def f():\n  from exomni_core.server import client")
    assert up("exomni_core.audio", "if TYPE_CHECKING:\n  import exomni_core.clip")
    assert up("render_jobs.stage.stage", "from render_jobs.video import make")
    assert up("render_jobs.batch.run", "import blender_addon.session")
    assert up("blender_addon.panel", "import_module('render_jobs.settings')")
    assert not up("exomni_core.server.app", "from exomni_core.clip import Clip")
    assert not up("render_jobs.batch.run", "from . import plan")


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other (Tarjan), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1 or node in graph.get(node, ()):
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_no_circles():
    graph = {m: {one.target for one in own(found)} for m, found in product_imports().items()}
    assert circles(graph) == []


def test_circles_are_seen_through_types_and_functions():
    texts = {
        "exomni_core.a": "from exomni_core.b import x",
        "exomni_core.b": "if TYPE_CHECKING:\n  from exomni_core import c",
        "exomni_core.c": "def f():\n  import exomni_core.a",
        "exomni_core.d": "import exomni_core.a",
    }
    known = {module: as_source(module, text) for module, text in texts.items()}
    graph = {m: {one.target for one in imports(s, known)} for m, s in known.items()}
    assert circles(graph) == [["exomni_core.a", "exomni_core.b", "exomni_core.c"]]


@cache
def loads_at_once(module: str) -> frozenset[str]:
    """Packages of others that importing a module loads, by itself or through our own code."""
    seen, todo, roots = set(), [module], set()
    while todo:
        one = todo.pop()
        if one in seen or one not in product():
            continue
        seen.add(one)
        for found in product_imports()[one]:
            if not found.inside:
                (todo.append if package(found.target) in PACKAGES else roots.add)(found.target)
    return frozenset(package(root) for root in roots)


def needlessly_lazy(module: str, found: tuple[Import, ...]) -> Iterator[Import]:
    """Imports of our own code inside functions that open no heavy door and stand in no list."""
    for one in own(found):
        if one.inside and not loads_at_once(one.target) & HEAVY_DOORS:
            listed = ((who, what) for who, what in LAZY if module.startswith(who))
            if not any(what in ("", one.target) for _, what in listed):
                yield one


def test_own_code_is_imported_at_the_top():
    wrong = [
        f"{module}, line {one.line}: imports {one.target} inside {one.inside}"
        for module, found in product_imports().items()
        for one in needlessly_lazy(module, found)
    ]
    assert not wrong, "\n".join(wrong)


def test_lazy_imports_are_seen():
    def lazy(module: str, text: str) -> list[Import]:
        found = imports(as_source(module, text), product())
        return list(needlessly_lazy(module, found))

    assert lazy("render_jobs.video.x", "def f():\n  from exomni_core.clip import Clip")
    assert not lazy("render_jobs.video.x", "from exomni_core.clip import Clip")
    assert not lazy("render_jobs.video.x", "def f():\n  from render_jobs.stage import stage")
    assert not lazy("render_jobs.cli.x", "def f():\n  from exomni_core.clip import Clip")


@pytest.mark.parametrize("who", sorted({who for who, _ in LAZY}))
def test_every_exception_is_used(who):
    lazy = {
        one.target
        for module, found in product_imports().items()
        if module.startswith(who)
        for one in own(found)
        if one.inside
    }
    assert all(lazy if what == "" else what in lazy for name, what in LAZY if name == who)


def test_heavy_doors():
    for module, found in product_imports().items():
        path, roots = product()[module].path, {package(one.target) for one in found}
        if not path.startswith(BLENDER_DOORS):
            assert not roots & BLENDER, path
        if not path.startswith(NEURAL_DOORS):
            assert not roots & NEURAL, path


def test_hidden_imports_are_seen():
    text = "def f():\n  import bpy.types\n  from torch.nn import x\n  import_module('templates.a')"
    found = {one.target for one in imports(as_source("p.q", text), {})}
    assert found == {"bpy.types", "torch.nn", "templates.a"}
    assert {one.target for one in imports(as_source("p.q", "from . import a"), {})} == {"p"}


def test_light_modules_load_nothing_heavy():
    code = (
        f"import sys\nfor name in {LIGHT!r}:\n"
        f"    __import__(name)\n"
        f"    loaded = [h for h in {HEAVY!r} if h in sys.modules]\n"
        f"    assert not loaded, f'{{name}} loads {{loaded}}'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
