# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers in, the files that VoiceBench's own scripts read out; their results in, a table out.

The judges are theirs: we write what `api_judge.py` and `evaluate.py` take,
run them from the user's checkout where that is asked for, and leave what they print as it is.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from exomni_core import __version__
from exomni_core.errors import EnvironmentProblem, InputError, WorkerError
from exomni_core.storage.files import sha256_file, write_text
from exomni_core.storage.json_lines import read_json_lines
from render_jobs.evaluation.imports.voicebench import SUBSETS
from render_jobs.evaluation.output import markdown_table
from render_jobs.evaluation.responses import Answer, read_answers
from render_jobs.workers.groups import Group
from render_jobs.workers.programs import environment, last_words

Modality = Literal["audio", "text"]
# Fields that their scripts need, by subset, beside prompt and response.
_NEEDED: Final = {
    "sd-qa": ("reference",), "openbookqa": ("reference",), "mmsu": ("reference",),
    "bbh": ("reference", "id"), "ifeval": ("key", "instruction_id_list", "kwargs"),
}  # fmt: skip
# The word for `evaluate.py --evaluator`, and whether a judge has to see the answers before.
EVALUATORS: Final = {
    "alpacaeval": "open", "alpacaeval_full": "open", "commoneval": "open", "wildvoice": "open",
    "sd-qa": "qa", "openbookqa": "mcq", "mmsu": "mcq", "ifeval": "ifeval", "bbh": "bbh",
    "advbench": "harm", "mtbench": "open",
}  # fmt: skip
_JUDGED: Final = ("open", "qa")
_SAFE: Final = re.compile(r"[^A-Za-z0-9._]+")


@dataclass(frozen=True)
class VoiceBenchRun:
    """checkout: the user's VoiceBench folder. python: its interpreter. evaluator: empty, by subset.

    timeout_s: for each of their scripts.
    """

    checkout: Path
    python: str = sys.executable
    evaluator: str = ""
    timeout_s: float = 36_000.0


def write_voicebench(
    answers: Path,
    folder: Path,
    *,
    model: str,
    subset: str,
    modality: Modality,
    prompts: Path | None = None,
    system: str = "",
) -> dict[str, Any]:
    """Write `{model}-{subset}-{split}-{modality}.jsonl` for every split that was answered.

    prompts: the imported prompts, for answers that don't carry the data set's fields. Whatever has
    no answer is written with an empty one, and told: none may get lost. Raises InputError if no
    answer belongs to `subset` or a field that their scripts need is missing.
    """
    if subset not in SUBSETS:
        raise InputError(f"there is no subset {subset!r}; there are {', '.join(SUBSETS)}")
    asked = _asked(prompts) if prompts else {}
    given = {answer.response.id: answer for answer in read_answers(answers, system=system)}
    known = {**{name: a.response.extra.get("meta") for name, a in given.items()}, **asked}
    rows: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    empty: list[str] = []
    for name, meta in known.items():
        if not isinstance(meta, Mapping) or meta.get("subset") != subset:
            continue
        text = _text_of(given.get(name))
        if not text.strip():
            empty.append(name)
        fields = _fields(meta, name, subset)
        row = (int(meta.get("index") or 0), {**fields, "response": text})
        rows.setdefault(str(meta.get("split") or "test"), []).append(row)
    if not rows:
        raise InputError(
            f"no answer in {answers} belongs to {subset}; import it with: exorender eval import "
            "voicebench, or add --prompts with the imported file"
        )
    files = []
    for split, lines in rows.items():
        path = folder / f"{_part(model)}-{subset}-{_part(split)}-{modality}.jsonl"
        ordered = (json.dumps(row, ensure_ascii=False) for _, row in sorted(lines, key=_index))
        write_text(path, "".join(f"{line}\n" for line in ordered))
        files.append(str(path))
    n = sum(len(lines) for lines in rows.values())
    return {"files": files, "counts": {"n": n, "n_empty": len(empty)}, "empty": empty[:50]}


def read_voicebench(paths: Sequence[Path]) -> dict[str, Any]:
    """Results of VoiceBench's scripts, untouched, one row per file.

    A file is a JSON object (what evaluate.py prints) or JSON lines of judged answers, of which the
    mean of `score` is told beside, as ours. Raises InputError for a file that is neither.
    """
    rows = []
    for path in paths:
        named = _named(path)
        data = read_json_lines(path)
        row: dict[str, Any] = {"file": path.name, "sha256": sha256_file(path), **named}
        if len(data) == 1 and "prompt" not in data[0][1]:
            rows.append({**row, "result": data[0][1], "judged": None})
            continue
        scores = [s for _, line in data for s in _scores(line.get("score"))]
        mean = sum(scores) / len(scores) if scores else None
        rows.append({**row, "result": None, "judged": {"answers": len(data), "mean_score": mean}})
    return {"settings": {"exomni": __version__, "notes": []}, "rows": rows}


def voicebench_markdown(result: Mapping[str, Any]) -> str:
    """One line per file, the scripts' own dict as they printed it."""
    rows = []
    for row in result["rows"]:
        judged = row["judged"] or {}
        told = json.dumps(row["result"], ensure_ascii=False) if row["result"] else None
        rows.append(
            (
                row["model"] or row["file"],
                row["subset"],
                row["split"],
                row["modality"],
                told,
                judged.get("answers"),
                judged.get("mean_score"),
            )
        )
    header = (
        "model",
        "subset",
        "split",
        "input",
        "VoiceBench's result",
        "judged answers",
        "mean of their scores (ours)",
    )
    return "# VoiceBench\n\n" + markdown_table(header, rows)


def run_voicebench(file: Path, run: VoiceBenchRun) -> dict[str, Any]:
    """Have the user's checkout judge and evaluate one file that `write_voicebench` wrote.

    Writes `result-NAME.json` beside it with what evaluate.py printed. Raises EnvironmentProblem if
    the scripts are not there, and WorkerError, with their last words, if one fails.
    """
    for script in ("api_judge.py", "evaluate.py"):
        if not (run.checkout / script).is_file():
            raise EnvironmentProblem(
                f"{run.checkout} has no {script}; name a checkout of VoiceBench with --checkout"
            )
    subset = _named(file)["subset"]
    evaluator = run.evaluator or EVALUATORS.get(subset, "")
    if not evaluator:
        raise InputError(f"{file.name} names no subset of VoiceBench; add --evaluator")
    source = file.resolve()
    if evaluator in _JUDGED:
        _script(run, ["api_judge.py", "--src_file", source.name], source.parent)
        source = source.with_name(f"result-{source.name}")
    said = _script(
        run, ["evaluate.py", "--src_file", source.name, "--evaluator", evaluator], file.parent
    )
    result = _printed_dict(said)
    target = file.with_name(f"result-{file.stem}.json")
    write_text(target, json.dumps(result, ensure_ascii=False) + "\n")
    return {"file": str(target), "evaluator": evaluator, "result": result}


def _asked(prompts: Path) -> dict[str, Any]:
    return {str(row.get("id")): row.get("meta") for _, row in read_json_lines(prompts)}


def _text_of(answer: Answer | None) -> str:
    if answer is None or answer.response.error is not None:
        return ""
    return answer.response.text


def _fields(meta: Mapping[str, Any], name: str, subset: str) -> Mapping[str, Any]:
    fields = meta.get("fields")
    wanted = ("prompt", *_NEEDED.get(subset, ()))
    missing = [w for w in wanted if not isinstance(fields, Mapping) or w not in fields]
    if missing:
        raise InputError(
            f"{name} lacks the data set's {', '.join(missing)}, which VoiceBench's scripts need; "
            "add --prompts with the imported file"
        )
    assert isinstance(fields, Mapping)
    return fields


def _index(line: tuple[int, Any]) -> int:
    return line[0]


def _part(text: str) -> str:
    """Part of a file name that VoiceBench splits at `-`; `sd-qa` alone has one of its own."""
    return _SAFE.sub("_", text).strip("._") or "model"


def _named(path: Path) -> dict[str, str]:
    """model, subset, split and modality by a file's name; empty where it tells none."""
    stem = path.stem.removeprefix("result-")
    for subset in sorted(SUBSETS, key=len, reverse=True):
        found = re.fullmatch(rf"(.+)-{re.escape(subset)}-([^-]+)-(audio|text)", stem)
        if found:
            model, split, modality = found.groups()
            return {"model": model, "subset": subset, "split": split, "modality": modality}
    return {"model": "", "subset": "", "split": "", "modality": ""}


def _scores(value: object) -> list[float]:
    """A judge's scores: numbers, or texts of numbers, one or a list; others don't count."""
    values = value if isinstance(value, list) else [value]
    found = []
    for one in values:
        try:
            found.append(float(str(one).strip()))
        except ValueError:
            continue
    return found


def _script(run: VoiceBenchRun, arguments: list[str], folder: Path) -> str:
    """Run one of their scripts beside the file; they read and write in the current folder."""
    script = (run.checkout / arguments[0]).resolve()
    log, out = folder / f"{script.stem}.log", folder / f"{script.stem}.out"
    argv = [run.python, str(script), *arguments[1:]]
    with open(log, "wb") as complaints, open(out, "wb") as words:
        try:
            program = Group(
                argv,
                cwd=folder,
                env=environment({}),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=complaints,
            )
        except OSError as error:
            raise EnvironmentProblem(f"{run.python} can't be started ({error.strerror})") from error
        try:
            code = program.process.wait(run.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise WorkerError(f"{script.name} took more than {run.timeout_s:g} s") from error
        finally:
            program.end()
    if code:
        raise WorkerError(f"{script.name} ended with code {code}{last_words(log)}")
    return out.read_text(encoding="utf-8", errors="replace")


def _printed_dict(text: str) -> dict[str, Any]:
    """The last dict that was printed, in Python's or JSON's spelling."""
    for line in reversed(text.splitlines()):
        for read in (json.loads, ast.literal_eval):
            try:
                found = read(line.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(found, dict):
                return found
    raise WorkerError("VoiceBench's evaluate.py printed no result that can be read")
