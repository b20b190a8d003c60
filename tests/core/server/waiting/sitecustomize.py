# SPDX-License-Identifier: GPL-3.0-or-later
"""On the path of an engine process, this gives it an engine that waits, fails or dies on demand."""

from dataclasses import replace

from exomni_core.engine import DEFAULT_ENGINE, ENGINE_KINDS

KINDS = ENGINE_KINDS.built_in
KINDS[DEFAULT_ENGINE] = replace(KINDS[DEFAULT_ENGINE], maker="waiting_engine:WaitingEngine")
