# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of two or more systems in, a study folder that can be served out: plan, encode, seal.

The folder is built beside its final name and renamed when it is whole. A build that was stopped
goes on where it was; the same seed and the same inputs give the same bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.retime import FrameRate
from exomni_core.storage.files import sha256_file
from render_jobs.settings import RenderSettings
from render_jobs.study.making.balance import check_balance
from render_jobs.study.making.composite import Canvas, blinding_key, opaque_name
from render_jobs.study.making.design import Design, fitting_count, make_design
from render_jobs.study.making.eligibility import (
    MAX_S,
    MIN_S,
    EligibilityRules,
    Intake,
    Renderer,
    SideSource,
    first_look,
    make_ready,
)
from render_jobs.study.making.pictures import choose_settings
from render_jobs.study.making.place import building, check_place, put_in_place
from render_jobs.study.making.remarks import Asked, remarks
from render_jobs.study.making.runs import Run, read_runs
from render_jobs.study.making.stimuli import Workshop
from render_jobs.study.making.texts import Texts, analysis_plan, read_texts
from render_jobs.study.plan import (
    PLAIN_TITLE,
    AudioMode,
    Dropped,
    Pair,
    Seat,
    StimulusMode,
    Study,
    Trial,
)
from render_jobs.study.plan_file import write_study

# Raise it when the same inputs would give other files.
STUDY_VERSION: Final = 1
USUAL_COUNT: Final = 20


@dataclass(frozen=True)
class PairOptions:
    """What the user asked for.

    runs: folders; the target's first, unless `target` names another. count: items in each
    comparison, over all languages; None is USUAL_COUNT, or fewer where there are no more.
    names: what the systems are called in the study. all_pairs: compare every two systems, not only
    the target with each. min_s, max_s: of an item. texts: own protocol and consent; contact,
    storage: what the consent says of them. settings, blender: for clips that have no video yet;
    None is as the other runs were rendered.
    """

    runs: tuple[Path, ...]
    out: Path
    count: int | None = None
    raters: int = 8
    languages: tuple[str, ...] = ()
    seed: int = 0
    audio: AudioMode = "shared"
    stimulus: StimulusMode = "composite"
    target: str = ""
    names: tuple[str, ...] = ()
    all_pairs: bool = False
    title: str = ""
    min_s: float = MIN_S
    max_s: float = MAX_S
    force: bool = False
    texts: Path | None = None
    contact: str = ""
    storage: str = ""
    settings: RenderSettings | None = None
    blender: Path | None = None
    workers: int = 0


@dataclass(frozen=True)
class Built:
    """A finished study and what its maker should know."""

    study: Study
    folder: Path
    notes: tuple[str, ...]


StepCallback = Callable[[str], None]


def build_study(options: PairOptions, on_step: StepCallback | None = None) -> Built:
    """Build the whole folder `options.out`.

    Raises InputError (runs, options, too few items, a study that is already there),
    EnvironmentProblem (no ffmpeg, nothing to render with), WorkerError (ffmpeg failed).
    """
    tell = on_step or (lambda _: None)
    check_place(options.out, force=options.force)
    runs = _target_first(read_runs(options.runs, options.names), options.target)
    if len(runs) < 2:
        raise InputError("a comparison needs two runs; name another", field="run")
    texts = read_texts(options.texts, options.audio)
    _check_words(options, texts, runs)
    with building(options.out) as folder:
        tell("looking at the runs")
        rules = EligibilityRules(options.audio, options.languages, options.min_s, options.max_s)
        intake = first_look(runs, rules)
        design, languages = _ready_design(options, intake, folder, tell)
        study, notes = _encode(options, texts, intake, design, languages, folder, tell)
        study = write_study(study, folder)
        put_in_place(folder, options.out)
    return Built(study, options.out, notes)


def _target_first(runs: list[Run], target: str) -> list[Run]:
    if not target:
        return runs
    names = [run.name for run in runs]
    if target not in names:
        raise InputError(
            f"no run is called {target!r:.60}; there are {', '.join(names)}", field="target"
        )
    return sorted(runs, key=lambda run: run.name != target)


def _check_words(options: PairOptions, texts: Texts, runs: Sequence[Run]) -> None:
    """What the user has written for raters must not name a system (ours does not)."""
    shown = {"title": options.title}
    if options.texts is not None:
        shown |= {f"protocol ({language})": text for language, text in texts.protocol.items()}
        shown |= {f"consent ({language})": text for language, text in texts.consent.items()}
    for run in runs:
        for where, text in shown.items():
            if re.search(rf"(?<!\w){re.escape(run.name)}(?!\w)", text, re.IGNORECASE):
                raise InputError(
                    f"the {where} names the system {run.name}, and raters would read it; word it "
                    "otherwise, or rename the system with --names",
                    field=where.partition(" ")[0],
                )


def _ready_design(
    options: PairOptions, intake: Intake, folder: Path, tell: StepCallback
) -> tuple[Design, tuple[str, ...]]:
    """A design whose every item is rendered and checked; what fails on the way is drawn anew."""
    renderer = Renderer(
        choose_settings(options.settings, intake.runs),
        folder / "rendered",
        options.blender,
        options.workers,
        on_frames=lambda count: tell(f"+{count}"),
    )
    names = [run.name for run in intake.runs]
    pairs = [(names[0], other) for other in names[1:]]
    if options.all_pairs:
        pairs = list(combinations(names, 2))
    while True:
        languages = options.languages or tuple(sorted({i.language for i in intake.candidates}))
        if not intake.candidates:
            raise InputError(_nothing_left(intake), field="run")
        count = options.count or fitting_count(intake.candidates, languages, USUAL_COUNT)
        try:
            design = make_design(
                intake.candidates,
                pairs,
                count=count,
                seats=options.raters,
                languages=languages,
                seed=options.seed,
            )
        except InputError as error:
            raise InputError(f"{error}{_an_example(intake)}", field=error.field) from error
        tell("making the videos ready")
        if make_ready(intake, (show.item for show in design.shows), renderer):
            if options.count is None and count < USUAL_COUNT:
                few = f"the study has {count} items, as many as the runs allow, not {USUAL_COUNT}"
                design = replace(design, notes=(few, *design.notes))
            return design, languages


def _an_example(intake: Intake) -> str:
    """The end of a sentence about too few items: why one was left out."""
    if not intake.dropped:
        return ""
    first = intake.dropped[0]
    return f" ({len(intake.dropped)} were left out; {first.item}: {first.reason})"


def _nothing_left(intake: Intake) -> str:
    if not intake.dropped:
        return "the runs hold no items"
    first = intake.dropped[0]
    return (
        f"none of the {len(intake.dropped)} items can be compared; the first, {first.item}: "
        f"{first.reason}"
    )


def _encode(
    options: PairOptions,
    texts: Texts,
    intake: Intake,
    design: Design,
    languages: tuple[str, ...],
    folder: Path,
    tell: StepCallback,
) -> tuple[Study, tuple[str, ...]]:
    """Every file of the study, and the study that names them."""
    used = {show.item.item_id for show in design.shows}
    sources = {key: source for key, source in intake.sources.items() if key[1] in used}
    target = intake.runs[0].name
    canvas = _canvas([s for (run, _), s in sorted(sources.items()) if run == target])
    key = blinding_key(options.seed, _facts(options, canvas, sources, intake.runs))
    workshop = Workshop(sources, target, canvas, key, folder, options.audio, options.stimulus)
    threads = options.workers or min(8, os.cpu_count() or 1)
    tell(f"encoding {len(design.shows)} videos")
    stimuli = workshop.make(design.shows, threads, lambda: tell("."))
    systems = {run.name: f"{run.kind}, {len(run.items)} items" for run in intake.runs}
    pairs = [
        Pair(
            name,
            item.item_id,
            item.language,
            a,
            b,
            {side: stimuli[f"{name}/{side}"] for side in ("AB", "BA")},
        )
        for name, (item, (a, b)) in design.main.items()
    ]
    seats = [
        Seat(
            number,
            tuple(
                Trial(
                    opaque_name(key, f"trial/{number}/{index}", ""),
                    index,
                    spot.kind,
                    spot.pair_id,
                    spot.left,
                    spot.right,
                    spot.expected,
                    stimuli[spot.show],
                    spot.language,
                )
                for index, spot in enumerate(spots)
            ),
        )
        for number, spots in enumerate(design.seats)
    ]
    longest_s = max(sum(t.stimulus.duration_ms for t in seat.trials) for seat in seats) / 1000
    study = Study(
        title=options.title or PLAIN_TITLE,
        seed=options.seed,
        target=target,
        systems=systems,
        comparisons=tuple(dict.fromkeys((pair.system_a, pair.system_b) for pair in pairs)),
        languages=languages,
        stimulus=options.stimulus,
        audio=options.audio,
        pairs=tuple(pairs),
        seats=tuple(seats),
        dropped=_without_paths(intake),
        page_languages=tuple(texts.protocol),
        protocol=texts.protocol,
        consent=texts.filled_consent(
            trials=len(seats[0].trials),
            playing_s=longest_s,
            contact=options.contact,
            storage=options.storage,
        ),
        plan=analysis_plan(target, options.audio),
    )
    study = replace(study, balance=check_balance(study))
    asked = Asked(options.settings, bool(options.contact or options.texts))
    return study, (*design.notes, *remarks(asked, canvas, sources, study, intake.runs))


def _without_paths(intake: Intake) -> tuple[Dropped, ...]:
    """What was left out, by item; where the runs lie is nothing that a study should tell."""
    tidy = []
    for one in sorted(intake.dropped, key=lambda one: one.item):
        reason = one.reason
        for run in intake.runs:
            reason = reason.replace(f"{run.folder}{os.sep}", "")
        tidy.append(Dropped(one.item, reason))
    return tuple(tidy)


def _canvas(sources: Sequence[SideSource]) -> Canvas:
    """The target's size and frame rate; an odd size is rounded up, as the encoder needs it."""
    first = sources[0]
    rate = first.rate
    if abs(rate.base - 1.0) > 0.0011:  # no camera's rate: an uneven recording
        rate = FrameRate(30)
    width, height = (side + side % 2 for side in (first.info.width, first.info.height))
    return Canvas(width, height, rate)


def _facts(
    options: PairOptions,
    canvas: Canvas,
    sources: Mapping[tuple[str, str], SideSource],
    runs: Sequence[Run],
) -> Iterator[str]:
    """What the files are made of, for the key."""
    yield f"version {STUDY_VERSION} {options.audio} {options.stimulus} {canvas}"
    items = {run.name: run.items for run in runs}
    for (run, item_id), source in sorted(sources.items()):
        clip = items[run][item_id].clip
        sound = sha256_file(clip) if clip and source.sound is not None else "-"
        yield f"{run} {item_id} {sha256_file(source.video)} {sound}"


def facts_of(built: Built) -> dict[str, Any]:
    """What `--json` prints of a study that was just made."""
    study = built.study
    return {
        "study": str(built.folder),
        "plan_sha256": study.plan_sha256,
        "target": study.target,
        "comparisons": [list(pair) for pair in study.comparisons],
        "languages": list(study.languages),
        "pairs": len(study.pairs),
        "raters": len(study.seats),
        "trials_per_rater": study.balance["trials_per_rater"],
        "dropped": [{"item": one.item, "reason": one.reason} for one in study.dropped],
        "balance": dict(study.balance),
        "notes": list(built.notes),
    }
