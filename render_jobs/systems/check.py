# SPDX-License-Identifier: GPL-3.0-or-later
"""A system and some prompts in; what is missing before it can run, or a batch list for it, out."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from exomni_core.engine import load_engine
from exomni_core.errors import ExOmniError, InputError
from exomni_core.storage.files import write_text
from render_jobs.systems.adapter import check_adapter
from render_jobs.systems.config import (
    AdapterSystem,
    ClipsSystem,
    CoefficientsSystem,
    EngineSystem,
    ProgramSystem,
    System,
)
from render_jobs.systems.items import SystemItem, read_items, write_item_wav
from render_jobs.systems.program import python_of

BATCH_LIST: Final = "batch.csv"


def check_system(system: System, items: Sequence[SystemItem]) -> list[str]:
    """What is missing, in sentences; empty when it can run. items: prompts to look for, or none."""
    if isinstance(system, EngineSystem):
        problems = _check_engine(system)
    elif isinstance(system, AdapterSystem):
        problems = check_adapter(system)
    elif isinstance(system, ProgramSystem):
        problems = _check_program(system)
    else:
        problems = [] if system.folder.is_dir() else [f"the folder {system.folder} does not exist"]
        problems += _lacking(system, items)
    needs_sound = isinstance(system, AdapterSystem) or (
        isinstance(system, ProgramSystem) and any("{audio}" in part for part in system.command)
    )
    if needs_sound:
        problems += [f"{item.item_id}: there is no speech" for item in items if item.sound is None]
    return problems


def write_batch_list(
    system: System, prompts: Path, audio_from: Path | None, out: Path, rate_hz: int
) -> dict[str, Any]:
    """Write `out/wavs/<id>.wav` (mono, 16 bit) and `out/batch.csv`: id, wav, expected file, state.

    Returns how many, the list's path and what failed. Raises InputError.
    """
    items, bad = read_items(prompts, audio_from)
    failed = [{"id": line.id or f"line {line.line}", "error": line.error} for line in bad]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("id", "wav", "expected", "state"))
    count = 0
    for item in items:
        try:
            wav = write_item_wav(item, out / "wavs", rate_hz)
        except InputError as error:
            failed.append({"id": item.item_id, "error": str(error)})
            continue
        expected = expected_file(system, item.item_id)
        there = expected is not None and expected.is_file()
        writer.writerow(
            (
                item.item_id,
                wav.resolve(),
                expected.resolve() if expected else "",
                "there" if there else "missing",
            )
        )
        count += 1
    write_text(out / BATCH_LIST, table.getvalue())
    return {"wavs": count, "list": str(out / BATCH_LIST), "failed": failed}


def expected_file(system: System, item_id: str) -> Path | None:
    """The file that must lie there for a prompt, for systems of finished files."""
    if isinstance(system, ClipsSystem):
        return system.folder / f"{item_id}.clip"
    if isinstance(system, CoefficientsSystem):
        return system.folder / system.files.format(id=item_id)
    return None


def _lacking(system: System, items: Sequence[SystemItem]) -> list[str]:
    problems = []
    for item in items:
        path = expected_file(system, item.item_id)
        if path is not None and not path.is_file():
            problems.append(f"{item.item_id}: {path} is missing")
    return problems


def _check_engine(system: EngineSystem) -> list[str]:
    try:
        load_engine(system.engine, **system.options).close()
    except ExOmniError as error:
        return [str(error)]
    except TypeError as error:
        return [f"the engine {system.engine} takes no such option ({error})"]
    return []


def _check_program(system: ProgramSystem) -> list[str]:
    problems = []
    if not system.cwd.is_dir():
        problems.append(f"the folder {system.cwd} does not exist")
    program = system.command[0].replace("{python}", python_of(system))
    if shutil.which(program) is None and not (system.cwd / program).is_file():
        problems.append(f"there is no program {program}")
    return problems
