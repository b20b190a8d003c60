# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in, the names of the render engines out: for descriptors, settings and `--help`.

A file of its own, because the command line must start without numpy.
"""

from __future__ import annotations

from typing import Final

# `auto` is `fast` where that shows the same picture as `workbench`, else `workbench`.
RENDER_ENGINES: Final = ("auto", "fast", "workbench", "eevee", "cycles")
