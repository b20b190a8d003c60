# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data in, dataclasses out: what is read, and what each complaint says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from exomni_core.errors import InputError
from exomni_core.storage.documents import check_version, read_json, read_toml
from exomni_core.storage.schema import (
    AS_WRITTEN,
    FILLED,
    By,
    Must,
    Place,
    Range,
    Word,
    one_of,
    read,
)


def _doubled(value: Any, key: str, place: Place) -> int:
    if not isinstance(value, int):
        raise place.wrong(key, "a number to double", value)
    return 2 * value


@dataclass(frozen=True)
class Wheel:
    size: Annotated[float, Range(above=0, below=3)]
    spokes: int = 0


@dataclass(frozen=True)
class Cart:
    name: Annotated[str, FILLED]
    wheels: tuple[Wheel, ...]
    kind: Literal["", "hand", "ox"] = ""
    wood: Annotated[str, one_of(("oak", "ash"))] = "oak"
    colour: tuple[Annotated[float, AS_WRITTEN], float, float] = (0.0, 0.0, 0.0)
    load: Annotated[float | None, Range(0, 9), Word("auto")] = None
    seats: Annotated[int, Must(lambda n: n % 2 == 0, "an even number")] = 0
    twice: Annotated[int, By(_doubled, "a number to double")] = 0
    covered: bool = False
    place: Path = Path()
    owners: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[Literal["axle", "bed"], str | tuple[str, ...]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


PLACE = Place("cart.json", folder=Path("/carts"))
PLAIN = {"name": "a", "wheels": [{"size": 1}]}


def cart(**more: Any) -> Cart:
    return read(Cart, PLAIN | more, PLACE)


def test_a_whole_object():
    found = cart(
        wheels=[{"size": 1}, {"size": 2.5, "spokes": 8}],
        kind="ox",
        wood="ash",
        colour=[1, 1, 0],
        load="auto",
        seats=4,
        twice=3,
        covered=True,
        place="shed",
        owners={"first": "b"},
        parts={"axle": "iron", "bed": ["x", "y"]},
        notes={"n": [1, None]},
    )
    assert found == Cart(
        "a",
        (Wheel(1.0), Wheel(2.5, 8)),
        "ox",
        "ash",
        (1, 1.0, 0.0),
        None,
        4,
        6,
        True,
        Path("/carts/shed"),
        {"first": "b"},
        {"axle": "iron", "bed": ("x", "y")},
        {"n": [1, None]},
    )
    assert isinstance(found.wheels[0].size, float)
    assert isinstance(found.colour[0], int)  # as written
    assert cart(load=None).load is None


WRONG = {
    "no text": ({"name": 3}, "name must be a text that is not empty, not 3", "name"),
    "empty": ({"name": ""}, "name must be a text that is not empty, not ''", "name"),
    "a null character": ({"owners": {"x": "a\0"}}, "owners.x must be a text", "owners"),
    "no list": ({"wheels": "round"}, "wheels must be a list of objects, not 'round'", "wheels"),
    "inside a list": ({"wheels": [{"size": 1}, {"size": 3}]},
                      "wheels[1].size must be a number above 0 and below 3, not 3", "size"),
    "missing inside": ({"wheels": [{}]},
                       " lacks wheels[0].size, a number above 0 and below 3", "size"),
    "unknown inside": ({"wheels": [{"size": 1, "rim": 1}]},
                       " has an unknown field 'wheels[0].rim'; known are size, spokes", "rim"),
    "unknown": ({"whels": []}, " has an unknown field 'whels'; known are name, wheels", "whels"),
    "infinite": ({"load": float("inf")}, 'load must be a number from 0 to 9 or "auto"', "load"),
    "true as a number": ({"seats": True}, "seats must be an even number, not True", "seats"),
    "odd": ({"seats": 3}, "seats must be an even number, not 3", "seats"),
    "a choice": ({"kind": "dog"}, "kind must be one of '', hand, ox, not 'dog'", "kind"),
    "a named choice": ({"wood": "fir"}, "wood must be one of oak, ash, not 'fir'", "wood"),
    "too short": ({"colour": [1, 2]}, "colour must be three numbers, not [1, 2]", "colour"),
    "a key": ({"parts": {"roof": "x"}}, "parts.roof must be under one of axle, bed", "parts"),
    "neither": ({"parts": {"bed": 3}}, "parts.bed must be a text or a list of texts", "parts"),
    "by a function": ({"twice": "x"}, "twice must be a number to double, not 'x'", "twice"),
    "a flag": ({"covered": 1}, "covered must be true or false, not 1", "covered"),
    "no object": ({"notes": []}, "notes must be an object, not []", "notes"),
    "null": ({"seats": None}, "seats must be an even number, not nothing", "seats"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_fault_names_file_and_field(name):
    more, told, key = WRONG[name]
    with pytest.raises(InputError) as caught:
        cart(**more)
    assert str(caught.value).startswith("cart.json")
    assert told in str(caught.value)
    assert caught.value.field == key


def test_what_a_place_adds_to_the_sentence():
    place = Place("cart.toml: [cart]", field="config", table="a table", advice="see the manual")
    with pytest.raises(InputError) as caught:
        read(Cart, {**PLAIN, "notes": 3}, place)
    assert str(caught.value) == "cart.toml: [cart]: notes must be a table, not 3; see the manual"
    assert caught.value.field == "config"
    with pytest.raises(InputError, match=r"\[cart\] must be a table, not \[\]; see"):
        read(Cart, [], place)


def test_given_fields_and_whole_files():
    assert read(Cart, {"wheels": []}, PLACE, {"name": "b"}).name == "b"
    with pytest.raises(InputError, match="unknown field 'name'"):
        read(Cart, PLAIN, PLACE, {"name": "b"})
    with pytest.raises(InputError, match="lacks spokes, a whole number"):
        read(Wheel, {"size": 1}, PLACE, whole=True)


def test_a_type_that_no_file_can_hold_is_a_fault_of_ours():
    @dataclass(frozen=True)
    class Odd:
        when: complex

    with pytest.raises(TypeError, match="no file can hold"):
        read(Odd, {"when": 1}, PLACE)


@pytest.mark.parametrize("data", [[], {}, {"schema_version": "1"}, {"schema_version": True}])
def test_a_version_must_be_there(data):
    with pytest.raises(InputError, match='lacks "schema_version": 2'):
        check_version(data, 2, PLACE, "the program")


def test_a_newer_version_asks_for_an_update():
    check_version({"schema_version": 2}, 2, PLACE, "the program")
    with pytest.raises(InputError, match=r"newer version \(schema 3; .* update the program"):
        check_version({"schema_version": 3}, 2, PLACE, "the program")


def test_files_are_bounded_and_faults_tell_the_line(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(InputError, match=r"a\.json can't be read \(No such file.*; do that"):
        read_json(path, advice="do that")
    path.write_text("{\n  3")
    with pytest.raises(InputError, match=r"broken JSON \(.*line 2 column 3.*; do that"):
        read_json(path, advice="do that")
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match="broken JSON"):
        read_json(path, advice="do that")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="no UTF-8 text"):
        read_toml(path, advice="do that")
    path.write_text("a = \n")
    with pytest.raises(InputError, match=r"broken TOML \(.*line 1") as caught:
        read_toml(path, advice="do that")
    assert caught.value.field == "config"
    path.write_text(" " * 3_000_000)
    with pytest.raises(InputError, match="larger than 2 MB"):
        read_json(path, advice="do that", most=2 << 20)
