# SPDX-License-Identifier: GPL-3.0-or-later
"""A study that was just made in, what its maker should mend or know before the first rater, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from render_jobs.settings import RenderSettings
from render_jobs.study.making.composite import Canvas
from render_jobs.study.making.eligibility import SideSource
from render_jobs.study.making.pictures import different_settings, look_apart
from render_jobs.study.making.runs import Run
from render_jobs.study.plan import Study

Sources = Mapping[tuple[str, str], SideSource]


@dataclass(frozen=True)
class Asked:
    """What the maker gave: settings for rendering, and whether raters know whom to ask."""

    settings: RenderSettings | None
    has_contact: bool


def remarks(
    asked: Asked, canvas: Canvas, sources: Sources, study: Study, runs: Sequence[Run]
) -> list[str]:
    """Sentences; empty for a study without flaws. runs: the target's first."""
    notes = _about_pictures(asked, canvas, sources, runs)
    if len(study.seats) % 2:
        notes.append("an even number of raters would show every pair both ways equally often")
    if not asked.has_contact:
        notes.append("the consent names nobody to ask; give --contact")
    return notes + [f"balance: {problem}" for problem in study.balance["problems"]]


def _about_pictures(
    asked: Asked, canvas: Canvas, sources: Sources, runs: Sequence[Run]
) -> list[str]:
    """In what the sides differ although only the faces should."""
    notes = []
    size = (canvas.width, canvas.height)
    others = {run for (run, _), s in sources.items() if (s.info.width, s.info.height) != size}
    if others:
        notes.append(
            f"{', '.join(sorted(others))} holds pictures of another size, fitted into "
            f"{canvas.width}x{canvas.height}; raters may tell the sides apart by it"
        )
    if {round(source.rate.fps, 2) for source in sources.values()} != {round(canvas.rate.fps, 2)}:
        notes.append(f"the runs differ in frame rate; all is shown at {canvas.rate} per second")
    if different := different_settings(asked.settings, runs):
        notes.append(
            f"the runs were rendered with another {', '.join(different)}; raters may tell the "
            "sides apart by it"
        )
    first, item_id = runs[0].name, min(item_id for _, item_id in sources)
    notes += [
        f"{run.name} looks other than {first} in light, colour or background; render both alike "
        "(--template, --look), or raters tell the sides apart by it"
        for run in runs[1:]
        if look_apart(sources[first, item_id].video, sources[run.name, item_id].video)
    ]
    return notes
