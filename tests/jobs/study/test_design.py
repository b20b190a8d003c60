# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sees what: sample, sides, order, catch trials, and the check that counts them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from exomni_core.errors import InputError
from render_jobs.study.making.balance import balance_table, check_balance
from render_jobs.study.making.design import (
    ItemChoice,
    catch_count,
    derived_random,
    fitting_count,
    make_design,
)
from render_jobs.study.making.ordering import williams_square
from render_jobs.study.plan import Pair, Seat, Stimulus, Study, Trial


def items(count, language="en"):
    return [ItemChoice(f"{language}_{k:03d}", language) for k in range(count)]


def stimulus(key):
    name = derived_random(0, key).randbytes(8).hex() + ".mp4"
    return Stimulus({"both": name}, 4000, 120, {"both": "0" * 64})


def as_study(design, comparisons, seed=0):
    """A design as a study whose videos are not there."""
    pairs = tuple(
        Pair(
            key,
            item.item_id,
            item.language,
            a,
            b,
            {side: stimulus(f"{key}/{side}") for side in ("AB", "BA")},
        )
        for key, (item, (a, b)) in design.main.items()
    )
    seats = tuple(
        Seat(
            r,
            tuple(
                Trial(
                    f"{r}-{i}",
                    i,
                    s.kind,
                    s.pair_id,
                    s.left,
                    s.right,
                    s.expected,
                    stimulus(s.show),
                    s.language,
                )
                for i, s in enumerate(spots)
            ),
        )
        for r, spots in enumerate(design.seats)
    )
    systems = {name: "" for pair in comparisons for name in pair}
    return Study(
        "t",
        seed,
        comparisons[0][0],
        systems,
        tuple(comparisons),
        ("en", "zh"),
        "composite",
        "shared",
        pairs,
        seats,
    )


def design_of(
    comparisons=(("ours", "x"),), count=20, seats=8, pool=None, seed=3, languages=("en",)
):
    pool = items(40) if pool is None else pool
    return make_design(pool, comparisons, count=count, seats=seats, languages=languages, seed=seed)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_williams_square_is_latin_and_balanced_for_carry_over(size):
    square = williams_square(size)
    both = [square] if size % 2 == 0 else [square, williams_square(size, mirrored=True)]
    for one in both:
        for line in [*one, *zip(*one, strict=True)]:
            assert sorted(line) == list(range(size))
    follows = Counter((a, b) for one in both for row in one for a, b in pairwise(row))
    assert len(follows) == size * (size - 1)
    assert len(set(follows.values())) <= 1


@pytest.mark.parametrize("others", [1, 2, 3, 4])
@pytest.mark.parametrize("seats", [1, 4, 7, 8])
@pytest.mark.parametrize("count", [1, 5, 6, 20])
def test_balance_has_no_problem_at_any_size(others, seats, count):
    comparisons = [("ours", f"x{k}") for k in range(others)]
    study = as_study(design_of(comparisons, count, seats), comparisons)
    balance = check_balance(study)
    assert balance["problems"] == []
    assert abs(balance["left_by_rater"][0] - balance["left_by_rater"][1]) <= 1
    if seats % 2 == 0:
        assert balance["left_by_pair"][0] == balance["left_by_pair"][1]
    if count == 20:
        assert balance["items_again_within_5"] == 0


def test_both_languages_are_balanced_by_themselves():
    pool = [*items(30), *items(30, "zh")]
    design = design_of(pool=pool, languages=("zh", "en"), count=21)
    study = as_study(design, [("ours", "x")])
    assert check_balance(study)["problems"] == []
    assert Counter(pair.language for pair in study.pairs) == {"zh": 11, "en": 10}


def test_target_is_left_iff_item_plus_seat_is_even():
    design = design_of(count=8, seats=5)
    number = {pair: k for k, pair in enumerate(design.main)}
    for r, seat in enumerate(design.seats):
        for spot in seat:
            if spot.kind == "main":
                assert (spot.left == "ours") == ((number[spot.pair_id] + r) % 2 == 0)


def test_catch_trials_are_spread_and_never_first():
    for count in (4, 11, 12, 20, 60):
        design = design_of(count=count, pool=items(90), seats=6)
        for seat in design.seats:
            assert [s.kind for s in seat[:2]] == ["practice"] * 2
            session = seat[2:]
            at = [k for k, spot in enumerate(session) if spot.kind != "main"]
            kinds = Counter(spot.kind for spot in session)
            assert kinds["catch_identical"] == kinds["catch_desync"] == catch_count(count)
            assert min(at) >= 2
            if count >= 12:  # one in each stretch
                assert max(b - a for a, b in pairwise(at)) <= 2 * len(session) / len(at)
            assert len({s.pair_id for s in session}) == len(session)


def test_catch_trials_are_about_a_tenth_of_long_sessions():
    assert [catch_count(n) for n in (1, 3, 4, 11, 12, 20, 40, 120)] == [0, 0, 1, 1, 2, 2, 2, 6]


def test_practice_and_catches_come_from_outside_the_sample_where_they_can():
    design = design_of(count=12, pool=items(20))
    sampled = {item.item_id for item, _ in design.main.values()}
    others = {s.item_id for seat in design.seats for s in seat if s.kind != "main"}
    assert not sampled & others
    assert design.notes == ()
    tight = design_of(count=10, pool=items(10))
    assert "only 1 catch trial of each kind" in tight.notes[0]
    assert "repeat items" in tight.notes[1]


def test_every_seat_has_its_own_order_and_the_seed_decides_it():
    design = design_of()
    orders = {tuple(s.pair_id for s in seat if s.kind == "main") for seat in design.seats}
    assert len(orders) == 8
    assert design == design_of()
    assert design.main != design_of(seed=4).main
    assert design_of(seats=4).seats == design.seats[:4]  # one more rater changes nobody's order


def test_as_many_items_as_the_languages_can_share():
    pool = [*items(7), *items(4, "zh")]
    assert fitting_count(pool, ("en",), 20) == 7
    assert fitting_count(pool, ("en", "zh"), 20) == 8
    assert fitting_count(pool, ("en", "zh"), 6) == 6
    assert fitting_count(pool, ("en", "fr"), 20) == 1


def test_too_few_items_is_one_sentence():
    with pytest.raises(InputError, match=r"only 5 items of language 'en'.*lower --n to 5"):
        design_of(count=20, pool=items(5))


def tampered(study, change):
    seat = study.seats[0]
    trials = change(list(seat.trials))
    trials = tuple(replace(t, index=i) for i, t in enumerate(trials))
    return replace(study, seats=(replace(seat, trials=trials), *study.seats[1:]))


def flip(trial, study):
    pair = study.pair(trial.pair_id)
    side = "AB" if trial.left == pair.system_b else "BA"
    return replace(trial, left=trial.right, right=trial.left, stimulus=pair.stimuli[side])


MUTATIONS = {
    "a pair left out": (lambda t, s: [x for x in t if x.pair_id != t[-1].pair_id], "0 times"),
    "a pair twice": (lambda t, s: [*t, next(x for x in t if x.kind == "main")], "2 times"),
    "sides not even": (
        lambda t, s: [flip(x, s) if x.kind == "main" and x.left != "ours" else x for x in t],
        "on the left",
    ),
    "catch first": (
        lambda t, s: sorted(t, key=lambda x: (x.kind != "practice", "catch" not in x.kind)),
        "catch trial among its first",
    ),
    "sorted by comparison": (
        lambda t, s: [*t[:2], *sorted((x for x in t[2:] if x.kind == "main"),
                                      key=lambda x: {x.left, x.right} == {"ours", "x"}),
                      *(x for x in t[2:] if x.kind != "main")],
        "in a row",
    ),
    "wrong answer expected": (
        lambda t, s: [replace(x, expected="left") if x.kind == "catch_identical" else x for x in t],
        "wrong answer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_check_balance_sees_what_is_broken(name):
    comparisons = [("ours", "x"), ("ours", "y")]
    study = as_study(design_of(comparisons, 12, 4), comparisons)
    assert check_balance(study)["problems"] == []
    change, words = MUTATIONS[name]
    problems = check_balance(tampered(study, lambda trials: change(trials, study)))["problems"]
    assert any(words in problem for problem in problems), problems


def test_language_imbalance_is_seen():
    pool = [*items(10), *items(10, "zh")]
    study = as_study(
        design_of(pool=pool, languages=("zh", "en"), count=12, seats=2), [("ours", "x")]
    )

    def one_language_left(trials):
        return [
            flip(t, study) if t.kind == "main" and (t.language == "zh") != (t.left == "ours") else t
            for t in trials
        ]

    problems = check_balance(tampered(study, one_language_left))["problems"]
    assert any("x, zh" in problem for problem in problems)


def test_the_table_names_the_counts():
    comparisons = [("ours", "x"), ("ours", "y")]
    table = dict(balance_table(check_balance(as_study(design_of(comparisons), comparisons))))
    assert table["ours vs x, en"] == "20 pairs, first system left 80 times, right 80 times"
    assert table["trials per rater"] == "46"
