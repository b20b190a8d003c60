# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender eval suite` on finished coefficients: rows, sums, resuming, refusals, the page."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from exomni_core.arkit import ARKIT_52
from exomni_core.errors import InputError
from exomni_core.formats.convert import write_face
from exomni_core.metrics.faces.table import summarise
from render_jobs.cli.commands import main
from render_jobs.evaluation.suite import scoring
from render_jobs.evaluation.suite.config import read_config
from render_jobs.evaluation.suite.run import SuiteOptions, run_suite

HOSTILE = "<script>alert(1)</script>|`x`"
CONFIG = """
[suite]
title = "Two systems {title}"
seed = 3

[[set]]
name = "one"
prompts = "prompts.jsonl"
references = "refs"

[[system]]
name = "near"
run = "runs/{{system}}"
description = "{title}"

[[system]]
name = "far"
run = "runs/{{system}}"

[metrics.face]
template = "head"

[metrics.sync]
"""


@pytest.fixture
def place(tmp_path, curves) -> Path:
    """Two systems with four clips each, one of them broken, against references."""
    names = ["a", "b", "c", "d"]
    lines = [json.dumps({"id": n, "text": f"word {n}", "language": "en"}) for n in names]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    for folder in ("refs", "runs/near", "runs/far"):
        (tmp_path / folder).mkdir(parents=True)
    for number, name in enumerate(names):
        truth = np.clip(curves(40 + 10 * number, number), 0, 1)
        other = np.clip(curves(40 + 10 * number, number + 50), 0, 1)
        write_face(tmp_path / "refs" / f"{name}.json", truth, 30.0)
        write_face(tmp_path / "runs/near" / f"{name}.json", 0.9 * truth, 30.0)
        write_face(tmp_path / "runs/far" / f"{name}.json", other, 30.0)
    (tmp_path / "refs/reference.json").write_text('{"model": "claire", "model_version": "2"}')
    (tmp_path / "runs/far/d.json").write_text("{}")
    (tmp_path / "suite.toml").write_text(CONFIG.format(title=HOSTILE))
    return tmp_path


def suite(place: Path, *arguments: object, code: int = 0, output: str = "out") -> dict[str, Any]:
    command = ["eval", "suite", place / "suite.toml", "-o", place / output, *arguments, "--json"]
    done = CliRunner().invoke(main, [str(a) for a in command])
    assert done.exit_code == code, done.output
    if code in (2, 3):
        return {"error": done.output.strip().splitlines()[-1]}
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found


def rows_of(place: Path, metric: str, system: str) -> list[dict[str, Any]]:
    text = (place / "out/rows" / metric / system / "one.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def edit(place: Path, old: str, new: str) -> None:
    path = place / "suite.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_every_number_is_the_sum_of_its_rows(place):
    found = suite(place, code=1)
    faces = {r["system"]: r for r in found["results"] if r["metric"] == "face"}
    for name, result in faces.items():
        rows = rows_of(place, "face", name)
        scored = [row["lve_l2_mm"] for row in rows if row["status"] == "scored"]
        mean = math.fsum(scored) / len(scored)
        assert result["metrics"]["lve_l2_mm"]["mean"] == pytest.approx(mean, rel=1e-12)
        again = summarise(rows, seed=3)
        assert again["metrics"] == result["metrics"]
        assert again["baselines"] == result["baselines"]
        page = (place / "out/report.html").read_text()
        words = f"{mean:.3f}" if mean < 10 else f"{mean:.2f}"
        assert f'<a href="rows/face/{name}/one.jsonl">{words} [' in page
    pair = found["paired"][0]
    assert (pair["a"], pair["b"], pair["n"]) == ("near", "far", 3)
    assert pair["mean"] < 0
    assert (
        faces["near"]["metrics"]["lve_l2_mm"]["mean"] < faces["far"]["metrics"]["lve_l2_mm"]["mean"]
    )


def test_failures_are_counted_everywhere(place):
    found = suite(place, code=1)
    counts = {(r["metric"], r["system"]): r["counts"] for r in found["results"]}
    assert counts["face", "far"]["n"] == 4
    assert counts["face", "far"]["n_failed"] == 1
    assert counts["sync", "far"]["n_failed"] == 1
    assert counts["face", "near"]["n_failed"] == 0
    far = next(r for r in found["results"] if (r["metric"], r["system"]) == ("face", "far"))
    neutral = rows_of(place, "face", "far")[3]["baseline_neutral_lve_l2_mm"]
    known = [r["lve_l2_mm"] for r in rows_of(place, "face", "far")[:3]]
    still = far["metrics"]["lve_with_failures_l2_mm"]
    assert still["n"] == 4
    assert still["mean"] == pytest.approx((math.fsum(known) + neutral) / 4)
    assert "(1 failed)" in (place / "out/report.md").read_text()


def test_a_clip_that_is_missing_has_failed(place):
    (place / "runs/near/b.json").unlink()
    (place / "refs/c.json").unlink()
    found = suite(place, code=1)
    near = next(r for r in found["results"] if (r["metric"], r["system"]) == ("face", "near"))
    assert near["counts"] == {**near["counts"], "n": 4, "n_scored": 2, "n_failed": 2}
    reasons = {f["id"]: f["reason"] for f in near["failures"]}
    assert "there is no clip of this prompt" in reasons["b"]
    assert "no reference" in reasons["c"]


def test_the_same_again_and_another_folder_give_the_same_bytes(place):
    suite(place, code=1)
    first = kept(place / "out")
    suite(place, code=1)
    assert kept(place / "out") == first
    suite(place, code=1, output="other")
    assert kept(place / "other") == first


def kept(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_a_killed_run_goes_on_where_it_stopped(place, monkeypatch):
    suite(place, code=1, output="whole")
    seen: list[str] = []
    real = scoring.run_jobs

    def dying(jobs, *arguments, **others):
        for row in real(jobs, *arguments, **others):
            seen.append(row["id"])
            if len(seen) == 3:
                raise KeyboardInterrupt
            yield row

    config = read_config(place / "suite.toml")
    monkeypatch.setattr(scoring, "run_jobs", dying)
    with pytest.raises(KeyboardInterrupt):
        run_suite(config, SuiteOptions(place / "out"))
    half = (place / "out/rows/face/near/one.jsonl").read_text()
    assert half.count("\n") == 2
    # As if the power had gone in the middle of a line.
    (place / "out/rows/face/near/one.jsonl").write_text(half + half[:50])
    done: list[str] = []

    def counting(jobs, *arguments, **others):
        done.extend(job.id for job in jobs)
        return real(jobs, *arguments, **others)

    monkeypatch.setattr(scoring, "run_jobs", counting)
    suite(place, code=1)
    assert len(done) == 2 + 4
    assert kept(place / "out") == kept(place / "whole")


def test_a_clip_that_has_changed_is_measured_again(place, curves):
    suite(place, code=1)
    before = {row["id"]: row for row in rows_of(place, "face", "near")}
    write_face(place / "runs/near/b.json", np.clip(curves(50, 99), 0, 1), 30.0)
    suite(place, code=1)
    after = {row["id"]: row for row in rows_of(place, "face", "near")}
    assert after["a"] == before["a"]
    assert after["b"]["key"] != before["b"]["key"]
    assert after["b"]["lve_l2_mm"] > 2 * before["b"]["lve_l2_mm"]


def test_mixed_references_are_refused_before_any_work(place):
    shutil.copytree(place / "refs", place / "refs2")
    (place / "refs2/reference.json").write_text('{"model": "claire", "model_version": "3"}')
    edit(
        place,
        '[[system]]\nname = "near"',
        '[[set]]\nname = "two"\nprompts = "prompts.jsonl"\n'
        'references = "refs2"\n\n[[system]]\nname = "near"',
    )
    error = suite(place, code=2)["error"]
    assert "2 configurations" in error
    assert "model_version=3" in error
    assert not (place / "out/rows").exists()


def test_references_by_id_and_system(place):
    lines = [
        {"id": n, "system": s, "face": f"runs/{s}/{n}.json", "fps": 30, "model": "own"}
        for n in "abcd"
        for s in ("near", "far")
    ]
    (place / "references.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    edit(place, 'references = "refs"', 'references = "references.jsonl"')
    found = suite(place, code=1)
    for result in found["results"]:
        if result["metric"] == "face":
            assert result["metrics"]["lve_l2_mm"]["mean"] == 0.0


def test_a_set_without_a_good_prompt_is_refused(place):
    (place / "prompts.jsonl").write_text('{"id": "a"}\n')
    assert "the set one is empty" in suite(place, code=2)["error"]
    (place / "prompts.jsonl").write_text("")
    assert "prompts" in suite(place, code=2)["error"]


WRONG = {
    "an unknown key": ('references = "refs"', 'reference = "refs"', "'reference'"),
    "an unknown table": ("[suite]", "[suit]", "[suit]"),
    "an unknown metric": ("[metrics.sync]", "[metrics.sink]", "[metrics.sink]"),
    "another type": ("seed = 3", 'seed = "3"', "seed must be a whole number"),
    "a needed key": ('prompts = "prompts.jsonl"', "", "lacks prompts"),
    "a name twice": ('name = "far"', 'name = "near"', "'near' twice"),
    "two kinds": ('run = "runs/{system}"', 'run = "x"\nengine = "embedded"', "exactly one of"),
    "no kind": ('run = "runs/{system}"', "", "exactly one of"),
    "no such engine": ('run = "runs/{system}"', 'engine = "x"', "engine must be one of"),
    "a stray pattern": ('"runs/{system}"', '"runs/{sistem}"', "{sistem}"),
    "no references": ('references = "refs"', "", "no references"),
    "a set that isn't": ("[metrics.sync]", '[metrics.sync]\nsets = ["x"]', "a set 'x'"),
    "no transcripts": ("[metrics.sync]", "[metrics.consistency]", "needs either hyp"),
    "a bad name": ('name = "one"', 'name = "../one"', "can't name a set"),
    "broken TOML": ("seed = 3", "seed = ", "broken TOML"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_configuration_is_one_sentence(place, case):
    old, new, told = WRONG[case]
    edit(place, old, new)
    error = suite(place, code=2)["error"]
    assert told in error
    assert "suite.toml" in error
    assert not (place / "out/rows").exists()


def test_the_page_stands_alone_and_runs_nothing(place):
    suite(place, code=1)
    page = (place / "out/report.html").read_text(encoding="utf-8")
    tags: list[str] = []
    links: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            links.extend(v or "" for k, v in attrs if k in ("href", "src"))

    Reader().feed(page)
    assert not {"script", "img", "link", "iframe", "object"} & set(tags)
    assert tags.count("svg") >= 2
    assert HOSTILE not in page
    assert html.escape(HOSTILE) in page
    assert links
    for link in links:
        assert not link.startswith(("http", "/", "."))
        assert (place / "out" / link).is_file()
    assert not re.search(r"url\(|@import|https?://", page)
    assert "not comparable" in page
    assert "face that never moves" in page


def test_limit_takes_the_first_prompts_alone(place):
    found = suite(place, "--limit", 2)
    assert {r["counts"]["n"] for r in found["results"]} == {2}
    assert found["settings"]["limit"] == 2
    assert "--limit" in (place / "out/report.md").read_text().replace("\\", "")


def test_synthetic_references_are_reproducible_and_say_what_they_are(place):
    def make(folder: str, seed: int) -> dict[str, Any]:
        done = CliRunner().invoke(main, ["eval", "synthetic-reference", str(place / "runs/near"),
                                         "-o", str(place / folder), "--seed", str(seed),
                                         "--json"])  # fmt: skip
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.output)
        return found

    first, again, other = make("s1", 1), make("s2", 1), make("s3", 2)
    assert first["counts"]["n_made"] == 4
    assert kept(place / "s1") == kept(place / "s2")
    assert (place / "s1/a.json").read_bytes() != (place / "s3/a.json").read_bytes()
    assert first["config_sha256"] == again["config_sha256"] != other["config_sha256"]
    facts = json.loads((place / "s1/reference.json").read_text())
    assert facts["model"] == "synthetic"
    assert len(facts["made_from"]) == 4
    made = json.loads((place / "s1/a.json").read_text())
    assert made["facsNames"] == list(ARKIT_52)
    weights = np.array(made["weightMat"])
    assert weights.shape == (40, 52)
    assert weights.min() >= 0.0
    assert weights.max() <= 1.0


def test_configuration_errors_are_input_errors(place):
    (place / "suite.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        read_config(place / "suite.toml")
