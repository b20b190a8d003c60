# SPDX-License-Identifier: GPL-3.0-or-later
"""Four raters use the real page in a real browser; their answers come out as the report's winner.

They use keys, mouse and touch, replay, change an answer, close the tab, lose the network, and open
the page twice.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from study_client import request, serving, start_process
from study_people import CHROMIUM, Person, everybody

from render_jobs.study.serving.exporting import ratings_of
from render_jobs.study.serving.journal import read_events

playwright_api = pytest.importorskip("playwright.async_api", reason="needs playwright")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt install chromium)")


@needs_browser
def test_four_raters_from_page_to_report(study_copy):
    rate_and_check(study_copy(), "velvet_otter", "copper_heron")


SENTENCES = {
    "en": ("Bob brought a big bag of apples.", "Please keep the paper by the open window.",
           "Maybe we should move the meeting.", "The weather map shows warm air.",
           "She poured the tea before the phone rang."),
    "zh": ("请把苹果和面包放在桌子上。", "明天早上我们去公园跑步。", "他慢慢地打开门。",
           "妈妈买了一本图画书。", "朋友们都说这部电影好看。"),
}  # fmt: skip


@needs_browser
@pytest.mark.slow
def test_two_embedded_styles_from_prompts_to_report(tmp_path):
    """The whole way: six prompts spoken in two styles, rendered, paired, rated, reported."""
    for style in ("neutral", "quiet"):
        lines = [
            json.dumps({"id": f"{code}_{k}", "text": text, "language": code, "style": style})
            for code, texts in SENTENCES.items()
            for k, text in enumerate(texts)
        ]
        prompts = tmp_path / f"{style}.jsonl"
        prompts.write_text("\n".join(lines), encoding="utf-8")
        command = ["batch", str(prompts), "--out", str(tmp_path / style), "--size", "192x256"]
        run_ok(*command, "--workers", "1", "--quiet")
    runs = [str(tmp_path / style) for style in ("neutral", "quiet")]
    options = ["--n", "6", "--raters", "4", "--languages", "en,zh", "--min-s", "1", "--quiet"]
    run_ok("pairs", *runs, "-o", str(tmp_path / "study"), *options)
    rate_and_check(tmp_path / "study", "neutral", "quiet")


def run_ok(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "render_jobs.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rate_and_check(folder, target, other):
    """Serve the study to the four people, then look at every answer and at the report."""
    served = start_process(folder, "--completion-code", "C0DE")
    try:
        people = asyncio.run(everybody(served))
        told = request(served.port, "GET", f"/admin/{served.admin_token}/progress").json
    finally:
        served.process.terminate()
        served.process.communicate(timeout=20)
    assert [person.faults for person in people] == [[], [], [], []]
    assert all(r["state"] == "finished" and r["answered"] == 8 for r in told["raters"])
    check_ratings(folder, people, target)
    check_doms(people, served.study)
    report = json.loads(run_ok("study", "report", str(folder), "--json"))
    for analysis in ("raw", "clean"):
        found = report[analysis]["comparisons"][f"{target}__vs__{other}"]["all"]
        assert found["counts"] == {"win": 24, "tie": 0, "loss": 0}, analysis


def check_ratings(folder, people, target):
    rows = ratings_of(folder)
    assert len(rows) == 32
    for person in people:
        own = [r for r in rows if r.rater_id == person.rater_id]
        wanted = {}
        for trial in person.trials:
            side = "left" if trial.left == target else "right"
            wanted[trial.index] = trial.expected or side
        assert {r.trial_index: r.response for r in own} == {
            k: v for k, v in wanted.items() if person.trials[k].kind != "practice"
        }
        assert all(r.coverage >= 0.95 for r in own)
        assert all(r.rt_ms >= r.video_ms for r in own)
    by_rater = {p.rater_id: [r for r in rows if r.rater_id == p.rater_id] for p in people}
    assert [r.plays for r in by_rater["R02"]] == [2] + [1] * 7
    assert {r.viewport for r in by_rater["R01"]} == {"1280x800"}
    assert {r.page_language for r in by_rater["R04"]} == {"zh"}
    answers = [e for e in read_events(folder) if e["event"] == "answer"]
    assert len({e["uuid"] for e in answers}) == len(answers) == 4 * 10 + 1  # one correction
    assert all(e["timing"]["small_screen"] for e in answers if e["rater_id"] == "R04")
    skipped = [e for e in read_events(folder) if e["event"] == "skipped"]
    assert [e["trial_id"] for e in skipped] == [people[1].trials[6].trial_id]
    assert {e["timing"]["by"] for e in answers} == {"keys", "mouse", "touch"}


def check_doms(people, study):
    # A style is a plain word, which texts may hold; where it would tell, other tests look.
    words = [name for name in study.systems if name not in ("neutral", "quiet")]
    words += ["catch", "identical", "desync", "intact", "delayed"]
    words += [pair.item_id for pair in study.pairs]
    for person in people:
        assert len(person.doms) >= 10
        for dom in person.doms:
            assert not [word for word in words if word in dom]
        assert any('role="progressbar"' in dom and 'aria-valuetext="' in dom for dom in person.doms)


async def in_dual_mode(served):
    async with playwright_api.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        person = Person(served, 1, context)
        await person.open()
        await person.enter()
        await person.wait_trial()
        assert await person.page.locator("video").count() == 2
        await person.trial()
        await browser.close()
    return person


@needs_browser
def test_two_videos_follow_one_sound(two_runs, tmp_path):
    from render_jobs.study.making.pairs import PairOptions, build_study

    folder = build_study(
        PairOptions(
            tuple(two_runs),
            tmp_path / "dual",
            count=2,
            raters=2,
            languages=("en", "zh"),
            seed=1,
            min_s=0.5,
            stimulus="dual",
            contact="The tester",
        )
    ).folder
    with serving(Path(folder)) as served:
        person = asyncio.run(in_dual_mode(served))
        answers = [e for e in read_events(folder) if e["event"] == "answer"]
    assert person.faults == []
    assert len(answers) == 1
    assert answers[0]["coverage"] >= 0.95
    assert "drift_max_ms" in answers[0]["timing"]


async def where_clips_dont_play(served):
    """Two browsers: one knows no such videos, the other can't load any."""
    async with playwright_api.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context()
        await context.add_init_script("HTMLMediaElement.prototype.canPlayType = () => ''")
        person = Person(served, 0, context)
        await person.open()
        await person.page.get_by_text("The clips can't be played here").wait_for()
        context = await browser.new_context()
        await context.route("**/v/*", lambda route: route.fulfill(status=404))
        person = Person(served, 1, context)
        await person.open()
        await person.enter()
        await person.page.get_by_text("The clips can't be played here").wait_for()
        await context.unroute("**/v/*")
        await person.page.locator("#go").click()
        await person.page.locator("#play").wait_for()
        await browser.close()


@needs_browser
def test_a_browser_that_plays_no_clips_uses_up_no_trials(study_copy):
    folder = study_copy()
    with serving(folder) as served:
        asyncio.run(where_clips_dont_play(served))
    events = list(read_events(folder))
    assert not [e for e in events if e["rater_id"] == "R01"]
    assert [e["event"] for e in events].count("skipped") == 1
