# SPDX-License-Identifier: GPL-3.0-or-later
"""A template in, a sheet of labelled stills out: all 52 shapes, the poses of speech, or all looks.

`*_cells` say what is shown (pure), `draw_cells` draws it, `*_sheet` do both and write the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.arrays import FloatArray, Pixels
from exomni_core.clip import Phone
from exomni_core.embedded.animate import animate_mouth
from exomni_core.errors import InputError
from render_jobs.settings import RenderSettings
from render_jobs.video.sheet_file import Layout, check_sheet_file, write_sheet_file
from render_jobs.video.stills import StillDrawer, still_drawer
from templates.library import find_look, find_template
from templates.looks import list_looks

_SHAPE_SIZE: Final = (288, 240)  # pixels of a cell
_SPEECH_SIZE: Final = (300, 332)
_LOOK_SIZE: Final = (384, 484)
_FINER: Final = 2  # drawn so many times larger, then made smaller
_CLOSE_UP: Final = (1000, 1500)  # pixels drawn of which only the part that moves is kept
_STRAYS: Final = 0.025  # the share of what moves that may be cut off at each side
_PAD: Final = 0.1  # round what moves, as a share of its size
_MOVES: Final = 12  # of 255: a smaller difference is noise at an edge

# Extremes of expression that speech alone doesn't show.
_EXPRESSIONS: Final[Mapping[str, Mapping[str, float]]] = {
    "smile": {"mouthSmile": 0.8, "cheekSquint": 0.5, "eyeSquint": 0.3, "mouthUpperUp": 0.1},
    "laugh": {"mouthSmile": 0.8, "jawOpen": 0.35, "cheekSquint": 0.7, "eyeSquint": 0.5,
              "mouthUpperUp": 0.35, "mouthLowerDown": 0.2},
    "kiss": {"mouthPucker": 1.0, "mouthFunnel": 0.15},
    "surprise": {"jawOpen": 0.45, "browInnerUp": 1.0, "browOuterUp": 0.9, "eyeWide": 0.8},
    "anger": {"browDown": 1.0, "noseSneer": 0.6, "eyeSquint": 0.5, "mouthPress": 0.7},
    "sadness": {"browInnerUp": 0.9, "mouthFrown": 0.9, "mouthShrugLower": 0.4, "eyeBlink": 0.2},
    "blink": {"eyeBlink": 1.0},
    "wide open": {"jawOpen": 1.0},
}  # fmt: skip
# Label and IPA symbol.
_VOWELS: Final = (
    ("a (father)", "ɑː"), ("e (bed)", "ɛ"), ("i (see)", "iː"), ("o (law)", "ɔː"),
    ("u (blue)", "uː"),
)  # fmt: skip
_CONSONANTS: Final = (
    ("m", "m"), ("b", "b"), ("p", "p"), ("f", "f"), ("th", "θ"), ("s", "s"), ("sh", "ʃ"),
    ("l", "l"), ("r", "ɹ"), ("w", "w"),
)  # fmt: skip
_BESIDE: Final = "ɛ"  # the vowel on both sides of a consonant
_UPPER: Final = ("eye", "brow", "cheekSquint", "nose")  # channels that move the upper face


@dataclass(frozen=True, eq=False)
class Cell:
    """One picture of a sheet: its caption, the (52,) weights, the head and its look.

    part: `upper`, `lower` or all of the `face`; cells of one part show the same window.
    """

    label: str
    weights: FloatArray
    template: str
    look: str = ""
    part: str = "face"


def pose(**channels: float) -> FloatArray:
    """(52,) weights from channels by name; one without its side means both sides."""
    weights = np.zeros(len(ARKIT_52), np.float32)
    for name, value in channels.items():
        sides = [name] if name in CHANNEL_INDEX else [f"{name}Left", f"{name}Right"]
        for channel in sides:
            weights[CHANNEL_INDEX[channel]] = value
    return weights


def shape_cells(template: str, look: str = "") -> list[Cell]:
    """The face at rest and each channel alone at 1, first those of eyes, brows and nose, then those
    of the mouth; mouthClose with the jaw that it closes over.
    """
    cells = []
    for part in ("upper", "lower"):
        cells.append(Cell("neutral", pose(), template, look, part))
        for name in ARKIT_52:
            if name.startswith(_UPPER) != (part == "upper"):
                continue
            label, weights = name, pose(**{name: 1.0})
            if name == "mouthClose":
                label, weights = "mouthClose + jawOpen", pose(mouthClose=0.5, jawOpen=0.5)
            cells.append(Cell(label, weights, template, look, part))
    return cells


def speech_cells(template: str, look: str = "") -> list[Cell]:
    """The face at rest, vowels, closures and other sounds as the embedded engine forms them in
    running speech, and extremes of expression.
    """
    sounds = [("neutral", pose())]
    sounds += [(label, _spoken((symbol,), 0.3)) for label, symbol in _VOWELS]
    sounds += [(label, _spoken((_BESIDE, symbol, _BESIDE), 0.1)) for label, symbol in _CONSONANTS]
    moods = [(label, pose(**channels)) for label, channels in _EXPRESSIONS.items()]
    cells = [Cell(label, weights, template, look, "lower") for label, weights in sounds]
    return cells + [Cell(label, weights, template, look) for label, weights in moods]


def _spoken(symbols: Sequence[str], middle_s: float) -> FloatArray:
    """(52,) weights in the middle of an odd number of sounds, of which the middle one is as long
    as said and the others take 0.2 s.
    """
    fps, before = 30.0, len(symbols) // 2
    times = np.cumsum([0.5, *[0.2] * before, middle_s, *[0.2] * before])
    # The middle falls on a frame: the rules for closures count in them.
    times += round(fps * (times[before] + middle_s / 2)) / fps - (times[before] + middle_s / 2)
    phones = [Phone(s, float(times[k]), float(times[k + 1])) for k, s in enumerate(symbols)]
    frame = round(fps * (times[before] + middle_s / 2))
    return np.asarray(animate_mouth(phones, 2 * frame, fps)[frame], np.float32)


def look_cells(templates: Sequence[str], looks: Sequence[str] = ()) -> list[Cell]:
    """One friendly pose of each template (rows) in each look (columns; () is all of them)."""
    speaking = pose(
        jawOpen=0.22,
        mouthSmile=0.35,
        mouthUpperUp=0.12,
        mouthLowerDown=0.15,
        cheekSquint=0.2,
        browInnerUp=0.2,
    )
    names = looks or [look.name for look in list_looks()]
    return [
        Cell(f"{find_template(template).name}, {look}", speaking, template, look)
        for template in templates
        for look in names
    ]


def draw_cells(
    cells: Sequence[Cell],
    width: int,
    height: int,
    drawer: StillDrawer,
    *,
    engine: str = "auto",
    on_cells: Callable[[int], None] | None = None,
) -> list[Pixels]:
    """A (height, width, 3) uint8 picture of each cell, in order; width and height are even.

    on_cells: called with the number of new pictures. Raises InputError for an unknown template or
    look.
    """
    for cell in cells:
        find_look(cell.look, find_template(cell.template))
    pictures: dict[int, Pixels] = {}
    for kind in dict.fromkeys((cell.template, cell.look) for cell in cells):
        places = [k for k, cell in enumerate(cells) if (cell.template, cell.look) == kind]
        settings = RenderSettings(
            template=kind[0], look=kind[1], engine=engine, width=width, height=height
        )
        weights = np.stack([cells[k].weights for k in places])
        drawn = drawer.draw(weights, settings, on_cells)
        pictures.update(zip(places, drawn, strict=True))
    return [pictures[k] for k in range(len(cells))]


def crop_to_motion(pictures: Sequence[Pixels], aspect: float | None = None) -> list[Pixels]:
    """The same window of all (H, W, 3) pictures: what differs from the first.

    aspect: width over height of the window, None for that of the pictures. Shoulders and hair that
    no pose moves would leave little room for the face.
    """
    first = pictures[0].astype(np.int16)
    height, width, _ = first.shape
    moved = np.zeros((height, width))
    for picture in pictures[1:]:
        change = np.abs(picture - first).max(axis=2)
        change = np.where(change > _MOVES, change, 0)
        moved += change / max(float(change.sum()), 1.0)  # each pose counts the same
    aspect = width / height if aspect is None else aspect
    top, bottom = _bulk(moved.sum(axis=1)) if moved.any() else (0, height)
    left, right = _bulk(moved.sum(axis=0)) if moved.any() else (0, width)
    y, x = (top + bottom) / 2, (left + right) / 2
    tall = max(bottom - top, (right - left) / aspect) * (1 + 2 * _PAD)
    tall = min(tall, height, width / aspect)
    high, wide = round(tall), round(tall * aspect)
    top = int(np.clip(y - high / 2, 0, height - high))
    left = int(np.clip(x - wide / 2, 0, width - wide))
    return [picture[top : top + high, left : left + wide] for picture in pictures]


def _crop_parts(cells: Sequence[Cell], pictures: Sequence[Pixels], aspect: float) -> list[Pixels]:
    """Each picture cropped to what moves in the cells of its part; the first cell is at rest."""
    cropped = dict(enumerate(pictures))
    for part in dict.fromkeys(cell.part for cell in cells):
        places = [k for k, cell in enumerate(cells) if cell.part == part]
        windows = crop_to_motion([pictures[0], *(pictures[k] for k in places)], aspect)
        cropped.update(zip(places, windows[1:], strict=True))
    return [cropped[k] for k in range(len(cells))]


def _bulk(amounts: npt.NDArray[np.float64]) -> tuple[int, int]:
    """From and up to where nearly all of the (n,) amounts lie: single far pixels don't count."""
    so_far = np.cumsum(amounts) / amounts.sum()
    low, high = np.searchsorted(so_far, (_STRAYS, 1.0 - _STRAYS))
    return int(low), int(high) + 1


def write_sheet(
    kind: str,
    templates: Sequence[str],
    path: Path,
    look: str = "",
    *,
    blender: Path | None = None,
    on_cells: Callable[[int], None] | None = None,
) -> None:
    """Write the sheet that the command line asks for: `shapes`, `speech` or `looks`.

    look: "" is each template's own, for `looks` all there are. Raises InputError for several
    templates where only one fits.
    """
    if kind == "looks":
        wanted = [look] if look else []
        look_sheet(templates, path, wanted, blender=blender, on_cells=on_cells)
        return
    if len(templates) != 1:
        raise InputError(f"a sheet of {kind} shows one head; name only one, or use --kind looks")
    write = shape_sheet if kind == "shapes" else speech_sheet
    write(templates[0], path, look, blender=blender, on_cells=on_cells)


def shape_sheet(
    template: str,
    png: Path,
    look: str = "",
    columns: int = 6,
    *,
    size: tuple[int, int] = _SHAPE_SIZE,
    blender: Path | None = None,
    on_cells: Callable[[int], None] | None = None,
) -> None:
    """Write a sheet of the face at rest and its 52 shapes to `png` (or .jpg, .webp).

    size: width and height of one cell in pixels. Raises InputError for an unknown template or look.
    """
    cells = shape_cells(template, look)
    title = f"{find_template(template).title}: the 52 shapes at full weight"
    _write(cells, Layout(*size, columns, title), png, blender, on_cells)


def speech_sheet(
    template: str,
    png: Path,
    look: str = "",
    columns: int = 8,
    *,
    size: tuple[int, int] = _SPEECH_SIZE,
    blender: Path | None = None,
    on_cells: Callable[[int], None] | None = None,
) -> None:
    """Write a sheet of the poses of speech and some expressions; arguments as `shape_sheet`."""
    cells = speech_cells(template, look)
    title = f"{find_template(template).title}: sounds and expressions"
    _write(cells, Layout(*size, columns, title), png, blender, on_cells)


def look_sheet(
    templates: Sequence[str],
    png: Path,
    looks: Sequence[str] = (),
    *,
    size: tuple[int, int] = _LOOK_SIZE,
    blender: Path | None = None,
    on_cells: Callable[[int], None] | None = None,
) -> None:
    """Write one pose of each template (rows) in each look (columns; () is all) to `png`."""
    cells = look_cells(templates, looks)
    columns = len(cells) // max(len(templates), 1)
    check_sheet_file(png)
    layout = Layout(*size, columns)
    pictures: list[Pixels] = []
    with still_drawer(blender) as drawer:
        for cell in cells:
            # Each look in its own proportions, of which the cell shows the middle.
            look = find_look(cell.look, find_template(cell.template))
            width, height = _around(_FINER * size[0], _FINER * size[1], look.width / look.height)
            drawn = draw_cells([cell], width, height, drawer, on_cells=on_cells)
            pictures += [middle(picture, size[0] / size[1]) for picture in drawn]
    write_sheet_file(pictures, [cell.label for cell in cells], layout, png)


def _around(width: int, height: int, aspect: float) -> tuple[int, int]:
    """The smallest even size of this width over height into which a picture of the other fits."""
    tall = max(height, width / aspect)
    return 2 * round(tall * aspect / 2), 2 * round(tall / 2)


def middle(picture: Pixels, aspect: float) -> Pixels:
    """The middle of an (H, W, 3) picture, as large as fits, with this width over height."""
    height, width, _ = picture.shape
    high = min(height, round(width / aspect))
    wide = min(width, round(height * aspect))
    top, left = (height - high) // 2, (width - wide) // 2
    return picture[top : top + high, left : left + wide]


def _write(
    cells: Sequence[Cell],
    layout: Layout,
    path: Path,
    blender: Path | None,
    on_cells: Callable[[int], None] | None,
) -> None:
    """Draw the cells and write what moves in them."""
    check_sheet_file(path)
    with still_drawer(blender) as drawer:
        pictures = draw_cells(cells, *_CLOSE_UP, drawer, on_cells=on_cells)
    pictures = _crop_parts(cells, pictures, layout.width / layout.height)
    write_sheet_file(pictures, [cell.label for cell in cells], layout, path)
