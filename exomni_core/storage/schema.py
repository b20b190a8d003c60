# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data (JSON, TOML) in, frozen dataclasses out; each complaint names the file and the field.

A dataclass states what a file may hold: its annotations are the types, `Range`, `Must` and `By`
inside of `Annotated` are the limits. Unknown fields are refused, because a typing error that passes
for a default would change a result without a word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as type_hints

from exomni_core.errors import InputError

_T = TypeVar("_T")
_Hint = Any  # a type, as it stands behind the colon of a field


@dataclass(frozen=True)
class Place:
    """Where data comes from, for the sentences.

    name: the file, and the part of it where that has a name. prefix: the way to an inner object,
    such as `camera.`. folder: what relative paths start from. field: what an InputError's `field`
    is, if not the key. table: what the format calls an object. advice: what to do, behind each
    sentence.
    """

    name: str
    prefix: str = ""
    folder: Path = Path()
    field: str | None = None
    table: str = "an object"
    advice: str = ""

    def within(self, key: str) -> Place:
        """The place of the object under `key`."""
        return replace(self, prefix=f"{self.prefix}{key}.")

    def error(self, sentence: str, key: str) -> InputError:
        """An error about `key`: the file, the sentence, the advice."""
        advice = f"; {self.advice}" if self.advice else ""
        leaf = key.partition(".")[0].partition("[")[0]  # of `tones.lips` or `names[2]`
        return InputError(f"{self.name}{sentence}{advice}", field=self.field or leaf)

    def wrong(self, key: str, words: str, value: object) -> InputError:
        """The error "FILE: KEY must be WORDS, not VALUE"."""
        words = words.replace("an object", self.table)
        shown = "nothing" if value is None else f"{value!r:.40}"
        return self.error(f": {self.prefix}{key} must be {words}, not {shown}", key)


@dataclass(frozen=True)
class Range:
    """Limits of a number: from `least` to `most`, or `above` and `below` without the limit."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Whether `value` lies inside."""
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def words(self, kind: str) -> str:
        """`kind` with the limits, such as "a number from 0 to 1"."""
        told = (("from", self.least), ("above", self.above), ("to", self.most),
                ("below", self.below))  # fmt: skip
        limits = [f"{word} {limit}" for word, limit in told if limit is not None]
        return f"{kind} {' and '.join(limits)}".replace(" and to ", " to ")


@dataclass(frozen=True)
class Must:
    """Another test of a value. words: what a good value is, such as "an even number"."""

    holds: Callable[[Any], bool]
    words: str


@dataclass(frozen=True)
class By:
    """A function reads the value: (value, key, place) -> the field; raises `place.wrong(…)`."""

    read: Callable[[Any, str, Place], Any]
    words: str


@dataclass(frozen=True)
class Word:
    """A text that stands for the value None, such as "auto"."""

    text: str


AS_WRITTEN: Final = "as written"  # 30 stays a whole number in a float field, so hashes stay


def one_of(choices: tuple[str, ...]) -> Must:
    """A text that is one of these."""
    return Must(choices.__contains__, _told(choices))


FILLED: Final = Must(bool, "a text that is not empty")


def read(
    kind: type[_T],
    data: object,
    place: Place,
    given: Mapping[str, Any] | None = None,
    *,
    whole: bool = False,
) -> _T:
    """Plain data -> the dataclass `kind`.

    given: values of fields that the data may not hold. whole: fields with a default must be there
    too. Raises InputError for an object that is none, and an unknown, missing or wrong field.
    """
    given = given or {}
    of: Any = kind
    hints = hints_of(of, tuple(given))
    values = read_values(hints, data, place)
    for one in fields(kind):  # type: ignore[arg-type]
        has_default = one.default is not MISSING or one.default_factory is not MISSING
        if one.name in hints and one.name not in values and (whole or not has_default):
            words = _reader(hints[one.name]).words.replace("an object", place.table)
            raise place.error(f" lacks {place.prefix}{one.name}, {words}", one.name)
    return kind(**values, **given)


def read_values(hints: Mapping[str, _Hint], data: object, place: Place) -> dict[str, Any]:
    """The fields that are there, each as its hint says; InputError for unknown and wrong ones."""
    if not isinstance(data, dict):
        where = place.prefix[:-1]
        shown = f": {where}" if where else ""
        raise place.error(f"{shown} must be {place.table}, not {data!r:.40}", where or "config")
    for key in data:
        if key not in hints:
            raise place.error(
                f" has an unknown field {f'{place.prefix}{key}'!r:.60}; known are "
                f"{', '.join(hints)}",
                str(key),
            )
    return {
        key: _reader(hint).read(data[key], key, place) for key, hint in hints.items() if key in data
    }


@cache
def hints_of(kind: Any, but: tuple[str, ...] = ()) -> dict[str, _Hint]:
    """The annotations of a dataclass by field, without the fields `but`."""
    hints = type_hints(kind, include_extras=True)
    return {one.name: hints[one.name] for one in fields(kind) if one.name not in but}


# ------------------------------------------------------------------------- one reader for each hint


@dataclass(frozen=True)
class _Reader:
    """words: what a value must be; many: several of them. read: (value, key, place) -> value."""

    words: str
    many: str
    read: Callable[[Any, str, Place], Any]


@cache
def _reader(hint: _Hint) -> _Reader:
    """The reader of a field with that annotation; TypeError for one that no file can hold."""
    origin: Any = get_origin(hint)
    args = get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Annotated:
        return _limited(args[0], args[1:])
    if origin is Literal:
        return _choice(args)
    if origin in (Union, UnionType):
        return _either(tuple(_reader(arg) for arg in args if arg is not NoneType), NoneType in args)
    if origin is tuple and args[-1] is Ellipsis:
        return _list(_reader(args[0]))
    if origin is tuple:
        return _row(tuple(_reader(arg) for arg in args))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_reader(args[0]), _reader(args[1]))
    if is_dataclass(hint) and isinstance(hint, type):
        nested: type = hint
        return _Reader("an object", "objects", lambda v, k, p: read(nested, v, p.within(k)))
    raise TypeError(f"no file can hold {hint!r}")


def _plain(words: str, many: str, holds: Callable[[Any], bool], made: Any = None) -> _Reader:
    def read(value: Any, key: str, place: Place) -> Any:
        if not holds(value):
            raise place.wrong(key, words, value)
        return value if made is None else made(value)

    return _Reader(words, many, read)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_number(value: Any) -> bool:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    return good and math.isfinite(value)


def _read_path(value: Any, key: str, place: Place) -> Path:
    if not _is_text(value) or not value:
        raise place.wrong(key, "a path", value)
    return place.folder / Path(value).expanduser()


_PLAIN: Final[dict[_Hint, _Reader]] = {
    str: _plain("a text", "texts", _is_text),
    bool: _plain("true or false", "flags", lambda v: isinstance(v, bool)),
    int: _plain("a whole number", "whole numbers",
                lambda v: isinstance(v, int) and not isinstance(v, bool)),
    float: _plain("a number", "numbers", _is_number, float),
    dict: _plain("an object", "objects", lambda v: isinstance(v, dict)),
    Any: _plain("anything", "values", lambda _: True),
    Path: _Reader("a path", "paths", _read_path),
}  # fmt: skip


def _limited(hint: _Hint, limits: tuple[Any, ...]) -> _Reader:
    """`hint` with what `Annotated` says of it, one limit after another."""
    found = _reader(hint)
    for limit in limits:
        if isinstance(limit, By):
            found = _Reader(limit.words, limit.words, limit.read)
        elif isinstance(limit, Word):
            found = _either((found, _word(limit.text)), False)
        elif isinstance(limit, (Range, Must)):
            found = _checked(found, limit)
        elif limit == AS_WRITTEN:
            found = _plain(found.words, found.many, _is_number)
    return found


def _checked(inner: _Reader, limit: Range | Must) -> _Reader:
    """`inner` within a limit; its own complaints give way to one that tells the limit as well."""
    words = limit.words(inner.words) if isinstance(limit, Range) else limit.words
    many = limit.words(inner.many) if isinstance(limit, Range) else inner.many

    def read(value: Any, key: str, place: Place) -> Any:
        try:
            found = inner.read(value, key, place)
        except InputError as error:
            raise place.wrong(key, words, value) from error
        if found is not None and not limit.holds(found):
            raise place.wrong(key, words, value)
        return found

    return _Reader(words, many, read)


def _word(text: str) -> _Reader:
    """`text` reads as None."""
    return _plain(f'"{text}"', f'"{text}"', lambda value: value == text, lambda _: None)


def _choice(choices: tuple[Any, ...]) -> _Reader:
    words = _told(choices)
    return _plain(words, words, lambda value: isinstance(value, str) and value in choices)


def _either(kinds: tuple[_Reader, ...], may_be_none: bool) -> _Reader:
    words = " or ".join(kind.words for kind in kinds)

    def read(value: Any, key: str, place: Place) -> Any:
        if value is None and may_be_none:
            return None
        if len(kinds) == 1:
            return kinds[0].read(value, key, place)
        for kind in kinds:
            try:
                return kind.read(value, key, place)
            except InputError:
                continue
        raise place.wrong(key, words, value)

    return _Reader(words, " or ".join(kind.many for kind in kinds), read)


def _list(inner: _Reader) -> _Reader:
    words = f"a list of {inner.many}"

    def read(value: Any, key: str, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise place.wrong(key, words, value)
        return tuple(inner.read(one, f"{key}[{k}]", place) for k, one in enumerate(value))

    return _Reader(words, f"lists of {inner.many}", read)


def _row(kinds: tuple[_Reader, ...]) -> _Reader:
    """A list of so many values, each of its own kind."""
    alike = len({kind.words for kind in kinds}) == 1
    count = {2: "two", 3: "three"}.get(len(kinds), str(len(kinds)))
    words = f"{count} {kinds[0].many}" if alike else ", ".join(kind.words for kind in kinds)

    def read(value: Any, key: str, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or len(value) != len(kinds):
            raise place.wrong(key, words, value)
        try:
            return tuple(kind.read(one, key, place) for kind, one in zip(kinds, value, strict=True))
        except InputError as error:
            raise place.wrong(key, words, value) from error

    return _Reader(words, f"lists of {words}", read)


def _mapping(keys: _Reader, inner: _Reader) -> _Reader:
    words = "an object" if inner.words == "anything" else f"an object of {inner.many}"

    def read(value: Any, key: str, place: Place) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise place.wrong(key, words, value)
        for name in value:
            try:
                keys.read(name, key, place)
            except InputError as error:
                raise place.wrong(f"{key}.{name}", f"under {keys.words}", name) from error
        return {name: inner.read(one, f"{key}.{name}", place) for name, one in value.items()}

    return _Reader(words, "objects", read)


def _told(choices: tuple[Any, ...]) -> str:
    return "one of " + ", ".join(str(choice) or "''" for choice in choices)
