# SPDX-License-Identifier: GPL-3.0-or-later
"""On the path of an engine process, this puts an engine there that waits, fails or dies on demand."""

import exomni_core.engine

exomni_core.engine._ENGINES["embedded"] = "waiting_engine:WaitingEngine"
