# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures with labels in, one sheet of them all out, in rows and columns, as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from exomni_core.arrays import Pixels
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.storage.files import check_writable, replacing

if TYPE_CHECKING:
    from PIL.Image import Image


GAP: Final = 8  # pixels between cells
LABEL_HEIGHT: Final = 24
TITLE_HEIGHT: Final = 48
_PAPER: Final = (24, 25, 28)
_INK: Final = (226, 226, 224)
_FORMATS: Final = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Layout:
    """Layout of the cells on a sheet. width, height: of one picture, in pixels."""

    width: int
    height: int
    columns: int
    title: str = ""

    def size(self, cells: int) -> tuple[int, int]:
        """The whole sheet's width and height in pixels."""
        rows = -(-cells // self.columns)
        return (
            self.columns * (self.width + GAP) + GAP,
            rows * (self.height + LABEL_HEIGHT + GAP) + GAP + self._head,
        )

    def place(self, index: int) -> tuple[int, int]:
        """Left and top of the picture of cell `index`."""
        row, column = divmod(index, self.columns)
        return (
            GAP + column * (self.width + GAP),
            GAP + self._head + row * (self.height + LABEL_HEIGHT + GAP),
        )

    @property
    def _head(self) -> int:
        return TITLE_HEIGHT if self.title else 0


def write_sheet_file(
    pictures: Sequence[Pixels], labels: Sequence[str], layout: Layout, path: Path
) -> None:
    """Write (H, W, 3) uint8 pictures with a label under each to `path` (.png, .jpg or .webp).

    Larger pictures are made smaller. Raises InputError for another kind of file or a place that
    can't be written, EnvironmentProblem without Pillow.
    """
    check_sheet_file(path)
    image = _compose(pictures, labels, layout)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".png":
            image.save(temporary, optimize=True)
        else:
            image.save(temporary, quality=90)


def check_sheet_file(path: Path) -> None:
    """Raise InputError unless a sheet can be written to `path`, before it is drawn."""
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"{path.name} must end in {', '.join(_FORMATS)}", field="output")
    check_writable(path)


def shrink(picture: Pixels, width: int, height: int) -> Pixels:
    """(H, W, 3) uint8 -> (height, width, 3)."""
    pil = _pil()
    small = pil.fromarray(picture).resize((width, height), pil.Resampling.LANCZOS)
    return np.asarray(small, np.uint8)


def _compose(pictures: Sequence[Pixels], labels: Sequence[str], layout: Layout) -> Image:
    pil = _pil()
    from PIL import ImageDraw, ImageFont

    sheet: Image = pil.new("RGB", layout.size(len(pictures)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if layout.title:
        font = ImageFont.load_default(24)
        draw.text((GAP + 4, GAP + TITLE_HEIGHT / 2), layout.title, _INK, font, anchor="lm")
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = layout.place(index)
        sheet.paste(pil.fromarray(shrink(picture, layout.width, layout.height)), (left, top))
        middle = (left + layout.width / 2, top + layout.height + LABEL_HEIGHT / 2)
        draw.text(middle, label, _INK, _fitting(draw, label, layout.width), anchor="mm")
    return sheet


def _fitting(draw: Any, label: str, width: int) -> Any:
    """The largest font up to 15 pixels in which `label` is no wider than its picture."""
    from PIL import ImageFont

    for size in range(15, 8, -1):
        font = ImageFont.load_default(size)
        if draw.textlength(label, font) <= width:
            break
    return font


def _pil() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise EnvironmentProblem(
            "sheets need the library Pillow; run: pip install 'pillow>=10.1'"
        ) from error
    return Image
