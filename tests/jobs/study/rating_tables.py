# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up rating tables of any size, and their mirror images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from render_jobs.study.ratings import Rating


def rating(rater="R1", pair="a__b__en__1", response="left", a="a", b="b", flipped=False, **changes):
    """One main rating; `flipped` puts system b on the left."""
    left, right = (b, a) if flipped else (a, b)
    fields = {
        "rater_id": rater, "pair_id": pair, "item_id": pair.rpartition("__")[2], "language": "en",
        "system_a": a, "system_b": b, "shown_left": left, "shown_right": right,
        "response": response, "trial_kind": "main", "catch_expected": "", "trial_index": 0,
        "rt_ms": 9000, "video_ms": 8000, "submitted_at": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    return Rating(**(fields | changes))


def catch(rater, number, passed=True, kind="catch_identical"):
    expected = "tie" if kind == "catch_identical" else "left"
    wrong = "right"
    return rating(
        rater,
        f"{kind}__{number}",
        expected if passed else wrong,
        trial_kind=kind,
        catch_expected=expected,
        a="a",
        b="a+desync",
    )


def of_outcomes(table, target="a", other="b"):
    """Ratings from {pair: [win|tie|loss, ...]}; sides alternate from rater to rater."""
    rows = []
    for number, (pair, labels) in enumerate(table.items()):
        for seat, label in enumerate(labels):
            flipped = (seat + number) % 2 == 1
            side = {"win": "right" if flipped else "left", "loss": "left" if flipped else "right"}
            rows.append(
                rating(
                    f"R{seat + 1}",
                    f"{target}__{other}__en__{pair}",
                    side.get(label, "tie"),
                    a=target,
                    b=other,
                    flipped=flipped,
                    trial_index=number,
                )
            )
    return rows


def made_up(
    seed=0,
    systems=("a", "b", "c"),
    raters=6,
    items=8,
    languages=("en", "zh"),
    missing=0.05,
    tie=0.1,
    strengths=None,
    catches=2,
):
    """A whole study: every rater judges every pair; some answers are missing, some corrected."""
    rng = np.random.default_rng(seed)
    strength = strengths or {name: 0.4 * (len(systems) - n) for n, name in enumerate(systems)}
    rows = []
    for seat in range(raters):
        who, place = f"R{seat + 1:02d}", 0
        for left_out, a in enumerate(systems):
            for b in systems[left_out + 1 :]:
                for language in languages:
                    for item in range(items):
                        flipped = bool((seat + item) % 2)
                        chance = 1 / (1 + np.exp(strength[b] - strength[a] + rng.normal(0, 0.8)))
                        draw = rng.random()
                        win = rng.random() < chance
                        response = "tie" if draw < tie else "left" if win != flipped else "right"
                        response = "" if rng.random() < missing else response
                        row = rating(
                            who,
                            f"{a}__{b}__{language}__{item}",
                            response,
                            a,
                            b,
                            flipped,
                            item_id=f"{language}_{item}",
                            language=language,
                            trial_index=place,
                            rt_ms=int(rng.integers(7900, 20000)),
                            submitted_at=f"2026-01-01T10:{place // 60:02d}:{place % 60:02d}.000Z",
                        )
                        place += 1
                        rows.append(row)
                        if rng.random() < 0.03:  # corrected; the later answer stands above
                            later = row.submitted_at.replace("T10", "T11")
                            rows.insert(
                                int(rng.integers(len(rows))),
                                replace(row, response="tie", submitted_at=later),
                            )
        rows += [catch(who, number, passed=seat != 1) for number in range(catches)]
    return rows


def sides_flipped(rows):
    """The same judgements with every pair of videos swapped on the screen."""
    other = {"left": "right", "right": "left"}
    return [
        replace(
            row,
            shown_left=row.shown_right,
            shown_right=row.shown_left,
            response=other.get(row.response, row.response),
            catch_expected=other.get(row.catch_expected, row.catch_expected),
        )
        for row in rows
    ]


def relabelled(rows, names):
    """The same judgements under other names of the systems."""
    columns = ("system_a", "system_b", "shown_left", "shown_right")
    return [
        replace(row, **{c: names.get(getattr(row, c), getattr(row, c)) for c in columns})
        for row in rows
    ]
