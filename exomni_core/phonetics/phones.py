# SPDX-License-Identifier: GPL-3.0-or-later
"""A speech sound (IPA) in -> its mouth poses out; and IPA <-> ARPAbet for the English recogniser.

The poses stand in visemes.csv beside this file: phonetic judgement at conversational effort, one
row a pose with all 52 channels, and rows that chain two poses (diphthongs).
"""

from __future__ import annotations

import csv
import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError

_TABLE: Final = Path(__file__).with_name("visemes.csv")
# A table is known by the hash of the first file that held it: engine versions and clips carry that
# name, and a file that gives the same faces must not make finished clips out of date. This file
# took numbers over that had stood in the code (column `limits`) and got a row of its own for β; it
# moves the face as the one before it did but for β, and clips with a β carry a fact of their own
# (`exomni_core.voices.espeak_symbols`). Any further change of the file gives it a hash of its own:
# then delete the line.
_SAME_TABLE: Final = {
    "331f8a6dfa07e6349e6a8812771c274ce921fd485f8369dbcb94c707c640f78a": (
        "25196917fe8300a0fc2cb717ec07fa55b07f9d03c6b26eedecefc75e0c1e7ca9"
    ),
}
SILENCE: Final = "sil"
# Stress, length, diacritics and tie bars do not change the mouth; U+0329 and U+032A may (apical i).
_IGNORED: Final = re.compile("[ˈˌːˑ\u0303\u031e\u032f\u0308ʲᵝ\\-0-9\u0361;|_ ]")
_IGNORED_LATE: Final = re.compile("[\u0329\u032a\u030d\u0325\u0320\u031f\u0306ˤˠʷʰ.:]")


@dataclass(frozen=True, eq=False)
class Viseme:
    """A mouth pose and how strongly and how long it pulls on its neighbours.

    target: (52,) float32 in [0, 1], by ARKIT_52. dominance: for (jaw, lips, rounding), 0 to 1.
    attack_s, release_s: how far the pull reaches before and after the sound. lead_s: how much
    earlier the rounding starts. constraint: "", lips_closed, lower_lip_tuck, jaw_low, ...
    least, most: what a channel reaches at least, or may reach at most, while the sound lasts,
    whatever blending gives; by index in ARKIT_52.
    group: one of 13 viseme groups (PP, FF, TH, DD, KK, CH, SS, RR, AA, EE, II, OO, UU) or "sil".
    """

    key: str
    group: str
    target: FloatArray
    dominance: tuple[float, float, float]
    attack_s: float
    release_s: float
    lead_s: float
    constraint: str
    least: Mapping[int, float]
    most: Mapping[int, float]


@dataclass(frozen=True, eq=False)
class VisemeTable:
    """All poses by key, and chains of poses by IPA symbol.

    sha256: the table's name: the hash of the first file that gave these faces.
    """

    visemes: Mapping[str, Viseme]
    chains: Mapping[str, tuple[tuple[str, float, float], ...]]
    sha256: str


@functools.cache
def viseme_table() -> VisemeTable:
    """The table that moves the face: visemes.csv, read once in a process."""
    return read_viseme_table(_TABLE)


def read_viseme_table(path: Path) -> VisemeTable:
    """Read a table; raises InputError if a row's limits can't be read."""
    raw = path.read_bytes()
    visemes: dict[str, Viseme] = {}
    chains: dict[str, tuple[tuple[str, float, float], ...]] = {}
    for row in csv.DictReader(raw.decode("utf-8").splitlines()):
        if row["sequence"]:
            first, second, split = re.split("[>@]", row["sequence"])
            chain: tuple[tuple[str, float, float], ...] = (
                (first, 0.0, float(split)),
                (second, float(split), 1.0),
            )
        else:
            visemes[row["key"]] = _viseme(row)
            chain = ((row["key"], 0.0, 1.0),)
        for symbol in row["ipa"].split():
            chains[symbol] = chain
    chains["r"] = chains["l"]  # the trilled r of Spanish or Russian is not the English one
    chains["g"] = chains["ɡ"]
    sha256 = hashlib.sha256(raw).hexdigest()
    return VisemeTable(visemes, chains, _SAME_TABLE.get(sha256, sha256))


def poses_of(symbol: str, table: VisemeTable | None = None) -> tuple[tuple[str, float, float], ...]:
    """The poses of an IPA symbol: (viseme key, from, to) with from and to in [0, 1] of its time.

    table: None is the usual one.

    Takes espeak-ng's spellings: stress and length marks, the ASCII `h` of Mandarin aspiration
    (`th`, `tɕh`), its retroflex dot (`s.`) and fused finals (`iɛ`, `onɡ`). An unknown symbol is
    read sign by sign; one of which nothing is known counts as a neutral vowel.
    """
    return _poses(symbol, table or viseme_table())


@functools.lru_cache(maxsize=2048)
def _poses(symbol: str, table: VisemeTable) -> tuple[tuple[str, float, float], ...]:
    chains = table.chains
    bare = _IGNORED.sub("", symbol)
    if not bare.strip("_:."):
        return ((SILENCE, 0.0, 1.0),)
    for candidate in (bare, *_plainer(bare)):
        if candidate in chains:
            return chains[candidate]
    known: list[str] = []
    for sign in _plainer(bare)[-1]:
        if sign in chains and (not known or known[-1] != chains[sign][0][0]):
            known.append(chains[sign][0][0])
    known = known or ["ax"]
    count = len(known)
    return tuple((key, k / count, (k + 1) / count) for k, key in enumerate(known))


def _plainer(bare: str) -> tuple[str, ...]:
    """Ever simpler spellings: without aspiration, then without any diacritic."""
    without_h = bare[:-1] if len(bare) > 1 and bare.endswith("h") else bare
    return without_h, _IGNORED_LATE.sub("", without_h)


def is_closure(symbol: str) -> bool:
    """True for p, b, m in any language: sounds for which the lips must meet."""
    visemes = viseme_table().visemes
    return any(visemes[key].constraint == "lips_closed" for key, _, _ in poses_of(symbol))


def is_vowel(symbol: str) -> bool:
    """True if the sound opens the mouth at its middle."""
    key = next(k for k, a, b in poses_of(symbol) if a <= 0.5 <= b)
    return viseme_table().visemes[key].group in ("AA", "EE", "II", "OO", "UU") and key not in (
        "w", "hu", "y",
    )  # fmt: skip


def _viseme(row: Mapping[str, str]) -> Viseme:
    target = np.array([float(row[name]) for name in ARKIT_52], np.float32)
    target.flags.writeable = False
    least, most = _limits(row)
    return Viseme(
        key=row["key"],
        group=row["viseme14"],
        target=target,
        dominance=(float(row["jaw_dom"]), float(row["lip_dom"]), float(row["round_dom"])),
        attack_s=float(row["attack_ms"]) / 1000.0,
        release_s=float(row["release_ms"]) / 1000.0,
        lead_s=float(row["lead_ms"]) / 1000.0,
        constraint=row["hard_constraint"],
        least=least,
        most=most,
    )


def _limits(row: Mapping[str, str]) -> tuple[dict[int, float], dict[int, float]]:
    """`mouthRollLower>=0.4 jawOpen<=0.14` -> what channels reach at least, and at most."""
    least: dict[int, float] = {}
    most: dict[int, float] = {}
    for limit in row["limits"].split():
        found = re.fullmatch(r"(\w+)([<>])=(\d*\.?\d+)", limit)
        if found is None or found[1] not in CHANNEL_INDEX:
            raise InputError(
                f"the row {row['key']} of the viseme table has the limit {limit!r}; write limits "
                "such as mouthRollLower>=0.4, with a blank between two",
                field="limits",
            )
        (least if found[2] == ">" else most)[CHANNEL_INDEX[found[1]]] = float(found[3])
    return least, most


# The 39 phones of the CMU dictionary -> IPA.
ARPABET_TO_IPA: Final[dict[str, str]] = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "B": "b", "CH": "tʃ",
    "D": "d", "DH": "ð", "EH": "ɛ", "ER": "ɜ", "EY": "eɪ", "F": "f", "G": "ɡ", "HH": "h",
    "IH": "ɪ", "IY": "i", "JH": "dʒ", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ",
    "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ",
    "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ", "SIL": "",
}  # fmt: skip

# IPA -> the nearest phone of the English model, longest first; Mandarin and others by ear.
_IPA_TO_ARPABET: Final[dict[str, str]] = {
    "ts.": "CH", "tʃ": "CH", "dʒ": "JH", "tɕ": "CH", "dʑ": "JH", "tʂ": "CH", "ts": "T S",
    "dz": "D Z", "s.": "SH", "z.": "R", "i.": "ER", "i̪": "IH", "aɪ": "AY", "aʊ": "AW", "eɪ": "EY",
    "oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY", "ai": "AY", "ɑu": "AW", "au": "AW", "ei": "EY", "ou": "OW",
    "ɔø": "OY", "ɔʏ": "OY", "oɪ": "OY",
    "p": "P", "b": "B", "β": "B", "t": "T", "ʈ": "T", "d": "D", "ɖ": "D", "ɾ": "D", "k": "K",
    "q": "K", "c": "K", "ɡ": "G", "g": "G", "ɣ": "G", "f": "F", "ɸ": "F", "v": "V", "ʋ": "V",
    "θ": "TH", "ð": "DH", "s": "S", "z": "Z", "ʃ": "SH", "ʂ": "SH", "ɕ": "SH", "ʒ": "ZH", "ʐ": "R",
    "ʑ": "ZH", "h": "HH", "x": "HH", "χ": "HH", "ç": "HH", "ħ": "HH", "m": "M", "ɱ": "M", "n": "N",
    "ɳ": "N", "ɲ": "N", "ŋ": "NG", "l": "L", "ɫ": "L", "ɭ": "L", "ʎ": "L", "ɹ": "R", "r": "R",
    "ʁ": "R", "ʀ": "R", "ɻ": "R", "ɽ": "R", "w": "W", "ɥ": "W", "j": "Y", "ʝ": "Y",
    "ɑ": "AA", "a": "AA", "ä": "AA", "ɒ": "AA", "æ": "AE", "ʌ": "AH", "ɐ": "AH", "ə": "AH",
    "ɤ": "AH", "ɘ": "AH", "ɛ": "EH", "e": "EH", "ɜ": "ER", "ɚ": "ER", "ɝ": "ER", "ø": "ER",
    "œ": "ER", "i": "IY", "ɪ": "IH", "ᵻ": "IH", "ɨ": "IH", "y": "UW", "ʏ": "UH", "u": "UW",
    "ʉ": "UW", "ɯ": "UW", "ʊ": "UH", "ɔ": "AO", "o": "OW", "ɵ": "OW",
}  # fmt: skip
_LONGEST_IPA: Final = max(map(len, _IPA_TO_ARPABET))


@functools.lru_cache(maxsize=2048)
def to_arpabet(symbol: str) -> tuple[str, ...]:
    """The phones of the English recogniser that sound like an IPA symbol; () for a pause."""
    rest = _IGNORED.sub("", symbol)
    if len(rest) > 1 and rest.endswith("h"):
        rest = rest[:-1]  # Mandarin aspiration
    phones: list[str] = []
    while rest:
        for length in range(min(_LONGEST_IPA, len(rest)), 0, -1):
            if rest[:length] in _IPA_TO_ARPABET:
                phones += _IPA_TO_ARPABET[rest[:length]].split()
                rest = rest[length:]
                break
        else:
            rest = rest[1:]
    return tuple(phones)
