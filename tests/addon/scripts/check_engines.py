# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy and an engine of another package: the menu has it, and it works."""

import bpy
from addon_kit import fresh, key_value, run

FACTS = {}


def check_the_menu_lists_it():
    from blender_addon.engines import engine_items
    from blender_addon.session import session

    scene = fresh()
    items = {item[0]: item for item in engine_items(scene.exomni, bpy.context)}
    assert next(iter(items)) == "embedded"
    assert list(items)[-1] == "tiny", items
    assert items["tiny"][1:3] == ("Tiny", "Opens the jaw for each letter")
    # What a .blend has stored must keep its meaning.
    assert [items[name][4] for name in ("embedded", "omni")] == [0, 1]
    assert items["tiny"][4] > 1000
    assert scene.exomni.engine == "embedded"
    scene.exomni.engine = "tiny"
    assert scene.exomni.engine == "tiny"
    assert not session.is_running


def check_the_process_elsewhere_may_have_more():
    from blender_addon.engines import engine_items
    from blender_addon.service import Service
    from blender_addon.session import session

    fresh()
    service = Service(client=None)
    service.engines = {"far": {"title": "Far", "about": "Runs elsewhere", "ready": True}}
    session._service = service
    try:
        assert [item[0] for item in engine_items(None, None)][-1] == "far"
    finally:
        session._service = None
    assert "far" not in [item[0] for item in engine_items(None, None)]


def check_it_makes_a_take():
    scene = fresh()
    bpy.ops.exomni.add_head()
    item = scene.exomni.character
    scene.exomni.engine = "tiny"
    assert bpy.ops.exomni.generate(text="abcdefgh", start_frame=1) == {"FINISHED"}
    assert item.exomni.takes[0].engine == "tiny"
    assert bpy.ops.exomni.generate(text="abcd", engine="tiny", start_frame=1) == {"FINISHED"}
    scene.frame_set(1)
    assert abs(key_value(item, "jawOpen") - 0.5) < 0.05


run([value for name, value in list(globals().items()) if name.startswith("check_")], FACTS)
