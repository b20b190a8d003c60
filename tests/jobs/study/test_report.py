# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender study report`: honest sentences, safe pages, sentences for bad input, plans obeyed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rating_tables import catch, made_up, of_outcomes, rating, relabelled

from exomni_core.errors import InputError
from render_jobs.cli.commands import main
from render_jobs.study.plan_file import read_study
from render_jobs.study.ratings import BadRow, read_ratings, write_ratings
from render_jobs.study.report.analysis import analyse
from render_jobs.study.report.compose import summary_lines, write_report
from render_jobs.study.report.sources import gather
from render_jobs.study.report.wording import agreement_words, pair_caution, verdict


def run(*arguments):
    return CliRunner().invoke(main, ["study", "report", *map(str, arguments)])


@pytest.fixture
def table(tmp_path):
    """A function that writes rows to a table and returns its path."""

    def write(rows):
        write_ratings(rows, tmp_path / "ratings.csv")
        return tmp_path / "ratings.csv"

    return write


# --- keys of the JSON -----------------------------------------------------------------------------


def test_languages_have_entries_only_where_there_are_several(table):
    facts = json.loads(run("--ratings", table(made_up(1)), "--target", "a", "--json").stdout)
    assert facts["raw"]["comparisons"]["b__vs__c"].keys() == {"all", "en", "zh"}
    one = json.loads(
        run("--ratings", table(made_up(1, languages=("zh",))), "--target", "a", "--json").stdout
    )
    assert one["raw"]["comparisons"]["a__vs__b"].keys() == {"all"}
    parts = facts["raw"]["comparisons"]["a__vs__b"]
    assert parts["all"]["n_ratings"] == parts["en"]["n_ratings"] + parts["zh"]["n_ratings"]


def test_orientation_and_holm_hold_the_target(table):
    facts = json.loads(run("--ratings", table(made_up(2)), "--target", "b", "--json").stdout)
    assert facts["raw"]["comparisons"].keys() == {"b__vs__a", "a__vs__c", "b__vs__c"}
    assert facts["raw"]["holm_p_sign_no_ties"].keys() == {"b__vs__a", "b__vs__c"}
    assert facts["raw"]["ranking"]["cells"].keys() == facts["raw"]["comparisons"].keys()


CASES = {
    "one rating": [rating()],
    "one rater": [rating(pair=f"p{n}") for n in range(5)],
    "one pair": [rating(f"R{n}", response="left" if n else "right") for n in range(5)],
    "all ties": [rating(f"R{n}", f"p{k}", "tie") for n in range(3) for k in range(3)],
    "nobody passes": [rating("R1"), catch("R1", 0, passed=False)],
    "two islands": made_up(3, systems=("a", "b")) + made_up(4, systems=("x", "y")),
    "no times": [
        replace(row, rt_ms=0, video_ms=0, submitted_at="")
        for row in made_up(5, systems=("a", "b"), raters=3, items=3)
    ],
    "no winner's loss": of_outcomes({str(n): ["win", "win", "tie"] for n in range(4)}),
}


@pytest.mark.parametrize("name", CASES)
def test_small_and_odd_tables_give_strict_json_and_a_report(table, tmp_path, name):
    out = tmp_path / "report"
    done = run("--ratings", table(CASES[name]), "--target", "a", "--json", "-o", out)
    assert done.exit_code == 0, done.output
    json.loads(done.stdout, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "nan" not in re.findall(r"\bnan\b|\binf\b", text)


def test_what_can_not_be_ranked_says_why(table, tmp_path):
    done = run("--ratings", table(CASES["two islands"]), "--target", "a", "--json")
    ranking = json.loads(done.stdout)["raw"]["ranking"]
    assert ranking["davidson"] is None
    assert "no common scale" in ranking["note"]
    done = run("--ratings", table(CASES["no winner's loss"]), "--target", "a", "--json")
    assert "half a win" in json.loads(done.stdout)["raw"]["ranking"]["note"]


# --- bad input ------------------------------------------------------------------------------------


def test_a_bad_row_harms_only_itself(table):
    path = table([rating("R1"), rating("R2"), rating("R3"), rating("R4")])
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].replace(",left,", ",both,")
    lines[2] = lines[2].replace(",9000,", ",soon,")
    lines[3] = "R3,short"
    path.write_text("\n".join(lines), encoding="utf-8")
    bad = []
    assert [row.rater_id for row in read_ratings(path, bad)] == ["R4"]
    assert [(row.line, row.field) for row in bad] == [(2, "response"), (3, "rt_ms"), (4, "row")]
    assert isinstance(bad[0], BadRow)
    with pytest.raises(InputError, match=r"ratings.csv line 2, response: 'both' is not one of"):
        read_ratings(path)
    done = run("--ratings", path, "--target", "a")
    assert done.exit_code == 1
    assert "left out line 2, response: 'both'" in done.stderr
    facts = json.loads(run("--ratings", path, "--target", "a", "--json").stdout)
    assert len(facts["cleaning"]["bad_rows"]) == 3


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"response": "links"}, "response"), ({"shown_left": "c"}, "shown_left"),
        ({"shown_left": "b"}, "shown_right"), ({"system_b": "a"}, "system_b"),
        ({"rater_id": ""}, "rater_id"), ({"trial_kind": "extra"}, "trial_kind"),
        ({"trial_kind": "catch_desync"}, "catch_expected"),
        ({"submitted_at": "yesterday"}, "submitted_at"),
        ({"video_ms": ""}, "video_ms"), ({"rt_ms": "-5"}, "rt_ms"), ({"rt_ms": "nan"}, "rt_ms"),
        ({"response": "", "rt_ms": "", "video_ms": ""}, None), ({"coverage": "most"}, "coverage"),
        ({"catch_expected": "x", "trial_kind": "catch_identical"}, "catch_expected"),
    ],
)  # fmt: skip
def test_every_field_is_checked(table, change, field):
    path = table([rating()])
    header, line = path.read_text(encoding="utf-8").splitlines()
    values = dict(zip(header.split(","), line.split(","), strict=True)) | change
    path.write_text(header + "\n" + ",".join(values.values()) + "\n", encoding="utf-8")
    bad = []
    rows = read_ratings(path, bad)
    assert ([row.field for row in bad], len(rows)) == (([field], 0) if field else ([], 1))


def test_sentences_for_what_can_not_be_read(table, tmp_path):
    path = table([rating()])
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("rt_ms", "time"), encoding="utf-8")
    done = run("--ratings", path, "--target", "a")
    assert done.exit_code == 2
    assert "line 1: the table lacks the column rt_ms" in done.stderr
    path.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in run("--ratings", path, "--target", "a").stderr
    path.write_text(text, encoding="utf-8")
    assert "choose one of: a, b" in run("--ratings", path, "--target", "z").stderr
    assert "--target" in run("--ratings", path).stderr
    assert run().exit_code == 2
    assert "can't be read" in run(tmp_path).stderr
    path.write_text(text.splitlines()[0] + "\n", encoding="utf-8")
    assert "no answered main trial" in run("--ratings", path, "--target", "a").stderr


def test_a_table_from_a_spreadsheet_is_read(table):
    path = table([rating(comment='a "quoted", comment\nof two lines')])
    text = path.read_text(encoding="utf-8")
    assert read_ratings(path) == [rating(comment='a "quoted", comment\nof two lines')]
    path.write_bytes(("\ufeff" + text.replace("left", "Left")).encode().replace(b"\n", b"\r\n"))
    found = read_ratings(path) if b"shown_Left" not in path.read_bytes() else None
    assert found is None or found[0].response == "left"


# --- sentences ------------------------------------------------------------------------------------


def one(labels, raters=8):
    rows = of_outcomes({str(n): [label] * raters for n, label in enumerate(labels)})
    return analyse(rows, "a")["raw"]["comparisons"]["a__vs__b"]["all"]


def test_a_small_majority_of_few_pairs_is_called_no_evidence():
    facts = one(["win"] * 11 + ["tie"] * 2 + ["loss"] * 7)
    text = pair_caution("a__vs__b", facts)
    assert "a won 11 of 20 pairs by majority (55 %)" in text
    assert "20 pairs alone are no evidence of a preference (sign test p = 0.481)" in text
    claim, basis = verdict("a__vs__b", facts, None, 1)
    assert claim.startswith("No evidence of a preference between a and b")
    assert "no evidence that they are equal" in basis


def test_a_preference_is_claimed_for_whom_it_belongs_to():
    many = made_up(6, systems=("a", "b"), raters=10, items=15, strengths={"a": 2, "b": 0})
    facts = analyse(many, "a")["raw"]["comparisons"]["a__vs__b"]["all"]
    assert verdict("a__vs__b", facts, None, 1)[0].startswith("a was preferred to b: overall of a")
    facts = analyse(many, "b")["raw"]["comparisons"]["b__vs__a"]["all"]
    assert verdict("b__vs__a", facts, None, 1)[0].startswith("a was preferred to b: overall of b")


def test_holm_can_take_a_preference_back():
    facts = one(["win"] * 14 + ["loss"] * 6) | {"p_cluster_t": 0.03}
    assert "preferred" in verdict("a__vs__b", facts, None, 1)[0]
    claim, basis = verdict("a__vs__b", facts, 0.06, 2)
    assert claim.startswith("No evidence")
    assert "among several comparisons it does not" in basis


def test_mmf_is_told_beside_chance():
    facts = one(["win", "loss"])
    assert "would reach" in agreement_words(facts)
    assert "almost perfect" in agreement_words(facts)


# --- the page -------------------------------------------------------------------------------------


class Balance(HTMLParser):
    """Collects tags and refuses one that closes what is not open."""

    VOID = ("meta", "wbr")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.attributes = [], set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


HOSTILE = '<script>alert(1)</script>|`x`"&'


def test_the_page_stands_alone_and_runs_nothing(table, tmp_path):
    rows = relabelled(made_up(7), {"b": HOSTILE})
    rows = [replace(row, rater_id=row.rater_id + "<img src=x>") for row in rows]
    run("--ratings", table(rows), "--target", "a", "-o", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    seen = Balance(page)
    assert not seen.open
    assert not seen.seen & {"script", "img", "link", "iframe", "object"}
    assert not [v for k, v in seen.attributes if k in ("src", "href") or k.startswith("on")]
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing)
    assert len(re.findall(r"<svg", page)) == 5
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "<script" not in text.replace("\\<script", "")
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if "R01" in line}
    assert widths == {7}  # the name's own bar breaks no table


def test_the_report_holds_what_the_issue_asks_for(table, tmp_path):
    run("--ratings", table(made_up(8)), "--target", "a", "-o", tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for words in (
        "Win, Tie, Overall and MMF as in the paper",
        "MMF by chance",
        "MMF pooled",
        "Win, ratings",
        "two-way cluster-robust",
        "Bootstrap 95 %",
        "Wilson",
        "Sign",
        "Trinomial",
        "Davidson",
        "Bradley-Terry",
        "Alpha",
        "Kappa",
        "Holm",
        "Ties dropped",
        "Strict",
        "after exclusions",
        "all ratings",
        "| zh |",
        "Response times",
        "Every prompt",
        "R02 (passed 0 of 2 catch trials)",
        "No study plan came with these ratings",
    ):
        assert words in text, words
    whole = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert whole.keys() == {"cleaning", "raw", "clean", "details", "about", "version"}


def test_same_ratings_same_bytes(table, tmp_path):
    source = gather(None, table(made_up(9)), "a")
    facts = analyse(source.rows, "a")
    first = [p.read_bytes() for p in write_report(source, facts, tmp_path / "1", seed=0)]
    second = [p.read_bytes() for p in write_report(source, facts, tmp_path / "2", seed=0)]
    assert first == second


# --- with a study's plan --------------------------------------------------------------------------


def answers(study, stop_after=None):
    """Everybody prefers the target; the last rater stops early when asked to."""
    rows = []
    for seat in study.seats:
        mains = [trial for trial in seat.trials if trial.kind == "main"]
        last = seat is study.seats[-1]
        for trial in mains[: stop_after if last else None]:
            pair = study.pair(trial.pair_id)
            rows.append(
                rating(
                    f"P{seat.number}",
                    pair.pair_id,
                    "left" if trial.left == study.target else "right",
                    pair.system_a,
                    pair.system_b,
                    flipped=trial.left == pair.system_b,
                    item_id=pair.item_id,
                    language=trial.language,
                    trial_index=trial.index,
                    coverage=1.0,
                )
            )
    return rows


def test_a_studys_plan_names_target_rules_and_hash(small_study, table, tmp_path):
    study = read_study(small_study)
    path = table(answers(study, stop_after=4))
    done = run(small_study, "--ratings", path, "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["cleaning"]["excluded_why"] == {"P3": "answered 4 of 6 trials"}
    name = next(iter(facts["raw"]["comparisons"]))
    assert name.startswith(f"{study.target}__vs__")
    assert facts["raw"]["comparisons"][name]["all"]["rating_level"]["win"] == 1.0
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert study.plan_sha256 in text
    assert "Both videos of a pair play the same sound" in text
    whole = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert whole["about"]["plan_intact"] is True


def test_a_study_without_answers_says_what_to_do(study_copy):
    done = run(study_copy())
    assert done.exit_code == 2
    assert "exorender study serve" in done.stderr


def whole_session(served, seat):
    """One rater who prefers the target, over HTTP like the page does it."""
    trials = {trial.trial_id: trial for trial in served.study.seats[seat].trials}
    rater = served.rater(seat)
    rater.state("open")
    state = rater.enter()
    while state["step"] != "comment":
        if state["step"] != "trial":
            state = rater.go_on(state)
            continue
        trial = trials[state["trial"]["id"]]
        side = "left" if trial.left == served.study.target else "right"
        state = rater.answer(state, trial.expected or side)
    rater.state("finish", comment="")


def test_a_served_study_is_reported_from_its_own_store(study_copy, tmp_path):
    from study_client import serving

    with serving(study_copy()) as served:
        for seat in range(3):
            whole_session(served, seat)
        done = run(served.folder, "--json", "-o", tmp_path)
        target = served.study.target
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    (name,) = facts["raw"]["comparisons"]
    entry = facts["raw"]["comparisons"][name]
    assert name.startswith(f"{target}__vs__")
    assert entry["all"]["counts"] == {"win": 18, "tie": 0, "loss": 0}
    assert entry.keys() == {"all", "en", "zh"}
    cleaning = facts["cleaning"]
    assert cleaning["catch"] == {f"R0{n}": {"passed": 2, "total": 2} for n in (1, 2, 3)}
    assert cleaning["excluded_why"] == {}
    bored = {
        **facts["cleaning"],
        "excluded_raters": ["R02"],
        "excluded_why": {"R02": "passed 0 of 2"},
    }
    assert "raters R02 (passed 0 of 2)." in summary_lines({**facts, "cleaning": bored}, target)[0]
    # nobody can have watched: the server's clock caps what these hasty raters claim
    assert (cleaning["too_fast_main"], facts["clean"]["comparisons"]) == (18, {})
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "The exclusion rules leave no rating" in text
