# SPDX-License-Identifier: GPL-3.0-or-later
"""A download of VoiceBench (with CommonEval) in, its entries out.

A subset is a folder of parquet files, as the data set's repository has them, or a folder (or file)
of exported rows: metadata.jsonl, metadata.csv or SPLIT.jsonl with the sounds beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import EnvironmentProblem, InputError
from render_jobs.evaluation.imports.sets import read_table
from render_jobs.evaluation.imports.tables import Entry, inside

SUBSETS: Final = (
    "alpacaeval", "alpacaeval_full", "commoneval", "wildvoice", "openbookqa", "mmsu", "sd-qa",
    "mtbench", "ifeval", "bbh", "advbench",
)  # fmt: skip
_TABLES: Final = ("metadata.jsonl", "metadata.csv")
_SOUND_KEYS: Final = ("audio", "file_name", "audio_path", "wav")
# What a sound begins with, where its name is not told.
_MAGIC: Final = ((b"RIFF", ".wav"), (b"fLaC", ".flac"), (b"ID3", ".mp3"), (b"OggS", ".ogg"))


def voicebench(root: Path, *, subset: str = "commoneval", split: str = "") -> Iterator[Entry]:
    """Entries of one subset; every field of the data set but the sound is kept in meta["fields"].

    split: such as test or, in sd-qa, a region; default: all that are there. Raises InputError if
    nothing is found, and EnvironmentProblem if parquet files can't be read for want of pyarrow.
    """
    if subset not in SUBSETS:
        raise InputError(
            f"there is no subset {subset!r}; there are {', '.join(SUBSETS)}", field="subset"
        )
    folder = root / subset if (root / subset).is_dir() else root
    splits = sorted(_tables(folder, root))
    if split:
        splits = [(name, path) for name, path in splits if name == split]
    if not splits:
        wanted = f" of split {split}" if split else ""
        raise InputError(f"{folder} holds no parquet files and no metadata.jsonl or .csv{wanted}")
    counts: dict[str, int] = {}
    for name, path in splits:
        rows = _parquet(path) if path.suffix == ".parquet" else (r for _, r in read_table(path))
        for row in rows:
            number = counts[name] = counts.get(name, -1) + 1
            yield _entry(root, path, subset, name, number, row)


def _tables(folder: Path, root: Path) -> list[tuple[str, Path]]:
    """(split, file) of every table of the subset."""
    if root.is_file():
        return [("test", root)]
    found = [(p.stem.partition("-")[0], p) for p in folder.glob("**/*.parquet")]
    if found:
        return found
    for table in _TABLES:
        found += [("test" if p.parent == folder else p.parent.name, p) for p in folder.glob(table)]
        found += [(p.parent.name, p) for p in folder.glob(f"*/{table}")]
    return found or [(p.stem, p) for p in folder.glob("*.jsonl")]


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow.parquet
    except ImportError as error:  # not there, or made for another numpy than Blender's
        raise EnvironmentProblem(
            f"{path.name} is a parquet file, which takes pyarrow to read ({error}): pip install "
            "'pyarrow<22'"
        ) from error
    try:
        table = pyarrow.parquet.ParquetFile(path)
        for batch in table.iter_batches(batch_size=32):
            yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as parquet: {error}") from error


def _entry(
    root: Path, path: Path, subset: str, split: str, number: int, row: Mapping[str, Any]
) -> Entry:
    fields = {key: value for key, value in row.items() if key not in _SOUND_KEYS}
    prompt = row.get("prompt")
    error, audio, sound = "", None, None
    try:
        told = next((row[key] for key in _SOUND_KEYS if row.get(key)), None)
        if isinstance(told, str):
            audio = inside(root if root.is_dir() else root.parent, told, below=path.parent)
        elif isinstance(told, Mapping) and isinstance(told.get("bytes"), bytes):
            sound = told["bytes"], _ending(told)
    except InputError as problem:
        error = str(problem)
    if not isinstance(prompt, str) or not prompt.strip():
        error = error or f"row {number} has no prompt"
    reference = row.get("reference", row.get("output"))
    return Entry(
        name=f"{subset}-{split}-{number:04d}",
        split=split,
        language="en",
        text=prompt if isinstance(prompt, str) else "",
        audio=audio,
        sound=sound,
        reference=reference if isinstance(reference, str) else "",
        meta={"subset": subset, "index": number, "fields": fields},
        error=error,
    )


def _ending(told: Mapping[str, Any]) -> str:
    for begin, ending in _MAGIC:
        if told["bytes"].startswith(begin):
            return ending
    named = Path(str(told.get("path") or "")).suffix.lower()
    return named if named.isascii() and named[1:].isalnum() and len(named) <= 5 else ".wav"
