# SPDX-License-Identifier: GPL-3.0-or-later
"""A study in, counts of what its order and sides are balanced for out, with every fault named.

Counted from the trials as they stand in the file, not from how they were made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from render_jobs.study.making.design import FREE_OF_CATCH
from render_jobs.study.making.ordering import ITEM_DISTANCE, MOST_IN_A_ROW
from render_jobs.study.plan import Pair, Seat, Study, Trial


def check_balance(study: Study) -> dict[str, Any]:
    """Plain counts, with `problems` (broken rules) and `notes` (what the numbers don't allow).

    Left means: the first system of the comparison stands on the left. `left_by_rater`,
    `left_by_pair`: [left, right] at the worst one. `by_position`: the most by which two comparisons
    differ in how many raters meet them at one place of the session.
    """
    pairs = {pair.pair_id: pair for pair in study.pairs}
    problems: list[str] = []
    notes: list[str] = []
    seats = [(seat, [t for t in seat.trials if t.kind == "main"]) for seat in study.seats]
    for seat, main in seats:
        _check_completeness(seat, main, pairs, problems)
        _check_catches(seat, problems)
    left_by_rater = _sides_by_rater(seats, pairs, problems)
    left_by_pair = _sides_by_pair(seats, pairs, problems, notes)
    in_a_row = _runs(seats, pairs, len(study.comparisons), problems)
    near = sum(_near_repeats(seat, pairs) for seat in study.seats)
    if near:
        notes.append(
            f"{near} times an item comes again within {ITEM_DISTANCE} trials; more items would "
            "avoid that"
        )
    position = _by_position(seats, pairs, study.comparisons)
    if position > (0 if len(study.seats) % len(study.comparisons) == 0 else 1):
        problems.append(f"at one place of the session the comparisons differ by {position} raters")
    kinds = Counter(trial.kind for seat in study.seats for trial in seat.trials)
    return {
        "raters": len(study.seats),
        "pairs": len(study.pairs),
        "trials_per_rater": max((len(seat.trials) for seat in study.seats), default=0),
        "trials_by_kind": dict(sorted(kinds.items())),
        "pairs_by_comparison": _count_pairs(study.pairs),
        "left_by_comparison": _sides_by_comparison(seats, pairs),
        "left_by_rater": left_by_rater,
        "left_by_pair": left_by_pair,
        "most_of_one_comparison_in_a_row": in_a_row,
        "items_again_within_5": near,
        "by_position": position,
        "catch_sides": _catch_sides(study.seats),
        "problems": problems,
        "notes": notes,
    }


def balance_table(balance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The counts as rows to print: what, how much."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in balance["trials_by_kind"].items())
    rows = [
        ("raters", str(balance["raters"])),
        ("trials per rater", str(balance["trials_per_rater"])),
        ("trials in all", kinds),
    ]
    for name, count in balance["pairs_by_comparison"].items():
        left, right = balance["left_by_comparison"].get(name, (0, 0))
        rows.append((name, f"{count} pairs, first system left {left} times, right {right} times"))
    rows += [
        ("left/right, worst rater", "/".join(map(str, balance["left_by_rater"]))),
        ("left/right, worst pair", "/".join(map(str, balance["left_by_pair"]))),
        ("item again within 5 trials", f"{balance['items_again_within_5']} times"),
        ("comparisons by position", f"differ by {balance['by_position']} at most"),
        ("intact side of late catches", "{left} left, {right} right".format(
            **balance["catch_sides"])),
    ]  # fmt: skip
    if len({name.rpartition(",")[0] for name in balance["pairs_by_comparison"]}) > 1:
        most = balance["most_of_one_comparison_in_a_row"]
        rows.append(("one comparison in a row", f"{most} at most"))
    rows += [("PROBLEM", text) for text in balance["problems"]]
    rows += [("note", text) for text in balance["notes"]]
    return rows


_ANSWERS: Final = {
    ("same", "same"): "tie",
    ("intact", "delayed"): "left",
    ("delayed", "intact"): "right",
}
Seats = Sequence[tuple[Seat, Sequence[Trial]]]
Pairs = Mapping[str, Pair]


def _name(pair: Pair) -> str:
    return f"{pair.system_a} vs {pair.system_b}, {pair.language}"


def _comparison(trial: Trial, pairs: Pairs) -> tuple[str, str]:
    pair = pairs[trial.pair_id]
    return pair.system_a, pair.system_b


def _is_left(trial: Trial, pairs: Pairs) -> bool:
    return trial.left == pairs[trial.pair_id].system_a


def _check_completeness(
    seat: Seat, main: Sequence[Trial], pairs: Pairs, problems: list[str]
) -> None:
    seen = Counter(trial.pair_id for trial in main)
    problems += [
        f"seat {seat.number} sees the pair {pair} {seen[pair]} times"
        for pair in sorted(pairs.keys() | seen.keys())
        if seen[pair] != 1
    ]


def _check_catches(seat: Seat, problems: list[str]) -> None:
    session = [trial for trial in seat.trials if trial.kind != "practice"]
    if any(trial.kind != "main" for trial in session[:FREE_OF_CATCH]):
        problems.append(f"seat {seat.number} has a catch trial among its first {FREE_OF_CATCH}")
    for trial in session:
        if trial.kind == "main":
            continue
        if _ANSWERS.get((trial.left, trial.right)) != trial.expected:
            problems.append(f"seat {seat.number}: catch trial {trial.index} expects a wrong answer")
    first_main = next((t.index for t in seat.trials if t.kind != "practice"), 0)
    if any(trial.kind == "practice" for trial in seat.trials[first_main:]):
        problems.append(f"seat {seat.number} has practice after the session began")


def _sides_by_rater(seats: Seats, pairs: Pairs, problems: list[str]) -> list[int]:
    """[left, right] of the rater who is worst off; also each comparison and language by itself."""
    worst = [0, 0]
    for seat, main in seats:
        left = sum(_is_left(trial, pairs) for trial in main)
        counts = [left, len(main) - left]
        if abs(counts[0] - counts[1]) >= abs(worst[0] - worst[1]):
            worst = counts
        if abs(counts[0] - counts[1]) > 1:
            problems.append(
                f"seat {seat.number} sees the first system {counts[0]} times on the left and "
                f"{counts[1]} times on the right"
            )
        for name in sorted({_name(pairs[trial.pair_id]) for trial in main}):
            own = [_is_left(t, pairs) for t in main if _name(pairs[t.pair_id]) == name]
            if abs(2 * sum(own) - len(own)) > 1:
                problems.append(
                    f"seat {seat.number} sees the first system of {name} on the left {sum(own)} "
                    f"times in {len(own)}"
                )
    return worst


def _sides_by_pair(seats: Seats, pairs: Pairs, problems: list[str], notes: list[str]) -> list[int]:
    left = Counter(t.pair_id for _, main in seats for t in main if _is_left(t, pairs))
    shown = Counter(t.pair_id for _, main in seats for t in main)
    worst = [0, 0]
    for pair, count in sorted(shown.items()):
        counts = [left[pair], count - left[pair]]
        if abs(counts[0] - counts[1]) >= abs(worst[0] - worst[1]):
            worst = counts
        if abs(counts[0] - counts[1]) > count % 2:
            problems.append(
                f"pair {pair} shows its first system {counts[0]} times on the left and {counts[1]} "
                "times on the right"
            )
    if len(seats) % 2:
        notes.append("with an odd number of raters no pair is shown both ways equally often")
    return worst


def _sides_by_comparison(seats: Seats, pairs: Pairs) -> dict[str, list[int]]:
    sides: dict[str, list[int]] = {}
    for _, main in seats:
        for trial in main:
            counts = sides.setdefault(_name(pairs[trial.pair_id]), [0, 0])
            counts[0 if _is_left(trial, pairs) else 1] += 1
    return dict(sorted(sides.items()))


def _runs(seats: Seats, pairs: Pairs, comparisons: int, problems: list[str]) -> int:
    most = 0
    for seat, main in seats:
        runs = [len(list(run)) for _, run in groupby(_comparison(t, pairs) for t in main)]
        most = max([most, *runs])
        if comparisons > 1 and max(runs, default=0) > MOST_IN_A_ROW:
            problems.append(f"seat {seat.number} sees one comparison {max(runs)} times in a row")
    return most


def _near_repeats(seat: Seat, pairs: Pairs) -> int:
    """How often an item comes again too soon, practice and catch trials counted as well."""
    items = [_item(trial, pairs) for trial in seat.trials]
    return sum(
        item in items[max(0, place - ITEM_DISTANCE) : place] for place, item in enumerate(items)
    )


def _item(trial: Trial, pairs: Pairs) -> str:
    if trial.kind == "main":
        return pairs[trial.pair_id].item_id
    return trial.pair_id.removeprefix(f"{trial.kind}__{trial.language}__")


def _by_position(seats: Seats, pairs: Pairs, comparisons: Sequence[tuple[str, str]]) -> int:
    worst = 0
    for place in range(max((len(main) for _, main in seats), default=0)):
        here = Counter(_comparison(main[place], pairs) for _, main in seats if place < len(main))
        counts = [here[comparison] for comparison in comparisons]
        worst = max(worst, max(counts) - min(counts))
    return worst


def _catch_sides(seats: Sequence[Seat]) -> dict[str, int]:
    expected = Counter(
        trial.expected for seat in seats for trial in seat.trials if trial.kind == "catch_desync"
    )
    return {side: expected[side] for side in ("left", "right")}


def _count_pairs(pairs: Sequence[Pair]) -> dict[str, int]:
    return dict(sorted(Counter(map(_name, pairs)).items()))
