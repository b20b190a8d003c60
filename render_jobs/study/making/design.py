# SPDX-License-Identifier: GPL-3.0-or-later
"""Items, comparisons and a seed in; who sees what, on which side, in which order, out. Pure.

The rules: a seeded sample, the target on each side half of the time for every
rater and every pair, comparisons balanced over the session by a Latin square, catch trials spread
out. Nothing here looks at a video.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from exomni_core.errors import InputError
from render_jobs.study.making.ordering import ITEM_DISTANCE, main_order
from render_jobs.study.plan import TrialKind

PRACTICE_TRIALS: Final = 2
CATCH_SHARE: Final = 0.05  # of the main trials, for each of the two kinds: together about 10 %
CATCH_EACH: Final = 2  # at least, where there are trials enough to hide them
FEW_TRIALS: Final = 12  # fewer main trials than this hold one catch trial of each kind
TINY_TRIALS: Final = 4  # fewer than this hold none
FREE_OF_CATCH: Final = 2  # main trials at the start
Delay = Literal["", "left", "right"]
Comparison = tuple[str, str]


@dataclass(frozen=True)
class ItemChoice:
    """An item that both sides of every comparison hold."""

    item_id: str
    language: str


@dataclass(frozen=True)
class Show:
    """One video to make of two systems; `delay`: the side whose face comes late.

    group: what the shows of one pair have in common; their files must be alike in size.
    """

    key: str
    group: str
    item: ItemChoice
    left: str
    right: str
    delay: Delay = ""


@dataclass(frozen=True)
class Spot:
    """One place in a rater's session; `show` is the key of what is shown there."""

    kind: TrialKind
    pair_id: str
    item_id: str
    language: str
    left: str
    right: str
    expected: str
    show: str


@dataclass(frozen=True)
class Design:
    """What to make and who sees it. main: by pair id, (item, comparison); notes: for the user."""

    main: Mapping[str, tuple[ItemChoice, Comparison]]
    shows: tuple[Show, ...]
    seats: tuple[tuple[Spot, ...], ...]
    notes: tuple[str, ...] = ()


def derived_random(seed: int, *purpose: object) -> random.Random:
    """A generator of its own for each purpose, so that one more rater changes no other's order."""
    text = "/".join(map(str, (seed, *purpose)))
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))  # noqa: S311


def sample_items(
    eligible: Sequence[ItemChoice], count: int, languages: Sequence[str], seed: int
) -> list[ItemChoice]:
    """Draw `count` items, as many of each language as the numbers allow; one language's together,
    so that sides that alternate over the items also alternate within each language.

    Raises InputError when a language has too few.
    """
    drawn: list[ItemChoice] = []
    for number, language in enumerate(languages):
        wanted = count // len(languages) + (number < count % len(languages))
        pool = sorted((i for i in eligible if i.language == language), key=lambda i: i.item_id)
        if len(pool) < wanted:
            raise InputError(
                f"only {len(pool)} items of language {language!r} can be used, but {wanted} are "
                f"wanted; lower --n to {len(pool) * len(languages)} or render more",
                field="n",
            )
        derived_random(seed, "sample", language).shuffle(pool)
        drawn += pool[:wanted]
    return drawn


def fitting_count(eligible: Sequence[ItemChoice], languages: Sequence[str], most: int) -> int:
    """The greatest number of items, up to `most`, that all languages can share evenly; at least 1.

    A language without any items counts as one that lacks them: `sample_items` then says so.
    """
    least = min(sum(item.language == language for item in eligible) for language in languages)
    return max(1, min(most, least * len(languages)))


def make_design(
    eligible: Sequence[ItemChoice],
    comparisons: Sequence[Comparison],
    *,
    count: int,
    seats: int,
    languages: Sequence[str],
    seed: int,
) -> Design:
    """The whole plan of a study with `count` items and `seats` raters; InputError.

    eligible: items that every system of `comparisons` holds. In a comparison (a, b), `a` is the
    one whose side is balanced: the target, where it takes part.
    """
    if count < 1 or seats < 1 or not comparisons:
        raise InputError("a study needs at least one item, one rater and two systems", field="n")
    items = sample_items(eligible, count, languages, seed)
    spare = sorted(set(eligible) - set(items), key=lambda i: i.item_id)
    spare = [i for i in spare if i.language in languages]
    derived_random(seed, "spare").shuffle(spare)
    main = {pair_id(a, b, item): (item, (a, b)) for a, b in comparisons for item in items}
    catches, practice, notes = _extras(items, spare, comparisons, len(main))
    shows = [
        show
        for item, (a, b) in [*main.values(), *practice]
        for show in _both_ways(pair_id(a, b, item), item, a, b)
    ]
    for kind, item, system in catches:
        shows += _catch_shows(kind, item, system)
    made = tuple(_seat(r, items, comparisons, catches, practice, seed) for r in range(seats))
    unique = {show.key: show for show in shows}
    return Design(main, tuple(unique.values()), made, tuple(notes))


def pair_id(a: str, b: str, item: ItemChoice) -> str:
    """`<a>__<b>__<language>__<item>`, as rating tables name a pair."""
    return f"{a}__{b}__{item.language}__{item.item_id}"


def catch_count(main_trials: int) -> int:
    """How many catch trials of each of the two kinds a session of that many main trials holds."""
    if main_trials < TINY_TRIALS:
        return 0
    if main_trials < FEW_TRIALS:
        return 1
    return max(CATCH_EACH, round(main_trials * CATCH_SHARE))


Catch = tuple[Literal["catch_identical", "catch_desync"], ItemChoice, str]
Practice = tuple[ItemChoice, Comparison]


def _extras(
    items: Sequence[ItemChoice],
    spare: Sequence[ItemChoice],
    comparisons: Sequence[Comparison],
    main_trials: int,
) -> tuple[list[Catch], list[Practice], list[str]]:
    """Catch and practice trials, from items outside the sample where there are enough."""
    notes = []
    each = min(catch_count(main_trials), len(items) + len(spare))
    systems = list(dict.fromkeys(system for pair in comparisons for system in pair))
    wanted = PRACTICE_TRIALS + 2 * each
    if each < CATCH_EACH:
        held = f"only {each} catch trial of each kind" if each else "no catch trials"
        notes.append(
            f"a session of {main_trials} trials holds {held}, so a rater who only clicks may pass"
        )
    if len(spare) < wanted:
        notes.append(
            f"{len(spare) or 'no'} items are left outside the sample where {wanted} would serve "
            "for practice and catch trials; these repeat items of the sample"
        )
    # Practice first: its videos must not be met again. Then the sample from its end, over again.
    supply = [*spare, *reversed(items)]
    while len(supply) < wanted:
        supply += supply
    different = list(dict.fromkeys(supply[:PRACTICE_TRIALS]))
    practice = [(item, comparisons[k % len(comparisons)]) for k, item in enumerate(different)]
    catches: list[Catch] = []
    kinds: tuple[Literal["catch_identical", "catch_desync"], ...] = (
        "catch_identical",
        "catch_desync",
    )
    for k in range(2 * each):
        item = supply[PRACTICE_TRIALS + k]
        if (kinds[k % 2], item) in [(kind, i) for kind, i, _ in catches]:
            continue  # a rater can't answer one catch trial twice
        catches.append((kinds[k % 2], item, systems[k // 2 % len(systems)]))
    return catches, practice, notes


def _both_ways(pair: str, item: ItemChoice, a: str, b: str) -> list[Show]:
    return [Show(f"{pair}/AB", pair, item, a, b), Show(f"{pair}/BA", pair, item, b, a)]


def _catch_shows(kind: str, item: ItemChoice, system: str) -> list[Show]:
    key = f"{kind}/{system}/{item.language}/{item.item_id}"
    if kind == "catch_identical":
        return [Show(key, key, item, system, system)]
    return [
        Show(f"{key}/left", key, item, system, system, "left"),
        Show(f"{key}/right", key, item, system, system, "right"),
    ]


def _seat(
    number: int,
    items: Sequence[ItemChoice],
    comparisons: Sequence[Comparison],
    catches: Sequence[Catch],
    practice: Sequence[Practice],
    seed: int,
) -> tuple[Spot, ...]:
    """The session of rater `number`: practice, then main trials with catch trials among them."""
    chance = derived_random(seed, "seat", number)
    spots = [
        _main_spot(items[k], k, comparisons[c], c, number)
        for k, c in main_order(len(items), len(comparisons), number, chance)
    ]
    spots = _with_catches(spots, catches, number, chance)
    first = [
        _main_spot(item, k, pair, 0, number, kind="practice")
        for k, (item, pair) in enumerate(practice)
    ]
    return (*first, *spots)


def _main_spot(
    item: ItemChoice,
    k: int,
    comparison: Comparison,
    c: int,
    seat: int,
    kind: TrialKind = "main",
) -> Spot:
    a, b = comparison
    # Item k, seat r: the target stands on the left iff k + r is even. Adding the comparison's
    # number keeps an item from showing the target on the same side in all its comparisons.
    a_left = (k + seat + c) % 2 == 0
    pair = pair_id(a, b, item)
    left, right = (a, b) if a_left else (b, a)
    show = f"{pair}/{'AB' if a_left else 'BA'}"
    named = f"practice__{item.language}__{item.item_id}" if kind == "practice" else pair
    return Spot(kind, named, item.item_id, item.language, left, right, "", show)


def _with_catches(
    spots: Sequence[Spot], catches: Sequence[Catch], seat: int, chance: random.Random
) -> list[Spot]:
    """Put one catch trial into each of as many equal stretches of the session."""
    order = list(range(len(catches)))
    chance.shuffle(order)
    stretch = (len(spots) - FREE_OF_CATCH + 1) / max(1, len(order))
    after: dict[int, list[Spot]] = {}
    for slot, number in enumerate(order):
        spot = _catch_spot(catches[number], number, seat)
        low = FREE_OF_CATCH + int(slot * stretch)
        high = max(low + 1, FREE_OF_CATCH + int((slot + 1) * stretch))
        choices = list(range(low, min(high, len(spots) + 1)))
        chance.shuffle(choices)
        place = max(choices, key=lambda p: _room(spots, p, spot.item_id))
        after.setdefault(place, []).append(spot)
    result: list[Spot] = []
    for place in range(len(spots) + 1):
        result += after.get(place, [])
        result += spots[place : place + 1]
    return result


def _room(spots: Sequence[Spot], place: int, item_id: str) -> int:
    """How many trials away the same item is, ITEM_DISTANCE + 1 at most."""
    gaps = [
        place - i if i < place else i - place + 1
        for i, spot in enumerate(spots)
        if spot.item_id == item_id
    ]
    return min([*gaps, ITEM_DISTANCE + 1])


def _catch_spot(catch: Catch, number: int, seat: int) -> Spot:
    kind, item, system = catch
    key = f"{kind}/{system}/{item.language}/{item.item_id}"
    named = f"{kind}__{item.language}__{item.item_id}"
    if kind == "catch_identical":
        return Spot(kind, named, item.item_id, item.language, "same", "same", "tie", key)
    late_left = (number // 2 + seat) % 2 == 0
    sides = ("delayed", "intact") if late_left else ("intact", "delayed")
    expected, late = ("right", "left") if late_left else ("left", "right")
    return Spot(kind, named, item.item_id, item.language, *sides, expected, f"{key}/{late}")
