# SPDX-License-Identifier: GPL-3.0-or-later
"""On the path of an engine process, this gives it an engine that waits, fails or dies on demand."""

import exomni_core.engine

exomni_core.engine._ENGINES["embedded"] = "waiting_engine:WaitingEngine"
