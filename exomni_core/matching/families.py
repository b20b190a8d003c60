# SPDX-License-Identifier: GPL-3.0-or-later
"""A mesh's shape key names in; which naming family, and what each name means in it, out.

A name is looked up as it stands, without case and separators, and then without what surrounds it
(`Head.jawOpen`, `A25_Jaw_Open`, `facs_bs_MouthClose_div2`). What surrounds a name counts as such
when it is known, is the mesh's own name, or stands around three different names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.errors import InputError
from exomni_core.matching import tables, tables_units

MAX_NAME: Final = 255  # longer names are no shape keys of Blender's
_VOTES: Final = 3  # so many different names make an affix
_MAX_WORDS: Final = 24
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_KNOWN_AFFIX: Final = re.compile(
    r"(arkit|blendshapes?\d*|blend|shapes?|morphs?|target|mesh|head|face|body|key|bs|sk|exp"
    r"|expressions?|[at]\d\d|facs|ctrl|jnt|div2|genesis\w{1,8}|ccbasebody|vrc|\d+)*"
)
# `Eyes_Open` and `Eyes_Wide` are no mouths, however many of them there are.
_OTHER_PART: Final = re.compile(
    r"eyes?|eyelids?|lids?|brows?|eyebrows?|pupils?|iris|hair|ears?|nose|hands?|fingers?|arms?|legs?"
    r"|foot|feet|toes?|tail|wings?|chest|breasts?|belly|skirt|shirt|cloth(es)?|dress|coat"
)
# Around a bare vowel only these words say that a mouth is meant.
_MOUTH_AFFIX: Final = re.compile(r"(mouth|mth|lips?|vowels?|visemes?|phonemes?|vis|fcl)+")


@dataclass(frozen=True)
class Part:
    """A key's share: its squeezed name, its weight, and whether it may go below 0."""

    key: str
    weight: float = 1.0
    both_ways: bool = False


Words = tuple[str, ...]
Alternatives = tuple[tuple[Part, ...], ...]


@dataclass(frozen=True)
class Family:
    """How one kind of character names its keys.

    channels: ARKit channel -> alternatives, the best first; each is a sum of parts.
    visemes: viseme (see `stand_ins.VISEMES`) -> alternatives of one part each.
    mark: a pattern that only this kind's names show; it decides between equals.
    """

    id: str
    label: str
    channels: Mapping[str, Alternatives]
    visemes: Mapping[str, Alternatives]
    mark: str = ""


@dataclass(frozen=True)
class Reading:
    """What a mesh's names mean: squeezed meaning -> its key names that say so, best spelling first.

    The first is to be used, the others are duplicates. No name stands under two meanings.
    """

    keys: Mapping[str, tuple[str, ...]]

    def first(self, meaning: str) -> str | None:
        """The key to use for a meaning, or None."""
        return self.keys[meaning][0] if meaning in self.keys else None


def squeeze(name: str) -> str:
    """A name without case, width (`ＡＢ`, `ｱ`) and separators: `Eye_Blink.L` -> `eyeblinkl`."""
    return "".join(c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalnum())


def read_names(names: Sequence[str], mesh: str = "") -> Reading:
    """Find what each of a mesh's `names` means in any family; names of no meaning are left out."""
    known = _known_keys()
    found: dict[str, list[str]] = {}
    framed: dict[tuple[Words, Words], list[tuple[str, str]]] = {}  # frame -> (meaning, name)
    for name in names:
        if not 0 < len(name) <= MAX_NAME:
            continue
        squeezed = squeeze(name)
        if squeezed in known:
            found.setdefault(squeezed, []).append(name)
        elif inside := _inside(name, known):
            meaning, before, after = inside
            framed.setdefault(_unnumbered(before, after), []).append((meaning, name))
    for rows in found.values():
        rows.sort(key=lambda name: name not in CHANNEL_INDEX)  # stable: else in the mesh's order
    for (before, after), pairs in framed.items():
        votes = len({meaning for meaning, _ in pairs})
        for meaning, name in pairs:
            if _is_frame(before, after, meaning, votes, mesh):
                found.setdefault(meaning, []).append(name)
    return Reading({meaning: tuple(rows) for meaning, rows in found.items()})


def best_families(
    reading: Reading, names: Sequence[str]
) -> tuple[Family | None, Family | None, Family | None]:
    """(for channels, for visemes, to be named): the families that explain most; None for none."""

    def best(scores: Mapping[str, float]) -> Family | None:
        family = max(families(), key=lambda family: scores[family.id])  # the first of equals
        return family if scores[family.id] > 0 else None

    channels = {f.id: float(len(_meanings(f.channels) & reading.keys.keys())) for f in families()}
    visemes = {f.id: float(_visemes_found(f, reading)) for f in families()}
    total = {f.id: channels[f.id] + visemes[f.id] for f in families()}
    for family in families():
        if family.mark and total[family.id]:
            marked = sum(bool(re.search(family.mark, name)) for name in names)
            total[family.id] += 0.5 * (marked >= min(_VOTES, len(names)))
    return best(channels), best(visemes), best(total)


def family_by_id(family_id: str) -> Family:
    """The family called `family_id`; InputError with the ids there are."""
    for family in families():
        if family.id == family_id:
            return family
    known = ", ".join(family.id for family in families())
    raise InputError(f"there is no naming family {family_id!r}; there are {known}", field="family")


@cache
def families() -> tuple[Family, ...]:
    """All families, in the order in which equals are preferred."""
    t, u = tables, tables_units
    own = {name: f"{name} | {_short(name)}" for name in ARKIT_52}
    extra = _merge(own, t.ARKIT_EXTRA)
    rows: tuple[tuple[str, str, t.Table, t.Table, str], ...] = (
        ("arkit", "ARKit", extra, {}, ""),
        ("vowels", "Vowels (A E I O U)", {}, t.VOWEL_VISEMES, ""),
        ("plain", "Plain English", t.PLAIN, t.PLAIN_VISEMES, ""),
        ("oculus", "ARKit and Oculus visemes (Ready Player Me, MPFB)", extra, t.OCULUS_VISEMES, ""),
        ("unified", "Unified Expressions", _merge(t.UNIFIED_EXPRESSIONS, own), {}, ""),
        ("vrm", "VRM", _merge(own, t.VRM), t.VRM_VISEMES, ""),
        ("vroid", "VRoid", _merge(own, t.VROID), t.VROID_VISEMES, r"Fcl_"),
        ("cc_explus", "Character Creator (ExPlus)", own, t.CC_VISEMES, r"^[AT]\d\d_"),
        ("cc3", "Character Creator 3", t.CC3, t.CC_VISEMES, ""),
        ("cc4", "Character Creator 4", t.CC4, t.CC_VISEMES, ""),
        ("metahuman", "MetaHuman", t.METAHUMAN, {}, r"(?i)ctrl_expressions"),
        ("mpfb", "MPFB with Microsoft visemes", own, t.MICROSOFT_VISEMES, ""),
        ("makehuman", "MakeHuman face shapes", t.MAKEHUMAN, {}, ""),
        ("makehuman_units", "MakeHuman expression units", u.MAKEHUMAN_UNITS, {}, ""),
        ("meta", "Meta face tracking (FACS)", u.META_FACS, {}, ""),
        ("sranipal", "SRanipal (HTC)", u.SRANIPAL, {}, ""),
        ("unity_chan", "Unity-chan", u.UNITY_CHAN, u.UNITY_CHAN_VISEMES, r"(?i)(BLW|MTH)_"),
        ("daz_facs", "Daz Genesis 8.1 and 9", _merge(own, t.DAZ_FACS), {}, r"facs_"),
        ("daz_8", "Daz Genesis 3 and 8", t.DAZ_8, t.DAZ_8_VISEMES, r"eCTRL"),
        ("vrchat", "VRChat visemes", t.VRCHAT, t.VRCHAT_VISEMES, r"(?i)vrc[._]"),
        ("visemes", "Oculus visemes, bare", {}, t.BARE_VISEMES, ""),
        ("mmd", "MikuMikuDance", t.MMD, t.MMD_VISEMES, ""),
        ("rhubarb", "Rhubarb and Preston Blair (A to H, X)", {}, t.RHUBARB_VISEMES, ""),
    )
    return tuple(
        Family(key, label, _parsed(_sided(channels)), _parsed(visemes), mark)
        for key, label, channels, visemes, mark in rows
    )


def _inside(name: str, known: frozenset[str]) -> tuple[str, Words, Words] | None:
    """The longest run of a name's words that means something, with what stands around it."""
    words = [squeeze(word) for word in _WORD.findall(unicodedata.normalize("NFKC", name))]
    words = words[:_MAX_WORDS]
    runs = [
        (run, start, stop)
        for start in range(len(words))
        for stop in range(start + 1, len(words) + 1)
        if (run := "".join(words[start:stop])) in known
    ]
    if not runs:
        return None
    meaning, start, stop = max(runs, key=lambda row: len(row[0]))
    channels = _arkit_meanings()
    if any(run in channels and (b <= start or a >= stop) for run, a, b in runs):
        return None  # a corrective between two shapes, such as jawOpen_mouthClose
    return meaning, tuple(words[:start]), tuple(words[stop:])


def _unnumbered(before: Words, after: Words) -> tuple[Words, Words]:
    """What surrounds a meaning, without its number: `AK_25_JawOpen` stands as `AK_31_MouthLeft`."""
    return tuple(w for w in before if not w.isdigit()), tuple(w for w in after if not w.isdigit())


def _is_frame(before: Words, after: Words, meaning: str, votes: int, mesh: str) -> bool:
    """Whether the words around a meaning change nothing about it."""
    sides = ("".join(before), "".join(after))
    if len(meaning) <= 2:  # a bare vowel: `Hair_A` and `Hair_E` are no mouths
        return bool(_MOUTH_AFFIX.fullmatch(sides[0])) and not sides[1].strip("0123456789")
    if "".join(sides) == squeeze(mesh) or all(_KNOWN_AFFIX.fullmatch(side) for side in sides):
        return True
    elsewhere = any(_OTHER_PART.fullmatch(word) for word in (*before, *after))
    return votes >= _VOTES and (meaning in _arkit_meanings() or not elsewhere)


def _visemes_found(family: Family, reading: Reading) -> int:
    there = [
        part.key
        for row in family.visemes.values()
        if (part := next((p for (p, *_) in row if p.key in reading.keys), None))
    ]
    # One key called `A` says nothing; `A` and `O` do.
    return len(there) if len(there) > 1 or any(len(key) > 2 for key in there) else 0


def _meanings(rows: Mapping[str, Alternatives]) -> frozenset[str]:
    return frozenset(part.key for row in rows.values() for parts in row for part in parts)


@cache
def _known_keys() -> frozenset[str]:
    both = (rows for family in families() for rows in (family.channels, family.visemes))
    return frozenset().union(*(_meanings(rows) for rows in both))


@cache
def _arkit_meanings() -> frozenset[str]:
    return frozenset(squeeze(text) for name in ARKIT_52 for text in (name, _short(name)))


def _short(channel: str) -> str:
    """`eyeBlinkLeft` as `eyeBlinkL`; a channel without a side as it is."""
    for side in ("Left", "Right"):
        if channel.endswith(side):
            return channel[: -len(side)] + side[0]
    return channel


def _merge(first: tables.Table, then: tables.Table) -> dict[str, str]:
    """Two tables in one: what stands in `first` is preferred, `then` has the alternatives."""
    merged = dict(_sided(first))
    for channel, text in _sided(then).items():
        merged[channel] = f"{merged[channel]} | {text}" if channel in merged else text
    return merged


def _sided(table: tables.Table) -> dict[str, str]:
    """A table with its two-sided rows written out."""
    rows: dict[str, str] = {}
    for channel, text in table.items():
        if not channel.endswith("*"):
            rows[channel] = text
            continue
        for side in ("Left", "Right"):
            row = text.replace("{s}", side[0]).replace("{S}", side).replace("{l}", side.lower())
            rows[channel[:-1] + side] = row
    return rows


def _parsed(table: tables.Table) -> dict[str, Alternatives]:
    return {
        name: tuple(
            tuple(_part(part.strip()) for part in sum_of.split(" + "))
            for sum_of in text.split(" | ")
        )
        for name, text in table.items()
    }


def _part(text: str) -> Part:
    weight, star, key = text.rpartition("*")
    return Part(squeeze(key), float(weight) if star else 1.0, key.startswith("~"))
