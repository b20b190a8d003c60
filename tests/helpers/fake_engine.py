# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine that a plan may ask about and that makes nothing: fake workers make the clips."""

from __future__ import annotations

from typing import Any

from exomni_core.engine import Capabilities, EngineDefaults


class FakeEngine(EngineDefaults):
    """rows: prompts that it is said to make at a time; None: one, in many processes."""

    name = "fake"

    def __init__(self, rows: int | None = None) -> None:
        self._rows = rows or 1

    def capabilities(self) -> Capabilities:
        """Says."""
        return Capabilities(("say",), (), "", 30.0, rows=self._rows)

    def version(self) -> str:
        """Part of the keys of its clips."""
        return "fake-1"

    def generate(self, prompt: Any, **_: Any) -> Any:
        """Nobody asks for it."""
        raise AssertionError(prompt)
