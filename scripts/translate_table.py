# SPDX-License-Identifier: GPL-3.0-or-later
"""Transcripts in, a translation table for `exorender eval import ex-a2f-en` out, with its recipe.

    python scripts/translate_table.py zh.jsonl table.csv --endpoint http://localhost:8000/v1 \
        --model NAME [--key-env VARIABLE] [--speak "tts --text {text} --out {out}"]

zh.jsonl: lines of {"id", "text"}. Each text is translated on its own by a chat endpoint of yours
(the common "chat/completions" form) at temperature 0 with a fixed seed, and spoken by your command,
if one is given, to wav/ID.wav beside the table. `table.recipe.json` says how it was made: model,
instruction, seed, command, hashes. A run that was stopped goes on. Lines that fail are told and
left out; exit code 1 then. The key is read from the environment and stored nowhere.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exomni_core.errors import ExOmniError, InputError, WorkerError
from exomni_core.metrics.speech.responses import read_transcripts
from exomni_core.prompt import check_id
from exomni_core.storage.files import replacing, sha256_file, write_text

INSTRUCTION = (
    "Translate this spoken Chinese sentence into natural spoken English. Keep its length, tone and "
    "person. Answer with the translation alone."
)
COLUMNS = ("id", "zh", "en", "wav")
TIMEOUT_S = 300.0


def translate(text: str, chosen: argparse.Namespace) -> str:
    """One sentence by the endpoint; WorkerError if it gives none."""
    body = {
        "model": chosen.model,
        "temperature": 0,
        "seed": chosen.seed,
        "messages": [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": text}],
    }
    headers = {"Content-Type": "application/json"}
    if chosen.key_env and os.environ.get(chosen.key_env):
        headers["Authorization"] = f"Bearer {os.environ[chosen.key_env]}"
    request = urllib.request.Request(
        chosen.endpoint.rstrip("/") + "/chat/completions", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            data = json.load(answer)
        english = " ".join(data["choices"][0]["message"]["content"].split())
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise WorkerError(f"the endpoint gave no translation ({error})") from error
    if not english:
        raise WorkerError("the endpoint gave an empty translation")
    return english


def speak(text: str, path: Path, command: str) -> None:
    """Have the user's command write `path`; WorkerError if it doesn't. No shell is involved."""
    values = {"text": text, "out": str(path.resolve())}
    argv = [re.sub(r"\{(text|out)\}", lambda m: values[m[1]], p) for p in shlex.split(command)]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            argv, check=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, capture_output=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise WorkerError(f"the voice failed ({error})") from error
    if not path.is_file() or not path.stat().st_size:
        raise WorkerError(f"the voice wrote no {path.name}")


def known_rows(table: Path) -> dict[str, dict[str, str]]:
    """Rows of an earlier run, by id."""
    if not table.is_file():
        return {}
    with open(table, encoding="utf-8", newline="") as handle:
        return {row["id"]: row for row in csv.DictReader(handle) if row.get("en")}


def make_row(name: str, text: str, old: dict[str, str] | None, chosen: Any) -> dict[str, str]:
    """One row, taking over what an earlier run has for the same text."""
    check_id(name)
    row = dict(old) if old and old["zh"] == text else {"id": name, "zh": text, "en": "", "wav": ""}
    row["en"] = row["en"] or translate(text, chosen)
    wav = chosen.table.parent / "wav" / f"{name}.wav"
    if chosen.speak and not (row["wav"] and wav.is_file()):
        speak(row["en"], wav, chosen.speak)
        row["wav"] = f"wav/{name}.wav"
    return row


def write_table(rows: list[dict[str, str]], table: Path) -> None:
    """All rows so far, in one step."""
    with (
        replacing(table) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as handle,
    ):
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def write_recipe(rows: list[dict[str, str]], chosen: Any) -> None:
    """How the table came about, for whoever compares with it."""
    recipe = {
        "instruction": INSTRUCTION, "model": chosen.model, "temperature": 0, "seed": chosen.seed,
        "speak": chosen.speak, "rows": len(rows), "source_sha256": sha256_file(chosen.source),
        "table_sha256": sha256_file(chosen.table),
        "wav_sha256": {row["id"]: sha256_file(chosen.table.parent / row["wav"])
                       for row in rows if row["wav"]},
        "made": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip
    text = json.dumps(recipe, ensure_ascii=False, indent=1) + "\n"
    write_text(chosen.table.with_name(f"{chosen.table.stem}.recipe.json"), text)


def main() -> int:
    """Translate, speak, write; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--endpoint", required=True, help="such as http://localhost:8000/v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--key-env", default="", help="the variable that holds the key")
    parser.add_argument("--speak", default="", help="a command with {text} and {out}")
    chosen = parser.parse_args()
    if not chosen.endpoint.startswith(("http://", "https://")):
        parser.error("--endpoint must begin with http:// or https://")
    rows: list[dict[str, str]] = []
    failed = 0
    try:
        texts, known = read_transcripts(chosen.source), known_rows(chosen.table)
        for name, text in texts.items():
            try:
                rows.append(make_row(name, text, known.get(name), chosen))
            except (InputError, WorkerError) as error:
                failed += 1
                print(f"left out: {name}: {error}", file=sys.stderr)
                continue
            write_table(
                [*rows, *(r for i, r in known.items() if i not in seen(rows))], chosen.table
            )
        if rows:
            write_table(rows, chosen.table)
            write_recipe(rows, chosen)
    except ExOmniError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {chosen.table}: {len(rows)} rows, {failed} left out")
    return 1 if failed else 0


def seen(rows: list[dict[str, str]]) -> set[str]:
    """The ids that are done."""
    return {row["id"] for row in rows}


if __name__ == "__main__":
    sys.exit(main())
