# SPDX-License-Identifier: GPL-3.0-or-later
"""A study in, the same study for webMUSHRA or jsPsych out; their result tables in, ratings out.

webMUSHRA plays sound alone, so its export names recordings that the user puts there. jsPsych shows
our own videos. Formats as their documentation has them.
"""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.files import write_bytes, write_text
from exomni_core.storage.foreign import read_text
from render_jobs.study.plan import VIDEO_FOLDER, Pair, Study, Trial
from render_jobs.study.plan_file import read_study
from render_jobs.study.ratings import BadRow, Rating, write_ratings
from render_jobs.study.serving.exporting import row_of
from render_jobs.study.serving.session import is_practice
from render_jobs.study.tables import table

TIE: Final = "No difference"
_CHOICES: Final = {
    "en": ("Left is better", "No difference", "Right is better"),
    "zh": ("左边更好", "没有差别", "右边更好"),
}
_SIDES: Final = ("left", "tie", "right")
_MUSHRA_ANSWERS: Final = {"correct": "left", "incorrect": "right", "undecided": "tie",
                          "unknown": ""}  # fmt: skip
_RATER_COLUMNS: Final = ("rater_id", "rater", "subject", "participant")
_MOST_BAD: Final = 1000
Row = Mapping[str, str]


class _BadRowError(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def export_for(form: str, folder: Path, out: Path) -> dict[str, Any]:
    """Write the study for another program to `out`; returns counts and notes."""
    study = read_study(folder)
    return (_to_webmushra if form == "webmushra" else _to_jspsych)(study, folder, out)


def import_from(form: str, folder: Path, source: Path, output: Path) -> dict[str, Any]:
    """Turn another program's results into a table of ratings; a bad row harms only itself.

    Returns counts and `bad`, one sentence for each row that was left out. Raises InputError when
    nothing in the table can be used.
    """
    study = read_study(folder)
    read = (_webmushra_reader if form == "webmushra" else _jspsych_reader)(study, source)
    ratings: list[Rating] = []
    bad: list[BadRow] = []
    for line, row in _rows(source):
        try:
            rating = read(row)
        except _BadRowError as problem:
            bad.append(BadRow(line, problem.field, str(problem)))
            continue
        if rating is not None:
            ratings.append(rating)
    if not ratings:
        why = f" ({bad[0]})" if bad else ""
        raise InputError(f"{source} holds no answer to this study{why}; name its result table")
    write_ratings(ratings, output)
    return {
        "ratings": len(ratings),
        "raters": len({r.rater_id for r in ratings}),
        "bad": [str(one) for one in bad[:_MOST_BAD]],
        "output": str(output),
    }


# ---------------------------------------------------------------------------------------- jsPsych


def _to_jspsych(study: Study, folder: Path, out: Path) -> dict[str, Any]:
    if study.stimulus != "composite":
        raise InputError(
            "jsPsych shows one video at a time; make the study with --stimulus composite",
            field="as",
        )
    language = study.page_languages[0]
    names = set()
    for seat in study.seats:
        trials = [_jspsych_trial(study, trial, language) for trial in seat.trials]
        names |= {name for trial in seat.trials for name in trial.stimulus.files.values()}
        write_text(out / f"timeline-{seat.number + 1}.json", _json(trials))
    for name in sorted(names):
        write_bytes(out / "videos" / name, (Path(folder) / VIDEO_FOLDER / name).read_bytes())
    write_text(out / "index.html", _JSPSYCH_PAGE)
    write_text(out / "run.js", _JSPSYCH_RUN)
    return {
        "out": str(out),
        "trials": sum(len(seat.trials) for seat in study.seats),
        "notes": [
            f"put jsPsych's own files into {out / 'jspsych'} (jspsych.js, jspsych.css, "
            "plugin-html-button-response.js, plugin-video-button-response.js); raters open "
            "index.html?seat=1 and so on"
        ],
    }


def _jspsych_trial(study: Study, trial: Trial, language: str) -> dict[str, Any]:
    protocol = study.protocol.get(language) or next(iter(study.protocol.values()), "")
    return {
        "type": "video-button-response",
        "stimulus": [f"videos/{trial.stimulus.files['both']}"],
        "choices": list(_CHOICES.get(language, _CHOICES["en"])),
        "prompt": f"<p>{html.escape(protocol)}</p>",
        "response_allowed_while_playing": False,
        "controls": False,
        "data": {"trial_id": trial.trial_id},
    }


def _jspsych_reader(study: Study, source: Path) -> Callable[[Row], Rating | None]:
    trials = {trial.trial_id: trial for seat in study.seats for trial in seat.trials}
    # Where a clip is shown both as practice and for real, an answer to it counts.
    by_file = {
        name: trial
        for trial in sorted(trials.values(), key=is_practice, reverse=True)
        for name in trial.stimulus.files.values()
    }
    pairs = {pair.pair_id: pair for pair in study.pairs}

    def read(row: Row) -> Rating | None:
        if row.get("trial_type", "").strip('"') != "video-button-response":
            return None
        trial = trials.get(row.get("trial_id", "")) or _by_stimulus(row, by_file)
        if is_practice(trial):
            return None
        response = row.get("response", "").strip()
        if response not in ("0", "1", "2", "", "null"):
            raise _BadRowError("response", f"{response!r} is no button of ours (0, 1, 2)")
        return replace(
            row_of(trial, pairs),
            rater_id=_rater(row) or source.stem,
            response=_SIDES[int(response)] if response.isdigit() else "",
            rt_ms=_milliseconds(row, "rt", may_lack=not response.isdigit()),
        )

    return read


def _by_stimulus(row: Row, by_file: Mapping[str, Trial]) -> Trial:
    text = row.get("stimulus", "")
    for name, trial in by_file.items():
        if name in text:
            return trial
    raise _BadRowError("stimulus", f"{text!r:.60} is no clip of this study")


# -------------------------------------------------------------------------------------- webMUSHRA


def _to_webmushra(study: Study, folder: Path, out: Path) -> dict[str, Any]:
    del folder
    language = study.page_languages[0]
    lines = [
        f"testname: {_scalar('Comparison')}",
        f"testId: {_scalar('study-' + study.plan_sha256[:12])}",
        "bufferSize: 2048",
        "stopOnErrors: true",
        "showButtonPreviousPage: false",
        "remoteService: service/write.php",
        "pages:",
        "  - type: generic",
        "    id: consent",
        "    name: " + _scalar("Consent"),
        "    content: " + _scalar(_as_html(study.consent.get(language, ""))),
        "  -",
        "    - random",
    ]
    recordings = []
    protocol = study.protocol.get(language, "")
    for number, pair in enumerate(study.pairs):
        reference, other = _target_first(study, pair)
        names = [f"configs/resources/{_page_id(number)}_{end}.wav" for end in ("a", "b")]
        lines += [
            "    - type: paired_comparison",
            f"      id: {_page_id(number)}",
            f"      name: {_scalar('Comparison')}",
            f"      content: {_scalar(protocol)}",
            "      showWaveform: false",
            "      enableLooping: false",
            f"      unforced: {_scalar(TIE)}",
            f"      reference: {names[0]}",
            "      stimuli:",
            f"        C1: {names[1]}",
        ]
        recordings += [(name, system, pair.item_id, pair.language)
                       for name, system in zip(names, (reference, other), strict=True)]  # fmt: skip
    lines += [
        "  - type: finish",
        f"    name: {_scalar('Thank you')}",
        f"    content: {_scalar('Please type in the code that you were given.')}",
        "    showResults: false",
        "    writeResults: true",
        "    questionnaire:",
        "      - type: text",
        f"        label: {_scalar('Code')}",
        "        name: rater_id",
    ]
    write_text(out / "study.yaml", "\n".join(lines) + "\n")
    write_text(out / "recordings.csv", table(("file", "system", "item_id", "language"), recordings))
    return {
        "out": str(out),
        "trials": len(study.pairs),
        "notes": [
            "webMUSHRA plays sound alone: put each system's recordings where recordings.csv says",
            "it shuffles sides and does not record them, and it has no catch trials",
        ],
    }


def _webmushra_reader(study: Study, source: Path) -> Callable[[Row], Rating | None]:
    del source
    pairs = {_page_id(number): pair for number, pair in enumerate(study.pairs)}
    counts: dict[str, int] = {}

    def read(row: Row) -> Rating | None:
        pair = pairs.get(row.get("trial_id", ""))
        if pair is None:
            raise _BadRowError("trial_id", f"{row.get('trial_id')!r:.60} is no pair of this study")
        answer = row.get("choice_answer", "").strip()
        if answer not in _MUSHRA_ANSWERS:
            known = ", ".join(_MUSHRA_ANSWERS)
            raise _BadRowError("choice_answer", f"{answer!r:.40} is not one of {known}")
        rater = _rater(row)
        if not rater:
            raise _BadRowError("rater_id", "is empty; its questionnaire must ask for the code")
        target, other = _target_first(study, pair)
        counts[rater] = counts.get(rater, -1) + 1
        response = _MUSHRA_ANSWERS[answer]
        return Rating(
            rater_id=rater, pair_id=pair.pair_id, item_id=pair.item_id, language=pair.language,
            system_a=pair.system_a, system_b=pair.system_b, shown_left=target, shown_right=other,
            response=response, trial_kind="main", catch_expected="", trial_index=counts[rater],
            rt_ms=_milliseconds(row, "choice_time", may_lack=not response),
            video_ms=pair.stimuli["AB"].duration_ms, submitted_at="",
            comment=row.get("choice_comment", ""),
        )  # fmt: skip

    return read


def _page_id(number: int) -> str:
    return f"pair_{number + 1:03d}"


def _target_first(study: Study, pair: Pair) -> tuple[str, str]:
    if pair.system_b == study.target:
        return pair.system_b, pair.system_a
    return pair.system_a, pair.system_b


# ----------------------------------------------------------------------------------------- common


def _rows(source: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        text = read_text(source)
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        return [
            (reader.line_num, {k: v or "" for k, v in row.items() if isinstance(k, str)})
            for row in reader
        ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no CSV table"
        raise InputError(f"{source} can't be read ({reason}); name a result table") from error


def _rater(row: Row) -> str:
    return next((row[name].strip() for name in _RATER_COLUMNS if row.get(name, "").strip()), "")


def _milliseconds(row: Row, name: str, *, may_lack: bool) -> int:
    try:
        value = float(row.get(name, ""))
    except ValueError:
        value = -1.0
    if 0 <= value < 1e9:
        return round(value)
    if may_lack:
        return 0
    raise _BadRowError(name, f"{row.get(name)!r:.40} is no time in milliseconds")


def _scalar(text: str) -> str:
    """A YAML scalar: a JSON text is one."""
    return json.dumps(text, ensure_ascii=False)


def _as_html(text: str) -> str:
    return "".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n"))


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


_JSPSYCH_PAGE: Final = """<!doctype html>
<html>
<head>
<meta charset="utf-8">
<title>Video comparison</title>
<link rel="stylesheet" href="jspsych/jspsych.css">
<script src="jspsych/jspsych.js"></script>
<script src="jspsych/plugin-html-button-response.js"></script>
<script src="jspsych/plugin-video-button-response.js"></script>
</head>
<body></body>
<script src="run.js"></script>
</html>
"""
_JSPSYCH_RUN: Final = """// Runs timeline-N.json of index.html?seat=N and saves the result.
const seat = Number(new URLSearchParams(location.search).get("seat")) || 1;
const rater = "R" + String(seat).padStart(2, "0");
const types = { "video-button-response": jsPsychVideoButtonResponse };

fetch(`timeline-${seat}.json`).then((answer) => answer.json()).then((trials) => {
  const jsPsych = initJsPsych({
    on_finish: () => jsPsych.data.get().localSave("csv", `${rater}.csv`),
  });
  jsPsych.data.addProperties({ rater_id: rater });
  const start = { type: jsPsychHtmlButtonResponse, stimulus: trials[0].prompt, choices: ["OK"] };
  jsPsych.run([start, ...trials.map((trial) => ({ ...trial, type: types[trial.type] }))]);
});
"""
