# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded engine's options in, what it can do on this machine out; starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exomni_core.engine_kind import EngineState
from exomni_core.errors import ExOmniError
from exomni_core.listening.listener import DEFAULT_LISTENER, find_listener
from exomni_core.phonetics.language import OFFERED_LANGUAGES
from exomni_core.voices.voice import DEFAULT_VOICE, find_voice, voice_names


def embedded_state(options: Mapping[str, Any]) -> EngineState:
    """It speaks with espeak-ng and listens with the listener that `options` name."""
    lacks = {"say": _lack_of_voice(), "lipsync": _lack_of_listener(options)}
    lacks = {mode: reason for mode, reason in lacks.items() if reason}
    says = "say" not in lacks
    return EngineState(
        is_ready=says,
        reason=next(iter(lacks.values()), ""),
        modes=tuple(mode for mode in ("say", "lipsync") if mode not in lacks),
        languages=OFFERED_LANGUAGES,
        voices=voice_names() if says else (),
        lacks=lacks,
    )


def _lack_of_voice() -> str:
    return find_voice(DEFAULT_VOICE).reason()


def _lack_of_listener(options: Mapping[str, Any]) -> str:
    try:
        return find_listener(str(options.get("listener", DEFAULT_LISTENER))).reason()
    except ExOmniError as error:  # an unknown one, or a broken package
        return str(error)
