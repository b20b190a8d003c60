# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that reaches a rater's machine names a system, tells the sides or a catch trial apart."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from study_client import request, serving

from render_jobs.study.plan import study_files

TELLING = (
    "velvet", "otter", "copper", "heron", "catch", "identical", "desync", "intact", "delayed",
    "expected", "system", "pair_id", "target", "testsrc",
)  # fmt: skip


@pytest.fixture(scope="module")
def served(small_study, tmp_path_factory):
    import shutil

    folder = shutil.copytree(small_study, tmp_path_factory.mktemp("blind") / "study")
    with serving(folder) as running:
        yield running


def telling_words(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace").lower()
    return [word for word in TELLING if word in text]


def item_ids(study):
    return {pair.item_id for pair in study.pairs} | {pair.pair_id for pair in study.pairs}


def everything_sent(served, seat):
    """(what, headers, body) of all answers of one whole session, clips included."""
    rater = served.rater(seat)
    replies = [rater.post("open", browser="Chrome", language="en")]
    names = {"0123456789abcdef.mp4"}
    while True:
        state = replies[-1].json
        for shown in (state.get("trial"), state.get("next"), state.get("previous")):
            names |= set(shown["files"].values()) if shown else set()
        if state["step"] == "finished":
            break
        if state["step"] == "trial":
            from study_client import answer_body

            replies.append(rater.post("answer", **answer_body(state["trial"], "left")))
        elif state["step"] == "comment":
            replies.append(rater.post("finish", comment=""))
        elif state["step"] == "consent":
            replies.append(rater.post("consent", consent="yes", version=state["version"]))
        elif state["step"] == "sound":
            replies.append(request(served.port, "GET", f"{rater.path}/sound/0.wav"))
            digits = served.keys.digits(rater.rater_id, state["attempt"])
            replies.append(rater.post("sound", digits=digits))
        else:
            replies.append(rater.post("next", **{"from": state["step"]}))
    paths = [
        rater.path,
        *(f"/page/{p}" for p in served.server.shared.page._files),
        "/nowhere",
        *(f"{rater.path}/v/{name}" for name in sorted(names)),
        f"{rater.path}/answer",
        f"/admin/{served.admin_token}",
        f"/admin/{served.admin_token}/progress",
    ]
    return replies + [request(served.port, "GET", path) for path in paths]


def test_no_answer_of_the_server_tells(served):
    ids = item_ids(served.study)
    checked = 0
    for seat in (0, 1):
        for reply in everything_sent(served, seat):
            headers = str(reply.headers).encode()
            assert not telling_words(headers), headers
            kind = reply.headers["Content-Type"]
            if kind.startswith(("video/", "audio/")):
                assert not telling_words(reply.body)
            elif not kind.startswith(("text/css", "text/javascript")):
                words = set(telling_words(reply.body))
                assert not words, (words, reply.body[:300])
            text = reply.body.decode("utf-8", "replace")
            assert not any(one in text for one in ids)
            assert served.study.plan_sha256 not in text
            checked += 1
    assert checked > 60


def test_trials_of_all_kinds_look_alike(served):
    rater = served.rater(2)
    state = rater.enter()
    shapes = {}
    kinds = {t.trial_id: t.kind for t in served.study.seats[2].trials}
    while state["step"] != "comment":
        if state["step"] != "trial":
            state = rater.go_on(state)
            continue
        trial = dict(state["trial"])
        shapes.setdefault(kinds[trial.pop("id")], set()).add(
            json.dumps(
                {**trial, "files": sorted(trial["files"]), "duration_ms": 0, "practice": 0},
                sort_keys=True,
            )
        )
        state = rater.answer(state, "tie")
    assert set(shapes) == {"practice", "main", "catch_identical", "catch_desync"}
    assert len(set(itertools.chain(*shapes.values()))) == 1


def test_names_and_files_are_opaque(served):
    for seat in served.study.seats:
        for trial in seat.trials:
            assert re.fullmatch(r"[0-9a-f]{8,64}", trial.trial_id)
    for name in study_files(served.study):
        assert re.fullmatch(r"[0-9a-f]{16}\.(mp4|m4a)", name)
        data = (served.folder / "videos" / name).read_bytes()
        assert not telling_words(data), name
        assert not any(one.encode() in data for one in item_ids(served.study))
        header = data.find(b"mvhd")
        assert data[header + 8 : header + 16] == bytes(8)  # neither made nor changed: no date
        for tool in (b"Lavf", b"x264 - core", b"HandBrake"):
            assert tool not in data, (name, tool)


def test_raters_find_the_same_clips_in_different_places(served):
    orders = [[t.pair_id for t in seat.trials if t.kind == "main"] for seat in served.study.seats]
    assert len({tuple(order) for order in orders}) > 1
    assert len({tuple(sorted(order)) for order in orders}) == 1
