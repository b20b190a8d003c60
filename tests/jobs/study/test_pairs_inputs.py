# SPDX-License-Identifier: GPL-3.0-or-later
"""What is compared and what is left out, builds that stop, refusals, and the command."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from pair_tools import NAMES, options, tree

from exomni_core.clip import save_clip
from exomni_core.errors import InputError
from render_jobs.cli.pairs import pairs as pairs_command
from render_jobs.settings import RenderSettings
from render_jobs.study.making import pairs as pairs_module
from render_jobs.study.making.composite import DIVIDER_PX
from render_jobs.study.making.pairs import build_study
from render_jobs.study.making.pictures import choose_settings
from render_jobs.study.making.runs import read_run, read_runs
from render_jobs.study.making.texts import is_word_of_ours
from render_jobs.study.plan_file import read_study
from render_jobs.video.mux import probe


def test_a_stopped_build_goes_on(two_runs, tmp_path, monkeypatch):
    whole = build_study(options(two_runs, tmp_path / "whole"))
    made = []
    real = pairs_module.write_study

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pairs_module, "write_study", stop)
    with pytest.raises(KeyboardInterrupt):
        build_study(options(two_runs, tmp_path / "cut"))
    assert not (tmp_path / "cut").exists()
    monkeypatch.setattr(pairs_module, "write_study", real)
    from render_jobs.study.making import stimuli

    monkeypatch.setattr(stimuli, "encode_composite", lambda *a: made.append(a))
    cut = build_study(options(two_runs, tmp_path / "cut"))
    assert made == []  # nothing was encoded twice
    assert tree(cut.folder) == tree(whole.folder)
    assert not list(tmp_path.glob(".*"))


def test_an_existing_study_is_not_lost(two_runs, tmp_path):
    out = tmp_path / "study"
    build_study(options(two_runs, out, count=1))
    with pytest.raises(InputError, match="add --force"):
        build_study(options(two_runs, out, count=1))
    (out / "ratings.sqlite").write_bytes(b"answers")
    with pytest.raises(InputError, match="holds ratings already"):
        build_study(options(two_runs, out, count=1, force=True))
    (out / "ratings.sqlite").unlink()
    build_study(options(two_runs, out, count=2, force=True))
    assert len(read_study(out).pairs) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds other files"):
        build_study(options(two_runs, tmp_path / "mine", force=True))


def test_what_cannot_be_compared_is_left_out_with_a_reason(two_runs, tmp_path, study_tools):
    make_video, speech = study_tools
    runs = [Path(shutil.copytree(run, tmp_path / run.name)) for run in two_runs]
    (runs[1] / "en_00.mp4").unlink()
    make_video(runs[1] / "en_01.mp4", "testsrc2", 2.6, sound=speech(2, 2.6))  # longer
    make_video(runs[1] / "en_02.mp4", "testsrc2", 1.4, sound=speech(77, 1.4))  # another speech
    (runs[0] / "en_03.mp4").write_bytes(b"no video at all")
    make_video(runs[0] / "en_extra.mp4", "testsrc", 0.4, sound=speech(1, 0.4))
    make_video(runs[1] / "en_extra.mp4", "testsrc2", 0.4, sound=speech(1, 0.4))
    make_video(runs[1] / "en_04.mp4", "testsrc2", 1.8, size="64x64", fps="25")  # silent: fine
    for run in runs:
        make_video(run / "en_mute.mp4", "testsrc", 1.2, sound=0 * speech(1, 1.2))
    built = build_study(options(runs, tmp_path / "s", count=1))
    reasons = {one.item: one.reason for one in built.study.dropped}
    assert "copper_heron has no such prompt" in reasons["en_00"]
    assert "made for another speech" in reasons["en_01"]
    assert "speaks another recording" in reasons["en_02"]
    assert "en_03.mp4" in reasons["en_03"]
    assert str(tmp_path) not in " ".join(reasons.values())
    assert "0.40 s, not 0.5 to 20 s" in reasons["en_extra"]
    assert "silent" in reasons["en_mute"]
    assert "language is zh" in reasons["zh_00"]
    assert [pair.item_id for pair in built.study.pairs] == ["en_04"]
    assert any("another size" in note for note in built.notes)
    assert any("frame rate" in note for note in built.notes)
    assert any("looks other than velvet_otter" in note for note in built.notes)
    info = probe(tmp_path / "s" / "videos" / built.study.pairs[0].stimuli["AB"].files["both"])
    assert (info.width, info.height) == (96 * 2 + DIVIDER_PX, 128)


def test_several_runs_and_all_pairs(two_runs, tmp_path, study_tools):
    make_video, _ = study_tools
    third = tmp_path / NAMES[2]
    for k in range(5):
        make_video(third / f"en_0{k}.mp4", "smptebars", 1.0 + 0.2 * k)
    runs = [*two_runs, third]
    built = build_study(options(runs, tmp_path / "all", all_pairs=True, target="copper_heron"))
    assert built.study.comparisons == (
        ("copper_heron", "velvet_otter"),
        ("copper_heron", "amber_lynx"),
        ("velvet_otter", "amber_lynx"),
    )
    assert built.study.balance["problems"] == []


def test_a_batch_run_is_read_by_its_manifest(make_clip, tmp_path):
    folder = tmp_path / "batch"
    rows = []
    for k in range(3):
        clip = make_clip(duration_s=1.0 + 0.1 * k, language="en")
        save_clip(clip, folder / "clips" / f"p{k}.clip")
        rows.append({"id": f"p{k}", "line": k + 1, "status": "done", "clip": f"clips/p{k}.clip"})
    rows.append({"id": "p3", "line": 4, "status": "failed", "error": "the moon was full"})
    rows.append({"id": "../../p4", "line": 5, "status": "done", "clip": "clips/x.clip"})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    run = read_run(folder, "batch")
    assert set(run.items) == {"p0", "p1", "p2", "p3"}
    assert run.items["p0"].language == "en"
    assert run.items["p1"].duration_s == pytest.approx(1.1)
    assert run.items["p3"].error == "the moon was full"


def test_refusals_are_one_sentence(two_runs, tmp_path):
    cases = [
        ({"count": 50}, r"only 5 items of language 'en'.*5 were left out; zh_00: its language"),
        ({"names": ("x",)}, "1 names were given for 2 runs"),
        ({"names": ("x", "x")}, "two runs are called 'x'"),
        ({"names": ("x__y", "z")}, "can't name a system"),
        ({"target": "nobody"}, "no run is called 'nobody'"),
        ({"title": "Velvet_Otter against the rest"}, "names the system velvet_otter"),
        ({"languages": ("fr",)}, "none of the 10 items can be compared"),
    ]
    for changes, words in cases:
        with pytest.raises(InputError, match=words):
            build_study(options(two_runs, tmp_path / "s", **changes))
    with pytest.raises(InputError, match="needs two runs"):
        build_study(options(two_runs[:1], tmp_path / "s"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no manifest.jsonl, no .clip and no .mp4"):
        build_study(options([two_runs[0], tmp_path / "empty"], tmp_path / "s"))
    assert {p.name for p in tmp_path.iterdir()} == {"empty"}


def test_runs_rendered_unlike_are_told(two_runs, tmp_path):
    runs = [Path(shutil.copytree(two_runs[0], tmp_path / name)) for name in NAMES[:2]]
    assert build_study(options(runs, tmp_path / "alike", count=1)).notes[1:] == ()
    for run, look in zip(runs, ("clay", "skin"), strict=True):
        settings = dataclasses.asdict(RenderSettings(look=look))
        (run / "run.json").write_text(json.dumps({"settings": {"settings": settings}}))
    notes = build_study(options(runs, tmp_path / "unlike", count=1)).notes
    assert any("rendered with another look" in note for note in notes)
    assert choose_settings(None, read_runs(runs)).look == "clay"


def test_without_a_number_all_items_are_taken(two_runs, tmp_path):
    built = build_study(options(two_runs, tmp_path / "s", count=None, languages=("zh", "en")))
    assert len(built.study.pairs) == 10
    assert any("10 items, as many as the runs allow" in note for note in built.notes)


def test_own_texts_are_taken_and_checked(two_runs, tmp_path):
    texts = tmp_path / "texts.json"
    own = {"protocol": {"en": "Which one?"}, "consent": {"en": "About {minutes} min, {x}."}}
    texts.write_text(json.dumps(own))
    study = build_study(options(two_runs, tmp_path / "s", count=1, texts=texts)).study
    assert study.page_languages == ("en",)
    assert study.consent["en"] == "About 5 min, {x}."
    texts.write_text(json.dumps({"protocol": {"en": "Which one?"}}))
    with pytest.raises(InputError, match="same languages"):
        build_study(options(two_runs, tmp_path / "t", texts=texts))
    texts.write_text(
        json.dumps({"protocol": {"en": "Is copper_heron worse?"}, "consent": {"en": "x"}})
    )
    with pytest.raises(InputError, match=r"protocol \(en\) names the system"):
        build_study(options(two_runs, tmp_path / "t", texts=texts))


def test_our_texts_tell_nothing_of_a_system_with_a_common_name():
    assert is_word_of_ours("quiet")
    assert not is_word_of_ours("emotalk")


def test_command_line(two_runs, tmp_path):
    out = tmp_path / "s"
    arguments = [*map(str, two_runs), "-o", str(out), "--n", "2", "--raters", "2", "--min-s", "0.5",
                 "--languages", "zh,en", "--names", "x1,x2"]  # fmt: skip
    done = CliRunner().invoke(pairs_command, [*arguments, "--json"], catch_exceptions=False)
    facts = json.loads(done.stdout)
    assert facts["pairs"] == 2
    assert facts["target"] == "x1"
    assert facts["balance"]["problems"] == []
    assert facts["plan_sha256"] == read_study(out).plan_sha256
    assert any("nobody to ask" in note for note in facts["notes"])
    shutil.rmtree(out)
    done = CliRunner().invoke(pairs_command, arguments, catch_exceptions=False)
    assert "left/right, worst rater" in done.stdout
    assert str(out) in done.stdout


def test_command_line_refuses_in_one_line(two_runs, tmp_path):
    command = [sys.executable, "-m", "render_jobs.cli", "pairs", *map(str, two_runs), "-o",
               str(tmp_path / "s"), "--n", "99", "--json"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "none of the 10 items" in json.loads(done.stdout)["error"]
