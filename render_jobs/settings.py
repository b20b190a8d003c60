# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may choose about the picture, as one frozen dataclass; plain data <-> settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.retime import FrameRate
from templates.render_engines import RENDER_ENGINES

# What Blender needs of the system, as Debian and Ubuntu call it.
SYSTEM_LIBRARIES: Final = (
    "libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libgl1 libegl1"
)


@dataclass(frozen=True)
class RenderSettings:
    """How a clip becomes a picture.

    template: name of a bundled template or path of a template folder or npz file.
    engine: one of RENDER_ENGINES; `auto` is `fast` where that shows the same picture as
    `workbench`, else `workbench`. width, height: pixels, even (yuv420p needs it).
    frame_rate: of the video. samples: per pixel; 0 takes the template's own setting.
    look: name of a look; "" is the template's own. alpha: transparent instead of a background.
    head_motion: how lively the head moves to the speech, 0 (not at all) to 1; it and alpha are for
    the fast engine.
    """

    template: str = "head"
    engine: str = "auto"
    width: int = 512
    height: int = 768
    frame_rate: FrameRate = FrameRate(30)
    samples: int = 0
    look: str = ""
    alpha: bool = False
    head_motion: float = 0.0

    def __post_init__(self) -> None:
        """Raises InputError for a setting that no video can have."""
        if self.engine not in RENDER_ENGINES:
            raise InputError(
                f"{self.engine!r} is no render engine; use {', '.join(RENDER_ENGINES)}",
                field="render-engine",
            )
        for name, value in (("width", self.width), ("height", self.height)):
            if not 16 <= value <= 8192 or value % 2:
                raise InputError(f"{name} is {value}; it must be even, 16 to 8192", field="size")
        if not 0.0 <= self.head_motion <= 1.0:
            raise InputError(
                f"head-motion is {self.head_motion}; it must be 0 to 1", field="head-motion"
            )
        if not 0 <= self.samples <= 4096:
            raise InputError(f"samples is {self.samples}; it must be 0 to 4096", field="samples")

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the wire and the content hash."""
        return asdict(self)


def settings_from_json(data: Mapping[str, Any]) -> RenderSettings:
    """The inverse of `RenderSettings.to_json`."""
    rate = FrameRate(**data["frame_rate"])
    return RenderSettings(**{**data, "frame_rate": rate})
