# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of speech evaluations in, their Markdown tables and terminal lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from render_jobs.evaluation.output import markdown_table, shown, with_interval

_TTS_METHOD: Final = (
    "Scored as Seed-TTS-Eval does: marks deleted, English lower-cased, Chinese by character; the "
    "mean of the utterances' error rates, in per cent. *With missing* takes what was not made or "
    "not heard as 100; *pooled* is all errors by all words."
)
_CONSISTENCY_METHOD: Final = (
    "Transcripts of the speech against the text of the answer, without Markdown, emoji, list "
    "numbers and URLs (*raw*: with them), normalised as Seed-TTS-Eval does; the mean of the clips' "
    "error rates, in per cent. *Cut end* is the share of words missing after the last one that was "
    "spoken; *cut short* counts clips that miss a tenth or more there. Words, or characters for "
    "Chinese."
)


def tts_markdown(result: Mapping[str, Any]) -> str:
    """The table, what is missing, and the notes."""
    settings, counts = result["settings"], result["counts"]
    parts = [
        f"# Speech of {settings['meta']}\n",
        f"{settings['lines']} lines read, {counts['n_scored']} scored, {counts['n_missing']} "
        f"missing, {counts['n_failed'] - counts['n_missing']} failed. {_TTS_METHOD}\n",
        markdown_table(_TTS_HEADER, _tts_rows(result["groups"])),
    ]
    return "\n".join([*parts, *_failures(result), *_notes(result)])


def tts_lines(result: Mapping[str, Any]) -> list[str]:
    """The same table for a terminal."""
    read = f"{result['settings']['lines']} lines read"
    return [*aligned([_TTS_HEADER, *_tts_rows(result["groups"])]), read]


def consistency_markdown(result: Mapping[str, Any]) -> str:
    """Both tables: by bucket, and by bins of 5 s."""
    counts = result["counts"]
    parts = [
        f"# Speech and text of {result['settings']['answers']}\n",
        f"{counts['n_scored']} of {counts['n']} answers scored; {counts['n_over_60']} last over "
        f"60 s and stand in no group, {counts['n_unknown_length']} are of unknown length. "
        f"{_CONSISTENCY_METHOD}\n",
        markdown_table(_CONSISTENCY_HEADER, _consistency_rows(result["groups"])),
        "## By duration\n",
        markdown_table(("language", "from s", "clips", "scored", "error rate"), _bin_rows(result)),
    ]
    return "\n".join([*parts, *_failures(result), *_notes(result)])


def consistency_lines(result: Mapping[str, Any]) -> list[str]:
    """The first table for a terminal."""
    lines = aligned([_CONSISTENCY_HEADER, *_consistency_rows(result["groups"])])
    if over := result["counts"]["n_over_60"]:
        lines.append(f"{over} clips last over 60 s and are left out, as the paper does")
    return lines


def aligned(table: Sequence[Sequence[object]]) -> list[str]:
    """Lines of text with columns below each other; the first one to the left, others right."""
    cells = [[shown(value) for value in row] for row in table]
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


_TTS_HEADER: Final = (
    "", "utterances", "scored", "missing", "error rate", "with missing", "pooled", "sub", "del",
    "ins",
)  # fmt: skip
_CONSISTENCY_HEADER: Final = (
    "", "seconds", "clips", "scored", "error rate", "pooled", "whisper-en", "raw", "with missing",
    "cut end", "cut short",
)  # fmt: skip


def _tts_rows(groups: Mapping[str, Mapping[str, Any]]) -> list[tuple[object, ...]]:
    names = (
        "utterances", "scored", "missing", "error_rate", "error_rate_with_missing",
        "error_rate_pooled", "substitutions", "deletions", "insertions",
    )  # fmt: skip
    return [
        (f"{title} ({_rate_name(group)})", *(_value(group, name) for name in names))
        for title, group in groups.items()
    ]


def _consistency_rows(groups: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    names = (
        "bucket_s", "clips", "scored", "error_rate", "error_rate_pooled", "error_rate_whisper_en",
        "error_rate_raw", "error_rate_with_missing", "tail_share", "cut_short",
    )  # fmt: skip
    return [
        (f"{group['language']} ({_rate_name(group)})", *(_value(group, name) for name in names))
        for group in groups
    ]


def _bin_rows(result: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [
        (part["language"], f"{start:g}", clips, scored, rate)
        for part in result["bins"]
        for start, clips, scored, rate in zip(
            part["from_s"], part["clips"], part["scored"], part["error_rate"], strict=True
        )
        if clips
    ]


def _value(group: Mapping[str, Any], name: str) -> object:
    """The group's value; the headline with its interval."""
    if name != "error_rate" or group[name] is None:
        return group[name]
    low, high = group["error_rate_interval"]
    return with_interval({"mean": group[name], "low": low, "high": high})


def _rate_name(group: Mapping[str, Any]) -> str:
    return {"characters": "CER", "words": "WER"}.get(group["unit"], "WER and CER")


def _failures(result: Mapping[str, Any]) -> list[str]:
    if not result["failures"]:
        return []
    rows = [(f["id"], f["reason"]) for f in result["failures"][:50]]
    return ["## Not scored\n", markdown_table(("id", "why"), rows)]


def _notes(result: Mapping[str, Any]) -> list[str]:
    notes = result["settings"]["notes"]
    return ["## Notes\n", "\n".join(f"- {note}" for note in notes) + "\n"] if notes else []
