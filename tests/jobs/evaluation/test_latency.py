# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock, its measures, and `exorender eval latency` on both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exomni_core.engine import STAGES, load_engine
from exomni_core.metrics.latency import MEASURES, STAMPS, Clock, measures, summarise
from exomni_core.prompt import Prompt
from render_jobs.cli.commands import main
from render_jobs.evaluation.latency import LatencyRun, draw


class Ticking:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def play(clock: Clock, time: Ticking, moments: list[tuple[float, str]]) -> None:
    clock.start()
    begin = time.at
    for at, moment in moments:
        time.at = begin + at
        clock(moment) if moment != "heard" else clock.heard()


WHOLE = [
    (0.1, "text_token"), (0.5, "text_done"), (0.6, "units_begin"), (0.7, "unit"),
    (1.5, "units_done"), (1.6, "face_begin"), (1.8, "face_done"), (2.0, "audio"),
    (2.5, "audio_done"),
]  # fmt: skip


def test_nine_stamps_and_their_measures():
    time = Ticking()
    clock = Clock(time)
    play(clock, time, WHOLE)
    time.at += 0.5
    stamps = clock.stop()
    assert [round(stamps.times[name] or 0, 9) for name in STAMPS] == [
        0.1, 0.5, 0.6, 0.7, 1.5, 2.0, 2.5, 1.6, 1.8,
    ]  # fmt: skip
    found = measures(stamps, duration_s=5.0, frames=150)
    assert tuple(found) == tuple(metric.name for metric in MEASURES)
    wanted = {
        "rtf": 0.5, "ttft": 0.1, "text_time": 0.5, "ttfu_component": 0.1, "ttfu_e2e": 0.7,
        "unit_time": 0.9, "ttfa": 2.0, "face_latency": 0.2, "face_busy": 0.2, "face_fps": 750.0,
        "done": 2.5, "delivered": 3.0,
    }  # fmt: skip
    assert found == pytest.approx(wanted)


def test_a_stream_counts_first_and_last_times_and_what_came_out():
    time = Ticking()
    clock = Clock(time)
    play(clock, time, [
        (0.2, "units_begin"), (0.3, "unit"), (0.4, "face_begin"), (0.5, "face_done"),
        (0.6, "audio"), (0.6, "audio_done"), (0.7, "heard"),
        (1.2, "units_begin"), (1.3, "unit"), (1.35, "units_done"), (1.4, "face_begin"),
        (1.6, "face_done"), (1.7, "audio"), (1.8, "audio_done"), (1.9, "heard"),
    ])  # fmt: skip
    stamps = clock.stop()
    assert stamps.times["t1"] is None
    found = measures(stamps, duration_s=1.0, frames=30)
    assert found["ttfu_component"] == pytest.approx(0.1)
    assert found["ttfa"] == pytest.approx(0.7)
    assert found["done"] == pytest.approx(1.9)
    assert found["face_latency"] == pytest.approx(1.2)
    assert found["face_busy"] == pytest.approx(0.3)
    assert found["face_fps"] == pytest.approx(100.0)
    assert found["ttft"] is None
    clock.start()  # nothing of one request leaks into the next
    assert set(clock.stop().times.values()) == {None}


def test_rtf_is_the_sum_first():
    time = Ticking()
    rows = []
    for seconds, duration_s in ((1.0, 10.0), (3.0, 1.0)):
        clock = Clock(time)
        play(clock, time, [(seconds, "audio_done")])
        rows.append(
            {"duration_s": duration_s, **measures(clock.stop(), duration_s=duration_s, frames=1)}
        )
    found = summarise(rows)
    assert found["rtf_sum"] == pytest.approx(4.0 / 11.0)
    assert found["rtf_mean"] == pytest.approx((0.1 + 3.0) / 2)
    spread = found["measures"]["done"]
    assert (spread["n"], spread["mean"], spread["p50"]) == (2, 2.0, 2.0)
    assert spread["p90"] == pytest.approx(2.8)
    assert found["measures"]["ttft"] == {
        "n": 0,
        "mean": None,
        "p50": None,
        "p90": None,
        "p95": None,
    }


def test_the_draw_depends_on_ids_and_seed_alone():
    prompts = [Prompt(f"p{k}", text="x") for k in range(20)]
    run = LatencyRun(Path("p"), n=5, warmup=3, seed=4)
    measured, rehearsed = draw(prompts, run)
    assert draw(prompts[::-1], run) == (measured, rehearsed)
    assert draw(prompts, LatencyRun(Path("p"), n=5, warmup=3, seed=5))[0] != measured
    assert len(measured) == 5
    assert len(rehearsed) == 3
    assert not {p.id for p in measured} & {p.id for p in rehearsed}
    few, again = draw(prompts[:1], run)
    assert [p.id for p in few] == ["p0"]
    assert [p.id for p in again] == ["p0", "p0", "p0"]


def latency(path: Path, *arguments: object, code: int = 0) -> dict[str, Any]:
    call = [str(a) for a in ("eval", "latency", path, *arguments)]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == code, done.output
    if code == 2:
        return {"error": done.output.strip()}
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found


@pytest.fixture
def prompts(tmp_path):
    lines = [
        {"id": "one", "text": "Hello."},
        {"id": "two", "text": "Good morning.", "language": "en"},
        {"id": "bad", "text": "..."},
        {"id": "ask", "mode": "reply", "text": "Who are you?"},
    ]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("stream", [False, True])
def test_embedded(prompts, tmp_path, stream):
    extra = ("--stream",) if stream else ()
    found = latency(
        prompts,
        "--n",
        9,
        "--warmup",
        1,
        "--seed",
        3,
        "--json",
        "-o",
        tmp_path / "out",
        *extra,
        code=1,
    )
    assert found["counts"] == {"n": 3, "n_scored": 2, "n_failed": 1, "n_lines": 4, "n_fitting": 3}
    settings = found["settings"]
    assert sorted(settings["ids"]) == ["bad", "one", "two"]
    assert settings["seed"] == 3
    assert settings["engine_version"].startswith("embedded-")
    assert any("1 of 4 lines" in note for note in settings["notes"])
    assert any("not streamed" in note for note in settings["notes"]) is not stream
    assert found["failures"][0]["id"] == "bad"
    rows = json.loads((tmp_path / "out" / "result.json").read_text())["rows"]
    row = next(row for row in rows if row["id"] == "one")
    assert all(row[name] is None for name in ("t1", "t2", "t4", "t5"))
    assert 0 < row["t3"] < row["t6"] <= row["t7"]
    assert 0 < row["t8"] < row["t9"] <= row["delivered"]
    assert row["text_characters"] == 6
    assert row["done"] == max(row["t7"], row["t9"])
    assert "first audio, from the request" in (tmp_path / "out" / "table.md").read_text()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('{"id": "a", "mode": "reply", "text": "Hi"}\n', "can be served by the embedded engine"),
        ("", "holds no prompts"),
        ("nonsense\n", "can be served by the embedded engine"),
    ],
)
def test_prompts_that_cannot_be_measured(lines, says, tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(lines)
    error = latency(path, code=2)["error"]
    assert says in error
    assert len(error.splitlines()) == 1


def test_an_engine_without_a_listener_tells_nobody():
    told: list[str] = []
    engine = load_engine("embedded", on_stage=told.append)
    engine.generate(Prompt("a", text="Hello."))
    assert told == ["units_begin", "audio", "audio_done", "face_begin", "face_done"]
    assert set(told) <= set(STAGES)
    load_engine("embedded").generate(Prompt("a", text="Hello."))
    assert len(told) == 5
