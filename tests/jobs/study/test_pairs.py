# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in, a study out: whole, sealed, and nothing in it tells the sides apart."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from pair_tools import NAMES, is_plain, options, pictures, tree

from exomni_core.audio import read_audio
from exomni_core.errors import InputError
from render_jobs.study.making.balance import check_balance
from render_jobs.study.making.composite import DIVIDER_PX, FILE_TIME_S, LEAD_IN_S
from render_jobs.study.making.pairs import build_study
from render_jobs.study.making.sound import LOUDNESS_LUFS, integrated_loudness
from render_jobs.study.plan import plan_hash, study_files
from render_jobs.study.plan_file import check_files, read_study, write_study
from render_jobs.video.mux import probe


@pytest.fixture(scope="module")
def study(small_study):
    return read_study(small_study)


def test_the_study_is_whole_and_sealed(study, small_study):
    check_files(study, small_study)
    assert study.plan_sha256 == plan_hash(study)
    assert study.target == "velvet_otter"
    assert study.comparisons == (("velvet_otter", "copper_heron"),)
    assert check_balance(study) == dict(study.balance)
    assert study.balance["problems"] == []
    assert {p.name for p in small_study.iterdir()} == {"study.json", "videos"}
    assert {p.name for p in (small_study / "videos").iterdir()} == study_files(study).keys()
    assert not list(small_study.parent.glob(".*"))


def test_protocol_consent_and_rules_are_fixed_in_the_plan(study):
    assert set(study.protocol) == set(study.consent) == {"en", "zh"}
    assert "Which face matches the speech better?" in study.protocol["en"]
    assert "The tester" in study.consent["en"]
    assert "10 short pairs" in study.consent["en"]
    assert not re.search(r"[{}]", study.consent["en"] + study.consent["zh"])
    assert study.plan["exclusion"] == {
        "catch_min": 0.75,
        "min_coverage": 0.95,
        "min_complete": 0.8,
        "rt_at_least_video_length": True,
    }


def test_both_ways_are_equal_to_the_frame_and_to_the_sample(study, small_study):
    for pair in study.pairs:
        ab, ba = (small_study / "videos" / pair.stimuli[s].files["both"] for s in ("AB", "BA"))
        one, other = probe(ab), probe(ba)
        assert one == other
        assert one.frames == pair.stimuli["AB"].frames == pair.stimuli["BA"].frames
        assert (one.video_start_s, one.audio_start_s) == (0.0, 0.0)
        assert one.video_end_s == pytest.approx(one.frames / 30)
        sounds = [read_audio(path).samples for path in (ab, ba)]
        assert np.array_equal(*sounds)
        assert ab.stat().st_size == ba.stat().st_size


def test_sides_show_what_the_plan_says_after_a_plain_start(study, small_study, two_runs):
    pair = study.pairs[0]
    shown = {
        side: pictures(small_study / "videos" / pair.stimuli[side].files["both"])
        for side in ("AB", "BA")
    }
    lead, width = round(LEAD_IN_S * 30), 96
    for frames in shown.values():
        assert is_plain(frames[lead - 1, :, :width])  # no face yet
    source = {
        name: pictures(run / f"{pair.item_id}.mp4")
        for name, run in zip(NAMES, two_runs, strict=False)
    }
    for side, (left, right) in {"AB": NAMES[:2], "BA": NAMES[1::-1]}.items():
        for frame in (0, 7, len(source[left]) - 1):
            whole = shown[side][lead + frame].astype(float)
            for half, name in ((whole[:, :width], left), (whole[:, width + DIVIDER_PX :], right)):
                assert np.abs(half - source[name][frame]).mean() < 6, (side, frame)


def test_a_late_side_is_late_by_400_ms(study, small_study, two_runs):
    trial = next(
        t
        for s in study.seats
        for t in s.trials
        if t.kind == "catch_desync" and t.expected == "left"
    )
    frames = pictures(small_study / "videos" / trial.stimulus.files["both"]).astype(float)
    left, right = frames[:, :, :96], frames[:, :, 96 + DIVIDER_PX :]
    lead, late = round(LEAD_IN_S * 30), 12
    assert np.abs(left[lead + 10] - right[lead + 10 + late]).mean() < 4
    assert np.abs(right[lead] - right[lead + late]).mean() < 4  # held until then
    assert (
        np.abs(left[lead + 20] - right[lead + 20]).mean()
        > np.abs(left[lead + 8] - right[lead + 20]).mean()
    )


def test_catch_trials_expect_the_right_answer(study):
    for seat in study.seats:
        for trial in seat.trials:
            if trial.kind == "catch_identical":
                assert (trial.left, trial.right, trial.expected) == ("same", "same", "tie")
            elif trial.kind == "catch_desync":
                assert getattr(trial, trial.expected) == "intact"


def test_nothing_of_a_file_tells_a_system(study, small_study, two_runs):
    words = [*NAMES, "en_0", "zh_0", "Lavf", "testsrc", str(two_runs[0])]
    for name in study_files(study):
        path = small_study / "videos" / name
        data = path.read_bytes()
        assert re.fullmatch(r"[0-9a-f]{16}\.mp4", name)
        for word in words:
            assert word.encode() not in data, (name, word)
        assert path.stat().st_mtime == FILE_TIME_S
    digests = list(study_files(study).values())
    assert len(set(digests)) == len(digests)  # no two files match by content
    ids = [t.trial_id for s in study.seats for t in s.trials]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in ids)


def test_all_files_are_encoded_alike(study, small_study):
    seen = set()
    for name in study_files(study):
        data = (small_study / "videos" / name).read_bytes()
        at = data.index(b"avcC")  # profile, level and parameter sets
        length = int.from_bytes(data[at - 4 : at], "big")
        seen.add((data[at : at + length - 4], data.index(b"moov") < data.index(b"mdat")))
        assert b"x264 - core" not in data
    assert len(seen) == 1
    assert next(iter(seen))[1]  # the index stands first, so that a browser can start at once


def test_every_track_is_equally_loud(study, small_study):
    for pair in study.pairs[:3]:
        sound = read_audio(small_study / "videos" / pair.stimuli["AB"].files["both"])
        assert integrated_loudness(sound.samples) == pytest.approx(LOUDNESS_LUFS, abs=1.0)


def test_same_seed_same_inputs_same_bytes(two_runs, tmp_path, small_study):
    same = {"count": 6, "raters": 4, "seed": 5, "languages": ("en", "zh")}
    again = build_study(
        options(two_runs, tmp_path / "again", contact="The tester", workers=1, **same)
    )
    assert tree(again.folder) == tree(small_study)


def test_another_seed_renames_everything(two_runs, tmp_path, study):
    other = build_study(options(two_runs, tmp_path / "s", count=2, seed=6)).study
    assert not study_files(other).keys() & study_files(study).keys()


def test_own_audio_plays_one_after_the_other(two_runs, tmp_path, study_tools):
    make_video, speech = study_tools
    runs = [Path(shutil.copytree(run, tmp_path / run.name)) for run in two_runs]
    for k in range(5):
        make_video(runs[1] / f"en_0{k}.mp4", "testsrc2", 2.0, sound=speech(50 + k, 2.0))
    study = build_study(options(runs, tmp_path / "s", audio="own", count=2)).study
    assert "one after the other" in study.protocol["en"]
    assert study.audio == "own"
    for pair in study.pairs:
        ab, ba = (tmp_path / "s" / "videos" / pair.stimuli[s].files["both"] for s in ("AB", "BA"))
        assert probe(ab) == probe(ba)
        first, second = (read_audio(path).samples for path in (ab, ba))
        assert len(first) == len(second)
        assert not np.array_equal(first, second)
    frames = pictures(ab)
    lead = round(LEAD_IN_S * 30)
    assert is_plain(frames[lead + 5, :, 96 + DIVIDER_PX :])  # right waits
    assert is_plain(frames[-1, :, :96])  # left is over
    assert not is_plain(frames[-1, :, 96 + DIVIDER_PX :])


def test_dual_mode_gives_two_silent_videos_and_a_sound(two_runs, tmp_path):
    built = build_study(options(two_runs, tmp_path / "s", stimulus="dual", count=1))
    check_files(built.study, built.folder)
    for stimulus in built.study.pairs[0].stimuli.values():
        left, right, audio = (
            built.folder / "videos" / stimulus.files[r] for r in ("left", "right", "audio")
        )
        one, other = probe(left), probe(right)
        assert one == other
        assert one.audio_end_s is None
        assert left.stat().st_size == right.stat().st_size
        assert audio.suffix == ".m4a"
        assert read_audio(audio).duration_s == pytest.approx(one.frames / 30, abs=1e-4)
    names = [name for t in built.study.seats[0].trials for name in t.stimulus.files.values()]
    assert len(set(names)) == len(names)  # a file met twice would give the target away


def test_a_changed_study_is_refused(study_copy):
    folder = study_copy()
    study = read_study(folder)
    video = folder / "videos" / study.pairs[0].stimuli["AB"].files["both"]
    video.write_bytes(video.read_bytes() + b"\0")
    with pytest.raises(InputError, match="was changed after the study was made"):
        check_files(study, folder)
    video.unlink()
    with pytest.raises(InputError, match="can't be read"):
        check_files(study, folder)
    folder = study_copy()
    data = json.loads((folder / "study.json").read_text())
    data["plan"]["exclusion"]["catch_min"] = 0.1
    (folder / "study.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="was changed after it was made"):
        check_files(read_study(folder), folder)


BROKEN = {
    "not json": (lambda d: "{", "broken JSON"),
    "a list": (lambda d: [], "lacks .schema_version"),
    "newer": (lambda d: d | {"schema_version": 9}, "newer version"),
    "no seed": (
        lambda d: {k: v for k, v in d.items() if k != "seed"},
        "lacks seed, a whole number",
    ),
    "extra": (lambda d: d | {"sede": 1}, "unknown field 'sede'"),
    "mode": (
        lambda d: d | {"stimulus": "triple"},
        "stimulus must be one of composite, dual, not .triple",
    ),
    "target": (lambda d: d | {"target": "x"}, "no system of the study"),
    "true is no number": (lambda d: d | {"seed": True}, "seed must be a whole number"),
    "one pair twice": (lambda d: d | {"pairs": [*d["pairs"], d["pairs"][0]]}, "one pair twice"),
    "seat numbers": (lambda d: d | {"seats": d["seats"][1:]}, "numbered from 0"),
    "pair gone": (lambda d: d | {"pairs": d["pairs"][1:]}, "pair that the study lacks"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_study_file_is_one_sentence(name, study_copy):
    folder = study_copy()
    data = json.loads((folder / "study.json").read_text())
    change, words = BROKEN[name]
    changed = change(data)
    (folder / "study.json").write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(InputError, match=words):
        read_study(folder)


def test_paths_in_a_study_file_cannot_leave_it(study_copy):
    folder = study_copy()
    data = json.loads((folder / "study.json").read_text())
    data["seats"][0]["trials"][0]["stimulus"]["files"]["both"] = "../study.json"
    (folder / "study.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"files\.both must be a name of a video of this study"):
        read_study(folder)


def test_swapped_sides_are_seen(study, tmp_path):
    seat = study.seats[0]
    at = next(i for i, t in enumerate(seat.trials) if t.kind == "main")
    trial = dataclasses.replace(
        seat.trials[at], left=seat.trials[at].right, right=seat.trials[at].left
    )
    trials = (*seat.trials[:at], trial, *seat.trials[at + 1 :])
    broken = dataclasses.replace(
        study, seats=(dataclasses.replace(seat, trials=trials), *study.seats[1:])
    )
    with pytest.raises(InputError, match="does not show the sides that it names"):
        write_study(broken, tmp_path)
