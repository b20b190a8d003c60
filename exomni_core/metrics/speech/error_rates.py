# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts and transcripts in, error rates out: of a voice (Seed-TTS-Eval), and of speech to its text.

The headline is always the mean of the utterances' rates, as the benchmark has it; the pooled rate
stands beside it. What is missing is counted, and scored as wrong in a number of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.metrics.aggregate import mean_of
from exomni_core.metrics.bootstrap import intervals
from exomni_core.metrics.speech.normalise import by_characters, is_english, seedtts, spoken_part
from exomni_core.metrics.speech.word_errors import Pooled, WordErrors, count_errors, percent, pool

Convert = Callable[[str], str]

BUCKETS_S: Final = ((0.0, 20.0), (20.0, 40.0), (40.0, 60.0))  # the last one holds its end
LONGEST_S: Final = 60.0
BIN_S: Final = 5.0
TRUNCATED_SHARE: Final = 0.1  # a clip counts as cut short if so much of its text is missing


@dataclass(frozen=True)
class Spoken:
    """One utterance: what was to be said and what was heard. reason: why nothing was heard."""

    id: str
    reference: str
    hypothesis: str | None
    language: str
    duration_s: float | None = None
    reason: str = ""


def score_tts(
    utterances: Sequence[Spoken], *, simplify: Convert | None = None, seed: int = 0
) -> dict[str, Any]:
    """Seed-TTS-Eval's score: {"groups": by language, "rows"}.

    simplify: to mainland characters, applied to Chinese transcripts only, as in the release. Rates
    are in per cent, three decimals; `with_missing` takes an utterance that was not heard as WER 1.
    seed: of the intervals, a bootstrap over utterances.
    """
    rows = [_tts_row(one, simplify) for one in utterances]
    groups = {"all": rows}
    for language in sorted({one.language for one in utterances}):
        groups[language] = [row for row in rows if row["language"] == language]
    if len(groups) == 2:
        del groups["all"]
    scored = {name: _tts_group(part, seed) for name, part in groups.items()}
    return {"groups": scored, "rows": rows}


def _tts_row(one: Spoken, simplify: Convert | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": one.id,
        "status": "scored",
        "reason": "",
        "language": one.language,
        "unit": _unit(one.language),
    }
    if one.hypothesis is None:
        return row | {"status": "missing", "reason": one.reason or "it has no transcript"}
    heard = one.hypothesis
    if simplify is not None and by_characters(one.language):
        heard = simplify(heard)
    reference, heard = seedtts(one.reference, one.language), seedtts(heard, one.language)
    try:
        errors = count_errors(reference, heard)
    except InputError as error:
        return row | {"status": "failed", "reason": str(error)}
    return row | _error_fields(errors) | {"reference": reference, "hypothesis": heard}


def _tts_group(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    found = pool([_errors_of(row) for row in rows if row["status"] == "scored"])
    missing = sum(row["status"] == "missing" for row in rows)
    return {
        "unit": _one_of(row["unit"] for row in rows),
        "utterances": len(rows),
        "scored": found.utterances,
        "missing": missing,
        "failed": len(rows) - found.utterances - missing,
        "error_rate": percent(found.mean),
        "error_rate_interval": _interval(rows, seed),
        "error_rate_pooled": percent(found.pooled),
        "error_rate_with_missing": percent(_with_missing(found, missing)),
        "tail_share": found.tail_share,
        **_sums(rows),
    }


def score_consistency(
    utterances: Sequence[Spoken],
    *,
    whisper: Convert | None = None,
    simplify: Convert | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Speech against the answer's text: {"groups", "bins", "rows"}.

    whisper: Whisper's English normaliser, for English answers, beside the headline. Groups are by
    language and duration; clips over 60 s and those of unknown length are scored in their rows and
    counted, but stand in no group. The text is compared without what is not spoken; `raw` keeps it.
    """
    rows = [_consistency_row(one, whisper, simplify) for one in utterances]
    languages = sorted({row["language"] for row in rows})
    groups = [
        _consistency_group(rows, language, bucket, seed)
        for language in languages
        for bucket in ((0.0, LONGEST_S), *BUCKETS_S)
    ]
    bins = [_bins(rows, language) for language in languages]
    return {"groups": groups, "bins": bins, "rows": rows}


def bucket_of(duration_s: float | None) -> str:
    """`0-20`, `20-40`, `40-60` (60 s belongs to it), `over 60`, or `unknown`."""
    if duration_s is None:
        return "unknown"
    if duration_s > LONGEST_S:
        return "over 60"
    low, high = next((b for b in BUCKETS_S if duration_s < b[1]), BUCKETS_S[-1])
    return f"{low:g}-{high:g}"


def _consistency_row(
    one: Spoken, whisper: Convert | None, simplify: Convert | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": one.id,
        "status": "scored",
        "reason": "",
        "language": one.language,
        "unit": _unit(one.language),
        "duration_s": one.duration_s,
        "bucket": bucket_of(one.duration_s),
    }
    if one.hypothesis is None:
        return row | {"status": "missing", "reason": one.reason or "it has no transcript"}
    heard = one.hypothesis
    if simplify is not None and by_characters(one.language):
        heard = simplify(heard)
    spoken, raw = spoken_part(one.reference), " ".join(one.reference.split())
    heard = " ".join(heard.split())

    def plain(text: str) -> str:
        return seedtts(text, one.language)

    try:
        errors = count_errors(plain(spoken), plain(heard))
        row |= _error_fields(errors)
        row["rate_raw"] = count_errors(plain(raw), plain(heard)).rate
    except InputError as error:
        return row | {"status": "failed", "reason": str(error)}
    row["rate_whisper_en"] = None
    # It deletes what stands in brackets, so nothing may be left.
    if whisper is not None and is_english(one.language) and whisper(spoken):
        row["rate_whisper_en"] = count_errors(whisper(spoken), whisper(heard)).rate
    return row | {"reference": plain(spoken), "hypothesis": plain(heard)}


def _consistency_group(
    rows: Sequence[Mapping[str, Any]], language: str, bucket: tuple[float, float], seed: int
) -> dict[str, Any]:
    whole = bucket == (0.0, LONGEST_S)
    name = f"{bucket[0]:g}-{bucket[1]:g}"
    names = {bucket_of(low) for low, _ in BUCKETS_S} if whole else {name}
    mine = [r for r in rows if r["language"] == language and r["bucket"] in names]
    scored = [row for row in mine if row["status"] == "scored"]
    found = pool([_errors_of(row) for row in scored])
    missing = sum(row["status"] == "missing" for row in mine)
    whispers = [r["rate_whisper_en"] for r in scored if r["rate_whisper_en"] is not None]
    return {
        "language": language,
        "unit": _unit(language),
        "bucket_s": name,
        "clips": len(mine),
        "scored": found.utterances,
        "missing": missing,
        "failed": len(mine) - found.utterances - missing,
        "error_rate": percent(found.mean),
        "error_rate_interval": _interval(scored, seed),
        "error_rate_pooled": percent(found.pooled),
        "error_rate_with_missing": percent(_with_missing(found, missing)),
        "error_rate_raw": percent(mean_of([row["rate_raw"] for row in scored])),
        "error_rate_whisper_en": percent(mean_of(whispers)),
        "tail_share": found.tail_share,
        "cut_short": sum(row["tail_share"] >= TRUNCATED_SHARE for row in scored),
        **_sums(mine),
    }


def _bins(rows: Sequence[Mapping[str, Any]], language: str) -> dict[str, Any]:
    """For the plots of duration and of error by duration: bins of 5 s up to the longest clip."""
    mine = [r for r in rows if r["language"] == language and r["duration_s"] is not None]
    count = math.floor(max((row["duration_s"] for row in mine), default=0.0) / BIN_S) + 1
    parts: list[list[Mapping[str, Any]]] = [[] for _ in range(count)]
    for row in mine:
        parts[math.floor(row["duration_s"] / BIN_S)].append(row)
    rates = [[row["rate"] for row in part if row["status"] == "scored"] for part in parts]
    return {
        "language": language,
        "from_s": [BIN_S * k for k in range(count)],
        "clips": [len(part) for part in parts],
        "scored": [len(part) for part in rates],
        "error_rate": [percent(mean_of(part)) for part in rates],
    }


def _error_fields(errors: WordErrors) -> dict[str, Any]:
    return {
        "rate": errors.rate,
        "words": errors.reference,
        "substitutions": errors.substitutions,
        "deletions": errors.deletions,
        "insertions": errors.insertions,
        "tail": errors.tail,
        "tail_share": errors.tail / errors.reference,
    }


def _errors_of(row: Mapping[str, Any]) -> WordErrors:
    names = ("words", "substitutions", "deletions", "insertions", "tail")
    return WordErrors(*(row[name] for name in names))


def _sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    names = ("words", "substitutions", "deletions", "insertions", "tail")
    return {name: sum(row.get(name) or 0 for row in rows) for name in names}


def _with_missing(found: Pooled, missing: int) -> float | None:
    total = found.utterances + missing
    if not total:
        return None
    return ((found.mean or 0.0) * found.utterances + missing) / total


def _interval(rows: Sequence[Mapping[str, Any]], seed: int) -> list[float | None]:
    """Bounds of the mean error rate in per cent; None where there are fewer than two."""
    scored = [row for row in rows if row["status"] == "scored"]
    found = intervals(scored, ["rate"], seed=seed)[0]["rate"]
    return [percent(found.low), percent(found.high)]


def _unit(language: str) -> str:
    return "characters" if by_characters(language) else "words"


def _one_of(values: Any) -> str:
    found = sorted(set(values))
    return found[0] if len(found) == 1 else "mixed"
