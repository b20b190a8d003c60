# SPDX-License-Identifier: GPL-3.0-or-later
"""A modal operator driven tick by tick without a window, where Blender itself would start none."""

import time
from types import SimpleNamespace

import bpy


class FakeOperator:
    """Stands in for the operator's instance, since modal ones don't start without a window."""

    def __init__(self, kind, properties):
        self._kind = kind
        self.reports = []
        for name, value in properties.items():
            setattr(self, name, value)
        self.properties = SimpleNamespace(is_property_set=lambda name: name in properties)

    def report(self, kind, text):
        self.reports.append((kind, text))

    def __getattr__(self, name):
        function = getattr(self._kind, name)
        return function.__get__(self) if callable(function) else function


class FakeContext:
    """The real context, with a window manager that has no window."""

    def __init__(self):
        self.scene, self.window = bpy.context.scene, None
        self.timers = 0
        self.window_manager = self
        self.windows = ()

    def event_timer_add(self, seconds, window):
        self.timers += 1
        return "timer"

    def event_timer_remove(self, timer):
        self.timers -= 1

    def modal_handler_add(self, operator):
        pass

    def __getattr__(self, name):
        return getattr(bpy.context, name)


def modal(properties, each=None, limit_s=30.0):
    """Run the modal form to its end; returns (result, longest tick in ms, the operator)."""
    from blender_addon.buttons.generate import Generate

    operator, context = FakeOperator(Generate, {"character": "", **properties}), FakeContext()
    operator._arriving = operator._begin(context)
    operator._timer, operator._ended = context.event_timer_add(0.03, None), False
    longest, until = 0.0, time.monotonic() + limit_s
    ticks = 0
    while time.monotonic() < until:
        started = time.thread_time()  # others may share this machine
        result = Generate.modal(operator, context, SimpleNamespace(type="TIMER"))
        longest = max(longest, time.thread_time() - started)
        if result != {"PASS_THROUGH"}:
            assert context.timers == 0
            return result, 1000 * longest, operator
        ticks += 1
        if each is not None:
            each(ticks)
        time.sleep(0.005)
    raise AssertionError("it never ended")
