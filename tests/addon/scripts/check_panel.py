# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: every panel is drawn into a layout that only records."""

from pathlib import Path
from types import SimpleNamespace

import bpy
from addon_kit import CLIP, character, face, fresh, run
from fake_service import FakeClient, use

FACTS = {}


class Layout:
    """Records what is drawn; refuses what Blender would refuse."""

    def __init__(self, record):
        object.__setattr__(self, "record", record)

    def __setattr__(self, name, value):
        known = bpy.types.UILayout.bl_rna.properties
        assert name in known, f"UILayout has no {name}"

    def prop(self, data, name, **options):
        declared = data.bl_rna.properties
        assert name in declared, f"{data} has no {name}"
        assert declared[name].description or data.bl_rna.identifier in ("Scene",), name
        self.record.append(("prop", name, options))

    def operator(self, name, **options):
        known = bpy.ops.exomni.generate.idname_py
        module, _, function = name.partition(".")
        kind = getattr(getattr(bpy.ops, module), function)
        self.record.append(("operator", name, reason_of(name)))
        assert kind.get_rna_type().description, name
        assert known
        return SimpleNamespace()

    def operator_menu_enum(self, name, prop, **options):
        self.operator(name)

    def label(self, **options):
        assert options.get("text"), options
        self.record.append(("label", options["text"], options.get("icon")))

    def prop_search(self, data, name, where, collection, **options):
        assert name in data.bl_rna.properties
        getattr(where, collection)
        self.record.append(("prop_search", name, options))

    def template_list(self, kind, _id, data, collection, active, index, **options):
        assert hasattr(bpy.types, kind), kind
        rows = getattr(data, collection)
        drawer = getattr(bpy.types, kind)
        for row in list(rows)[:3]:
            drawer.draw_item(None, bpy.context, self, data, row, 0, active)
        self.record.append(("list", kind, len(rows)))

    def progress(self, factor, text):
        assert 0.0 <= factor <= 1.0
        self.record.append(("progress", factor, text))

    def row(self, **_):
        return self

    column = split = box = row


def reason_of(name):
    """Why the operator's button would be grey, or ''."""
    from blender_addon import registration

    kind = next(k for k in registration.CLASSES if getattr(k, "bl_idname", "") == name)
    reason = kind.disabled_reason(bpy.context)
    module, _, function = name.partition(".")
    assert getattr(getattr(bpy.ops, module), function).poll() == (not reason), name
    return reason


def draw_all(folded=()):
    """Draw every panel; returns panel -> record."""
    from blender_addon import registration

    drawn = {}
    for kind in registration.CLASSES:
        if not issubclass(kind, bpy.types.Panel):
            continue
        if hasattr(kind, "poll") and not kind.poll(bpy.context):
            continue
        record = []
        kind.draw(SimpleNamespace(layout=Layout(record)), bpy.context)
        drawn[kind.bl_idname] = record
    return drawn


def buttons(drawn):
    return {name: reason for record in drawn.values() for what, name, reason in record
            if what == "operator"}  # fmt: skip


def check_empty_scene():
    fresh()
    from blender_addon.session import session

    session.status, session.is_error = "", False
    drawn = draw_all()
    found = buttons(drawn)
    assert found["exomni.add_head"] == ""
    for name in ("take_show", "take_delete", "export_gltf", "import_clip"):
        assert "character" in found[f"exomni.{name}"], name
    assert found["exomni.generate"] == ""  # it says what is missing when it is pressed
    assert "EXOMNI_PT_meshes" not in drawn


def check_with_character_and_takes():
    fresh()
    item = character(face())
    found = buttons(draw_all())
    assert "no takes yet" in found["exomni.take_show"]
    assert "no takes yet" in found["exomni.export_a2f"]
    bpy.ops.exomni.import_clip(filepath=str(CLIP))
    drawn = draw_all()
    found = buttons(drawn)
    assert found["exomni.take_show"] == found["exomni.export_gltf"] == ""
    assert "Show another take" in found["exomni.take_compare"]
    assert any(kind == "prop" and name == "jaw" for kind, name, _ in drawn["EXOMNI_PT_adjust"])
    item.exomni.takes[0].keying = "reduced"
    assert any(name == "max_error" for _, name, _ in draw_all()["EXOMNI_PT_adjust"])
    item.exomni.takes[0].keying = "stepped"
    assert any(name == "step_frames" for _, name, _ in draw_all()["EXOMNI_PT_adjust"])
    labels = [text for record in drawn.values() for what, text, _ in record if what == "label"]
    assert any("52 of 52" in text for text in labels), labels


def check_every_mode():
    scene = fresh()
    character(face())
    for mode in ("say", "lipsync", "reply"):
        scene.exomni.mode = mode
        for source in ("file", "strip"):
            scene.exomni.audio_source = source
            draw_all()
    scene.sequence_editor_create()
    draw_all()
    bpy.data.objects["Face"].shape_key_clear()
    draw_all()


def check_while_working_and_after_failure():
    fresh()
    character(face())
    from blender_addon import session as module
    from blender_addon.preferences import Place
    from blender_addon.service import Request

    session = use(module, FakeClient(CLIP, "hangs"))
    session.begin(Request(Place(), {"text": "x"}))
    drawn = draw_all()
    assert drawn["EXOMNI_PT_main"][0][0] == "progress"
    found = buttons(drawn)
    assert "being made" in found["exomni.generate"]
    assert found["exomni.cancel"] == ""
    session.cancel()
    list(session.wait())
    session.fail("the disk is full; free some space and try it again. " * 3)
    drawn = draw_all()
    labels = [text for what, text, _ in drawn["EXOMNI_PT_main"] if what == "label"]
    assert len(labels) > 2
    assert all(len(text) < 60 for text in labels)
    assert "exomni.copy_report" in buttons(drawn)


def check_tooltips():
    """Every property and operator tells what it does."""
    from blender_addon import properties, registration

    hidden = {"rna_type", "name"}
    for kind in registration.CLASSES:
        if issubclass(kind, bpy.types.Operator):
            module, _, function = kind.bl_idname.partition(".")
            rna = getattr(getattr(bpy.ops, module), function).get_rna_type()
            assert rna.description, kind
            for prop in rna.properties:
                assert prop.identifier in hidden or prop.description, (kind, prop.identifier)
    for prop in properties.SceneSettings.bl_rna.properties:
        assert prop.identifier in hidden or prop.description, prop.identifier


def texts():
    """Every text that the user may see and that has to be translated."""
    from blender_addon import registration
    from exomni_core.engine import ENGINE_KINDS

    found = set()  # of our own engines: the menu is made when it opens, so rna tells no items
    for engine in ENGINE_KINDS.built_in.values():
        found |= {engine.title, engine.about}
    for kind in registration.CLASSES:
        if issubclass(kind, bpy.types.Operator):
            module, _, function = kind.bl_idname.partition(".")
            rna = getattr(getattr(bpy.ops, module), function).get_rna_type()
            found |= {rna.name, rna.description}
        else:
            rna = kind.bl_rna
            if issubclass(kind, bpy.types.Panel):
                found.add(kind.bl_label)
        for prop in rna.properties:
            if prop.identifier in ("rna_type",) or not prop.is_runtime:
                continue
            found |= {prop.name, prop.description} if prop.description else set()
            if prop.type == "ENUM" and prop.identifier != "family":
                for row in prop.enum_items:
                    found |= {row.name, row.description}
    return {text for text in found if text and text not in ("exomni", "Ex-Omni")}


def check_translations():
    import ast

    import blender_addon
    from blender_addon.words import table

    wanted = texts()
    for source in Path(blender_addon.__file__).parent.rglob("*.py"):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            wanted |= _texts_in(node)
    missing = {
        language: sorted(text for text in wanted if ("*", text) not in words)
        for language, words in table.DICTIONARY.items()
    }
    FACTS["texts"] = len(wanted)
    assert set(missing) == {"zh_HANS", "ja_JP"}
    assert not any(missing.values()), missing
    spare = {
        text for words in table.DICTIONARY.values() for _, text in words
    } - wanted  # fmt: skip
    assert not spare, sorted(spare)


def _texts_in(node):
    """Texts given to tr(), to say() as they are, to labels, and reasons that are returned."""
    import ast

    def plain(value):
        return (
            value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
        )

    found = set()
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in ("tr", "say") and node.args:
            found.add(plain(node.args[0]))
            if isinstance(node.args[0], ast.IfExp):
                found |= {plain(node.args[0].body), plain(node.args[0].orelse)}
        if name in ("label", "operator"):
            found |= {plain(k.value) for k in node.keywords if k.arg == "text"}
        if name == "Happening" and len(node.args) > 1 and plain(node.args[0]) in (
            "status", "cancelled"
        ):  # fmt: skip
            found.add(plain(node.args[1]))
    if isinstance(node, ast.FunctionDef) and node.name.endswith("_reason"):
        for part in ast.walk(node):
            if isinstance(part, ast.Return) and part.value is not None:
                for value in ast.walk(part.value):
                    found.add(plain(value)) if " " in plain(value) else None
    return found - {""}


run([value for name, value in list(globals().items()) if name.startswith("check_")], FACTS)
