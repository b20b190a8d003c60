# SPDX-License-Identifier: GPL-3.0-or-later
"""The omni engine's options in, whether its weights are here out; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exomni_core.engine_kind import EngineState
from exomni_core.errors import ExOmniError
from exomni_core.omni.weights.store import locate, models_folder
from exomni_core.prompt import MODES


def omni_state(options: Mapping[str, Any]) -> EngineState:
    """Whether the engine could start, as far as files tell; what it lacks as one sentence."""
    try:
        folder = Path(options.get("model") or models_folder())
        if not (folder / "config.json").is_file():
            locate("ex-omni", folder)
    except ExOmniError as error:
        return EngineState(False, str(error), MODES)
    return EngineState(True, "", MODES)
