# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of materials and the file's own colours in, a colour for each part out (scene-linear)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from templates.reading import Colour

# The first pattern that is found in a part's name, without case, gives its colour.
_BY_NAME: Final[tuple[tuple[str, Colour], ...]] = (
    (r"pupil", (0.02, 0.02, 0.02)),
    (r"iris", (0.20, 0.35, 0.50)),
    (r"glint|highlight", (1.0, 1.0, 1.0)),
    (r"lash", (0.03, 0.02, 0.02)),
    (r"brow|hair|beard|stubble", (0.10, 0.06, 0.04)),
    (r"teeth|tooth|dent", (0.85, 0.83, 0.78)),
    (r"tongue|gum", (0.65, 0.25, 0.25)),
    (r"mouth.?(socket|bag|cavity|inner)|oral|cavity", (0.30, 0.07, 0.07)),
    (r"lip", (0.70, 0.38, 0.34)),
    (r"sclera|eye.?white|eyeball|cornea|^eyes?([._ ]?[lr])?$", (0.88, 0.88, 0.88)),
)
SKIN: Final[Colour] = (0.80, 0.62, 0.52)
_PLAIN_GREY: Final = (0.7, 0.9)  # an untouched material is light grey, and means nothing


def part_colours(names: Sequence[str], given: Mapping[str, Colour]) -> dict[str, Colour]:
    """part -> colour: the file's, else one that its name suggests; `*` is skin."""
    chosen: dict[str, Colour] = {"*": SKIN}
    for name in names:
        colour = given.get(name)
        if colour is None or _is_untouched(colour):
            colour = _named(name)
        if colour is not None:
            chosen[name] = colour
    return chosen


def _is_untouched(colour: Colour) -> bool:
    low, high = min(colour), max(colour)
    return high - low < 0.01 and _PLAIN_GREY[0] <= low <= _PLAIN_GREY[1]


def _named(name: str) -> Colour | None:
    found = (c for pattern, c in _BY_NAME if re.search(pattern, name.casefold()))
    return next(found, None)
