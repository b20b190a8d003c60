# SPDX-License-Identifier: GPL-3.0-or-later
"""A study folder or a table of ratings in; what a report is made from out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exomni_core.errors import InputError
from render_jobs.study.plan import STUDY_FILE, Study
from render_jobs.study.plan_file import read_study
from render_jobs.study.ratings import BadRow, Rating, read_ratings
from render_jobs.study.report.cleaning import DEFAULT_RULES, ExclusionRules
from render_jobs.study.serving.exporting import ratings_of


@dataclass(frozen=True)
class ReportSource:
    """All that a report needs.

    assigned: rater -> main trials in that rater's seat, None when no plan tells. study: the frozen
    plan, None for a bare table. bad: rows of the table that can't be used.
    """

    rows: Sequence[Rating]
    target: str
    rules: ExclusionRules
    assigned: Mapping[str, int] | None = None
    study: Study | None = None
    bad: Sequence[BadRow] = ()


def gather(folder: Path | None, table: Path | None, target: str | None) -> ReportSource:
    """Read the plan from `folder`, the ratings from `table` or else from the folder's own store.

    Without `target` the plan's target is taken. Raises InputError when neither is given, when one
    can't be read, or when nobody names the target.
    """
    if folder is None and table is None:
        raise InputError("name a study folder, or a table with --ratings FILE.csv")
    study = None
    if folder is not None and (table is None or (folder / STUDY_FILE).exists()):
        study = read_study(folder)
    bad: list[BadRow] = []
    if table is not None:
        rows = read_ratings(table, bad)
    else:
        assert folder is not None
        rows = ratings_of(folder)
    target = target or (study.target if study else None)
    if not target:
        systems = sorted({s for row in rows for s in (row.system_a, row.system_b)})
        raise InputError(
            f"name the target system with --target; the table holds {', '.join(systems) or 'none'}",
            field="target",
        )
    return ReportSource(
        rows,
        target,
        rules=ExclusionRules.from_plan(study.plan) if study else DEFAULT_RULES,
        assigned=_assigned(rows, study) if study else None,
        study=study,
        bad=tuple(bad),
    )


def _assigned(rows: Sequence[Rating], study: Study) -> dict[str, int]:
    """Main trials of each rater's seat, where every seat has as many; else nobody's is known.

    The table says who answered, not who sat where.
    """
    sizes = Counter(sum(t.kind == "main" for t in seat.trials) for seat in study.seats)
    if len(sizes) != 1:
        return {}
    size = next(iter(sizes))
    return dict.fromkeys(sorted({row.rater_id for row in rows}), size)
