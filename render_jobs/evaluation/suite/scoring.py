# SPDX-License-Identifier: GPL-3.0-or-later
"""A cell (a system on a set) and a metric in, its result with its rows out; rows are kept by key.

The measuring itself is that of `exorender eval face|sync|consistency|tts|latency`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.errors import InputError
from exomni_core.metrics.faces.score import Job, Options, plan_jobs
from exomni_core.metrics.faces.table import summarise as summarise_face
from exomni_core.metrics.phone_files import find_phones
from exomni_core.metrics.sources import Item, one_config
from exomni_core.metrics.sync.table import Measured, row_of
from exomni_core.metrics.sync.table import summarise as summarise_sync
from exomni_core.storage.files import content_key, sha256_file
from exomni_core.storage.foreign import load_json
from render_jobs.evaluation.face import run_jobs
from render_jobs.evaluation.head import Head
from render_jobs.evaluation.suite.cells import Cell
from render_jobs.evaluation.suite.config import SuiteConfig
from render_jobs.evaluation.suite.measured import from_plain, to_plain
from render_jobs.evaluation.suite.rows import Row, RowBook
from render_jobs.evaluation.sync import SyncRun, measure_items, notes_of, read_texts

OnRows = Callable[[int], None]
# Raise it when rows must be computed anew although nothing in their keys has changed.
ROWS_VERSION: Final = 1
_HEAD_FACTS: Final = ("template_sha256", "unit_to_mm", "lip_sha256", "upper_sha256", "opening")


@dataclass(frozen=True)
class Scored:
    """One metric of one cell. rows: the file's path relative to the suite's folder."""

    metric: str
    system: str
    set_name: str
    result: dict[str, Any]
    rows: str


def rows_place(metric: str, cell: Cell) -> str:
    """Where the rows of a cell lie, relative to the suite's folder."""
    return f"rows/{metric}/{cell.system.name}/{cell.set_name}.jsonl"


def score_face(
    cell: Cell, config: SuiteConfig, head: Head, out: Path, on_rows: OnRows, workers: int = 0
) -> Scored:
    """Faces against references, prompt by prompt, as `eval face` does; rows known are kept."""
    chosen = config.metrics["face"]
    options = Options(
        clip01=chosen.clip == "01",
        ref_mouthclose=chosen.ref_mouthclose,
        allow_mismatch=chosen.allow_length_mismatch,
        phones=cell.prompts.config.phones,
        fps=chosen.fps,
    )
    preds = {item.id: item for item in cell.items}
    refs = {item.id: item for item in cell.references}
    jobs = plan_jobs([(n, preds[n], refs.get(n)) for n in sorted(preds)], seed=config.seed)
    place = rows_place("face", cell)
    fixed = {"head": {n: head.facts[n] for n in _HEAD_FACTS}, "options": _plain_options(options)}
    keys = {job.id: _face_key(job, fixed, options.phones) for job in jobs}
    with RowBook(out / place) as book:
        todo = [job for job in jobs if keys[job.id] not in book.known]
        on_rows(len(jobs) - len(todo))
        for row in run_jobs(todo, head.basis, options, workers, of=len(jobs)):
            name = str(row["id"])
            if preds[name].path is None:  # that there is no reference either isn't the cause
                row["reason"] = preds[name].error
            book.add(_with_names({**row, "mode": cell.prompts.modes[name]}, cell, keys[name]))
            on_rows(1)
    rows = [book.known[keys[name]] for name in sorted(preds)]
    book.finish(rows)
    settings = {
        "exomni": __version__,
        "pred": f"{cell.system.name} on {cell.set_name}",
        "system": cell.system.name,
        "reference_config": one_config(cell.references) or "not told",
        **head.facts,
        "options": _plain_options(options),
        "seed": config.seed,
    }
    summary = summarise_face(rows, seed=config.seed)
    by_mode = {
        mode: summarise_face(part, seed=config.seed) for mode, part in _by_mode(rows).items()
    }
    result = {"settings": settings, **summary, "by_mode": by_mode, "rows": rows}
    return Scored("face", cell.system.name, cell.set_name, result, place)


def _face_key(job: Job, fixed: Mapping[str, Any], phones: Path | None) -> str:
    spoken = find_phones(phones, job.id) if phones else None
    return content_key({
        "metric": "face", "version": ROWS_VERSION, "exomni": __version__, "id": job.id,
        "pred": _stamp(job.pred), "ref": _stamp(job.ref), "other": _stamp(job.other),
        "phones": sha256_file(spoken) if spoken else "", **fixed,
    })  # fmt: skip


def _by_mode(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of prompts with speech and of those with text alone, where there are both."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        if row["mode"]:
            parts.setdefault("speech" if row["mode"] == "lipsync" else "text", []).append(row)
    return parts if len(parts) > 1 else {}


def score_sync(cell: Cell, config: SuiteConfig, out: Path, on_rows: OnRows) -> Scored:
    """Mouths against their own sounds, as `eval sync` does; clips known are not heard again."""
    chosen, told = config.metrics["sync"], cell.prompts.config
    run = SyncRun(
        cell.place,
        audio=told.audio,
        phones=told.phones,
        realign=chosen.realign,
        fps=chosen.fps,
        seed=config.seed,
    )
    texts = read_texts(told.texts) if told.texts else {}
    items = [
        replace(item, language=item.language or cell.prompts.languages.get(item.id, ""))
        for item in cell.items
    ]
    keys = {item.id: _sync_key(item, run, texts.get(item.id, {})) for item in items}
    place = rows_place("sync", cell)
    clips: list[Measured] = []
    with RowBook(out / place) as book:
        todo = [item for item in items if not _is_measured(book.known.get(keys[item.id]))]
        on_rows(len(items) - len(todo))
        for item, outcome in zip(todo, measure_items(todo, run, texts), strict=True):
            book.add(_with_names(_sync_row(item, outcome), cell, keys[item.id]))
            on_rows(1)
    rows = [book.known[keys[item.id]] for item in items]
    book.finish(rows)
    clips = [from_plain(row["detail"]) for row in rows if row["status"] == "scored"]
    settings = {
        "exomni": __version__,
        "clips": f"{cell.system.name} on {cell.set_name}",
        "system": cell.system.name,
        "realign": run.realign,
        "seed": config.seed,
        "notes": notes_of(clips),
    }
    result = {
        "settings": settings,
        "counts": _counts(rows),
        "groups": summarise_sync(clips, seed=config.seed) if clips else [],
        "failures": _failures(rows),
        "rows": rows,
    }
    return Scored("sync", cell.system.name, cell.set_name, result, place)


def _sync_key(item: Item, run: SyncRun, told: Mapping[str, Any]) -> str:
    spoken = find_phones(run.phones, item.id) if run.phones else None
    return content_key({
        "metric": "sync", "version": ROWS_VERSION, "exomni": __version__, "id": item.id,
        "clip": _stamp(item), "text": item.text, "language": item.language, "told": dict(told),
        "sound": _stamp_file(item.audio), "audio": str(run.audio or ""),
        "phones": sha256_file(spoken) if spoken else "", "realign": run.realign, "fps": run.fps,
    })  # fmt: skip


def _sync_row(item: Item, outcome: Measured | str) -> Row:
    if isinstance(outcome, Measured):
        return {**row_of(outcome), "detail": to_plain(outcome)}
    return {"id": item.id, "status": "failed", "reason": outcome}


def _is_measured(row: Row | None) -> bool:
    if row is None:
        return False
    try:
        if row["status"] == "scored":
            from_plain(row["detail"])
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _with_names(row: Row, cell: Cell, key: str) -> Row:
    return {"key": key, "system": cell.system.name, "set": cell.set_name, **row}


def _plain_options(options: Options) -> dict[str, Any]:
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items()}


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    scored = sum(row["status"] == "scored" for row in rows)
    return {"n": len(rows), "n_scored": scored, "n_failed": len(rows) - scored}


def _failures(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{"id": r["id"], "reason": r["reason"]} for r in rows if r["reason"]]


def _stamp(item: Item | None) -> Any:
    """What an item is: the hash of its file, or why there is none."""
    if item is None:
        return None
    if item.path is None:
        return {"error": item.error}
    names = list(item.names) if isinstance(item.names, tuple) else item.names
    return {"sha256": _stamp_file(item.path), "fps": item.fps, "names": names}


def _stamp_file(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return sha256_file(path)
    except OSError as error:
        return f"unreadable: {error.strerror}"


def load_result(path: Path, key: str) -> dict[str, Any] | None:
    """A result that was written under the same key, or None."""
    try:
        data = load_json(path)
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and data.get("key") == key else None


def failed_cell(metric: str, cell: Cell, reason: str, out: Path) -> Scored:
    """A cell that can't be measured at all: every prompt has failed, with the reason."""
    rows = [
        _with_names({"id": item.id, "status": "failed", "reason": item.error or reason}, cell, "")
        for item in cell.items
    ]
    place = rows_place(metric, cell)
    RowBook(out / place).finish(rows)
    result = {
        "settings": {"exomni": __version__, "notes": []},
        "counts": _counts(rows),
        "groups": [],
        "summary": None,
        "bins": [],
        "failures": _failures(rows),
        "rows": rows,
    }
    return Scored(metric, cell.system.name, cell.set_name, result, place)


def rows_with_names(rows: Sequence[Mapping[str, Any]], cell: Cell) -> Iterator[Row]:
    """Rows of a metric that is scored as a whole, each with the hash of what it says."""
    for row in rows:
        yield _with_names(dict(row), cell, content_key(row))


def check_hypotheses(path: Path) -> None:
    """InputError now if a file of transcripts is missing, before clips are made."""
    if not path.is_file():
        raise InputError(f"there is no file of transcripts {path}", field="hyp")
