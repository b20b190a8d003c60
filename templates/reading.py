# SPDX-License-Identifier: GPL-3.0-or-later
"""The json files of templates and looks in, their plain data out; and the types both share.

Numbers stay as they are written, 30 or 30.0: a look's hash is made from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from exomni_core.storage.documents import check_version, read_json
from exomni_core.storage.schema import AS_WRITTEN, Place, Range, Word

AUTO: Final = Word("auto")  # worked out when the head is shown
Number = Annotated[float, AS_WRITTEN]
Colour = tuple[Number, Number, Number]
Positive = Annotated[float, AS_WRITTEN, Range(above=0)]
Share = Annotated[float, AS_WRITTEN, Range(0, 1)]
Margin = Annotated[float, AS_WRITTEN, Range(0, below=0.4)]
Lens = Annotated[float, AS_WRITTEN, Range(1, below=1000)]
Crop = Annotated[float, AS_WRITTEN, Range(0, below=0.9)]


def read_object(path: Path, version: int, field: str) -> tuple[dict[str, Any], Place]:
    """The JSON object in `path`, and its place for complaints.

    Raises InputError(field=field) if it is no JSON object, or written for a newer version.
    """
    place = Place(str(path), field=field)
    data = read_json(path, advice="docs/templates.md tells what it may hold", field=field)
    check_version(data, version, place, "Ex-Omni for Blender")
    found: dict[str, Any] = data
    return found, place
