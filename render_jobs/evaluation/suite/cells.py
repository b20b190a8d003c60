# SPDX-License-Identifier: GPL-3.0-or-later
"""A system and a set in, where its clips lie out: made now, found finished, or why there are none.

One item for each prompt of the set, whatever became of it: failures are counted, never dropped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exomni_core.errors import ExOmniError, InputError
from exomni_core.metrics.sources import Item, one_config, read_items
from exomni_core.prompt import PromptLine, read_prompts
from exomni_core.storage.files import sha256_file, write_text
from render_jobs.evaluation.suite.config import SetConfig, SuiteConfig, SystemConfig
from render_jobs.evaluation.suite.synthetic import config_hash, make_references
from render_jobs.systems.items import SystemOptions
from render_jobs.systems.run import run_system

OnRows = Callable[[int], None]


@dataclass(frozen=True)
class PromptSet:
    """A set's prompts. ids: in file order. modes: id -> say, lipsync, reply, or "" of a bad line.

    bad: id -> why its line can't be used.
    """

    config: SetConfig
    ids: tuple[str, ...]
    modes: dict[str, str]
    languages: dict[str, str]
    bad: dict[str, str]
    sha256: str


@dataclass(frozen=True)
class Cell:
    """What a system made of a set. place: its folder or list. items: one per prompt, by id.

    references: by id, an item each where the set has any. error: why there is nothing at all.
    """

    system: SystemConfig
    prompts: PromptSet
    place: Path
    items: tuple[Item, ...]
    references: tuple[Item, ...] = ()
    error: str = ""

    @property
    def set_name(self) -> str:
        """The set's name."""
        return self.prompts.config.name


def read_set(config: SetConfig, limit: int = 0) -> PromptSet:
    """Read a set's prompts; InputError if the file can't be used or holds no good prompt."""
    lines = read_prompts(config.prompts)
    lines = lines[:limit] if limit else lines
    ids, bad = [], {}
    modes: dict[str, str] = {}
    languages: dict[str, str] = {}
    for line in lines:
        if isinstance(line, PromptLine):
            name = line.prompt.id
            modes[name], languages[name] = line.prompt.mode, line.prompt.language or ""
        else:
            name = line.id if line.id and line.id not in modes else f"line-{line.line}"
            modes[name], bad[name] = "", line.error
        ids.append(name)
    if len(bad) == len(lines):
        raise InputError(
            f"the set {config.name} is empty: no line of {config.prompts} can be used "
            f"({next(iter(bad.values()))})",
            field="prompts",
        )
    return PromptSet(config, tuple(ids), modes, languages, bad, sha256_file(config.prompts))


def find_references(
    config: SuiteConfig, prompts: PromptSet, system: str, out: Path
) -> tuple[Item, ...]:
    """The references of a set's prompts for a system, by (id, system) or by id; () without any.

    Raises InputError for a place that can't be read, or one with several configurations.
    """
    chosen = prompts.config
    if chosen.synthetic:
        items = read_items(out / "references" / chosen.name)
    elif chosen.references:
        place = config.place(chosen.references, system, chosen.name)
        items = tuple(_lines_of(place, system))
    else:
        return ()
    one_config(items)
    wanted = set(prompts.ids)
    return tuple(item for item in items if item.id in wanted)


def make_cell(
    config: SuiteConfig,
    system: SystemConfig,
    prompts: PromptSet,
    out: Path,
    *,
    limit: int = 0,
    workers: int = 0,
    on_rows: OnRows | None = None,
) -> Cell:
    """Have the system's clips made, or find them. What it can't do is its cell's error."""
    place = out / "runs" / system.name / prompts.config.name
    try:
        if system.made is None:
            place = config.place(system.run, system.name, prompts.config.name)
        else:
            _make_run(system, prompts, place, limit, workers, on_rows)
        found = read_items(place, system=system.lines)
    except ExOmniError as error:
        items = [Item(name, None, error=prompts.bad.get(name, str(error))) for name in prompts.ids]
        return Cell(system, prompts, place, tuple(items), error=str(error))
    return Cell(system, prompts, place, _one_each(prompts, found))


def make_synthetic(cell: Cell, out: Path) -> None:
    """Write the synthetic references of the cell's set, if they are not those of its clips."""
    folder = out / "references" / cell.set_name
    synthetic = cell.prompts.config.synthetic
    seed = synthetic.seed if synthetic else 0
    recipe = config_hash(seed)
    usable = [item for item in cell.items if item.path is not None]
    made_from = {item.id: sha256_file(item.path) for item in usable if item.path is not None}
    try:
        before = json.loads((folder / "reference.json").read_text(encoding="utf-8"))
        there = all((folder / f"{name}.json").is_file() for name in made_from)
        if there and before["made_from"] == made_from and before["config_sha256"] == recipe:
            return
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if not usable:
        raise InputError(
            f"the synthetic references of the set {cell.set_name} can't be made: "
            f"{cell.system.name} has no clip of it"
        )
    shutil.rmtree(folder, ignore_errors=True)
    make_references(cell.place, folder, seed=seed, system=cell.system.lines)


def with_references(cell: Cell, config: SuiteConfig, out: Path) -> Cell:
    """The cell with its references."""
    return replace(cell, references=find_references(config, cell.prompts, cell.system.name, out))


def _make_run(
    system: SystemConfig,
    prompts: PromptSet,
    place: Path,
    limit: int,
    workers: int,
    on_rows: OnRows | None,
) -> None:
    assert system.made is not None
    options = SystemOptions(
        prompts.config.prompts, place, video=False, workers=workers, limit=limit
    )
    run_system(system.made, options, lambda _: on_rows(1) if on_rows else None)


def _lines_of(place: Path, system: str) -> Sequence[Item]:
    """All items, or in a list that names systems, those of `system`."""
    try:
        return read_items(place, system=system)
    except InputError:
        return read_items(place)


def _one_each(prompts: PromptSet, found: Sequence[Item]) -> tuple[Item, ...]:
    there = {item.id: item for item in found}
    items = []
    for name in prompts.ids:
        item = there.get(name)
        if name in prompts.bad and (item is None or item.path is None):
            item = Item(name, None, error=prompts.bad[name])
        elif item is None:
            item = Item(name, None, error="there is no clip of this prompt")
        elif item.path is not None and not item.path.is_file():
            item = replace(item, path=None, error=f"its file {item.path.name} is missing")
        items.append(item)
    return tuple(sorted(items, key=lambda item: item.id))


def facts_of(prompts: PromptSet) -> dict[str, Any]:
    """What a report says of a set."""
    return {
        "name": prompts.config.name,
        "prompts": str(prompts.config.prompts),
        "prompts_sha256": prompts.sha256,
        "n": len(prompts.ids),
        "bad_lines": len(prompts.bad),
        "speech_in": sum(mode == "lipsync" for mode in prompts.modes.values()),
    }


def write_record(path: Path, data: Any) -> None:
    """Plain data as JSON for people, in one step."""
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
