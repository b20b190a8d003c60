# SPDX-License-Identifier: GPL-3.0-or-later
"""Lip-sync of recordings: which route is taken, and whether the lips close when they must."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from exomni_core.audio import wav_bytes
from exomni_core.clip import Clip, Phone
from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.errors import Cancelled
from exomni_core.listening import closures, sphinx, sphinx_process
from exomni_core.listening.listen import prepare
from exomni_core.listening.recognise import shape_by_loudness, split_at_pauses
from exomni_core.phonetics.phones import to_arpabet
from exomni_core.prompt import Prompt
from exomni_core.voices import espeak

TEXT = "Please put the paper cup back. Bob made a big pumpkin pie."


@pytest.fixture(scope="module")
def said() -> Clip:
    return EmbeddedEngine().generate(Prompt(id="a", text=TEXT))


@pytest.fixture(scope="module")
def recording(said: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lipsync") / "said.wav"
    path.write_bytes(wav_bytes(said.audio, said.sample_rate_hz))
    return path


def lipsync(recording: Path, **fields: object) -> Clip:
    engine = EmbeddedEngine()
    return engine.generate(Prompt(id="b", mode="lipsync", audio=recording, **fields))


def test_transcript_route_finds_the_words_in_time(recording: Path, said: Clip) -> None:
    clip = lipsync(recording, transcript=TEXT)
    assert clip.route == "transcript"
    assert 0.5 < clip.confidence < 1.0
    assert np.array_equal(clip.audio, said.audio)
    assert [w.text for w in clip.words] == [w.text for w in said.words]
    errors = [abs(a.start_s - b.start_s) for a, b in zip(clip.words, said.words, strict=True)]
    assert np.median(errors) < 0.05
    assert "transcript_rejected" not in clip.provenance


def test_wrong_transcript_is_noticed(recording: Path) -> None:
    wrong = "Seven silver swans swam silently seaward in the early morning light."
    clip = EmbeddedEngine(recognition_floor_s=0.0, recognition_budget=0.0).generate(
        Prompt(id="b", mode="lipsync", audio=recording, transcript=wrong)
    )
    assert "transcript_rejected" in clip.provenance
    assert "recognition_failed" in clip.provenance
    assert clip.route == "allphone"
    assert clip.text == wrong


def test_recognised_words_become_the_text(recording: Path) -> None:
    clip = EmbeddedEngine(recognition_floor_s=60.0).generate(
        Prompt(id="b", mode="lipsync", audio=recording)
    )
    assert clip.route == "recognised"
    assert "pumpkin pie" in clip.text
    assert clip.text.split() == [word.text for word in clip.words]


def test_another_language_without_words_uses_sounds(recording: Path) -> None:
    clip = lipsync(recording, language="zh")
    assert (clip.route, clip.language) == ("allphone", "zh")
    assert clip.phones
    assert clip.words == ()


@pytest.mark.parametrize("samples", [np.zeros(16000), np.zeros(100), np.full(8000, 1e-5)])
def test_silence_gives_a_calm_closed_face(samples: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "silent.wav"
    path.write_bytes(wav_bytes(samples, 16000))
    clip = lipsync(path)
    assert clip.route == "energy"
    assert clip.confidence < 0.2
    mouth = [k for k, name in enumerate(clip.channels) if name.startswith(("jaw", "mouth"))]
    assert clip.weights[:, mouth].max() == 0.0


def test_silence_still_blinks(tmp_path: Path) -> None:
    path = tmp_path / "silent.wav"
    path.write_bytes(wav_bytes(np.zeros(16000 * 10), 16000))
    assert lipsync(path).channel("eyeBlinkLeft").max() > 0.9


def test_a_crashing_recogniser_costs_only_the_route(
    recording: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "crash.py"
    script.write_text("import os; os.abort()\n")
    monkeypatch.setattr(sphinx, "_SCRIPT", script)
    clip = lipsync(recording, transcript=TEXT)
    assert clip.route == "energy"
    assert clip.phones == ()
    assert clip.channel("jawOpen").max() > 0.2, "the jaw should still follow the loudness"
    assert {"transcript_rejected", "recognition_failed", "sounds_failed"} <= set(clip.provenance)


def test_a_hanging_recogniser_is_stopped_and_so_is_the_user(
    recording: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "hang.py"
    script.write_text("import time; time.sleep(60)\n")
    monkeypatch.setattr(sphinx, "_SCRIPT", script)
    calls = iter([False] * 4 + [True] * 100)
    with pytest.raises(Cancelled):
        EmbeddedEngine().generate(
            Prompt(id="b", mode="lipsync", audio=recording), cancel=lambda: next(calls)
        )
    with pytest.raises(sphinx.WorkerError):
        sphinx.ask_sphinx("align", np.zeros(100, np.int16), [], timeout_s=0.3)


def test_lipsync_is_deterministic(recording: Path) -> None:
    one, two = (lipsync(recording, transcript=TEXT, seed=3) for _ in range(2))
    assert np.array_equal(one.weights, two.weights)
    assert one.phones == two.phones


def test_long_recordings_are_aligned_in_stretches(
    said: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = prepare(said.audio, said.sample_rate_hz).tobytes()
    spoken = espeak.speak(TEXT, "en-us", with_pcm=False)
    words: list[list[str]] = [[] for _ in spoken.words]
    for phone, owner in zip(spoken.phones, spoken.word_of_phone, strict=True):
        if owner >= 0:
            words[owner] += to_arpabet(phone.symbol)
    pieces = [(samples, [" ".join(word) for word in words])]
    whole = sphinx_process.align(pieces)[0]["phones"]
    monkeypatch.setattr(sphinx_process, "LONGEST_SAMPLES", 16000)
    parts = sphinx_process.align(pieces)[0]["phones"]
    sounds, again = ([(p[0], p[4]) for p in a if p[0] != "SIL"] for a in (whole, parts))
    assert sounds == again
    starts, moved = ([p[1] for p in a if p[0] != "SIL"] for a in (whole, parts))
    assert np.median(np.abs(np.subtract(starts, moved))) <= 1, "frames of 10 ms"


def test_pieces_cover_the_recording_and_cut_at_pauses() -> None:
    level_db = np.full(6000, -20.0)
    level_db[1150:1180] = -80.0
    pieces = split_at_pauses(level_db, 100.0, 0.2, 16000 * 60 + 6400)
    assert pieces[0].start == 0
    assert pieces[-1].end == 16000 * 60 + 6400
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert abs(pieces[0].end / 16000 - 11.85) < 0.2
    assert max(p.end - p.start for p in pieces) < 20 * 16000


def test_loudness_alone_opens_the_jaw_where_it_is_loud() -> None:
    level_db = np.where(np.arange(300) % 30 < 15, -15.0, -30.0)
    level_db[200:] = -90.0
    phones = shape_by_loudness(level_db, level_db > -60, 100.0)
    assert {p.symbol for p in phones if p.end_s < 1.9} == {"ɐ", "ə"}
    assert {p.symbol for p in phones if p.start_s > 2.1} <= {""}


def test_only_dips_confirm_closures() -> None:
    level_db = np.full(200, -20.0)
    level_db[100:108] = -50.0
    candidates = [Phone("m", 0.5, 0.56), Phone("b", 1.01, 1.06), Phone("s", 1.0, 1.08)]
    confirmed = closures.confirmed_closures(candidates, level_db)
    assert [(p.symbol, p.start_s, p.end_s) for p in confirmed] == [("b", 1.0, 1.08)]
    merged = closures.with_closures([Phone("ɑ", 0.0, 1.05), Phone("p", 1.5, 1.6)], confirmed)
    assert [(p.symbol, p.start_s, p.end_s) for p in merged] == [
        ("ɑ", 0.0, 1.0), ("b", 1.0, 1.08), ("t", 1.5, 1.6),
    ]  # fmt: skip


def test_cutting_phones_keeps_every_moment_once() -> None:
    rng = np.random.default_rng(0)
    edges = np.sort(rng.uniform(0, 10, 60))
    phones = [Phone("a", a, b) for a, b in pairwise(edges)]
    cuts = np.sort(rng.uniform(0, 10, 20)).reshape(-1, 2)
    spans = [(float(a), float(b)) for a, b in cuts]
    pieces = closures.outside(phones, spans) + closures.inside(phones, spans)
    total = sum(p.end_s - p.start_s for p in pieces)
    assert total == pytest.approx(edges[-1] - edges[0], abs=0.005 * len(phones))
    assert all(p.end_s > p.start_s for p in pieces)


@pytest.mark.parametrize(
    ("route", "language", "least_hit", "most_false"),
    [
        ("transcript", "en", 0.98, 0.05),
        ("transcript", "zh", 0.98, 0.05),
        ("none", "en", 0.6, 0.1),
    ],
)
def test_lips_close_in_time(
    bench: ModuleType, route: str, language: str, least_hit: float, most_false: float
) -> None:
    # A sample of tests/slow/test_mouth.py, whose limits are the product's: here one closure or
    # vowel is 3 %, hence the looser limits.
    tally = bench.Tally()
    sentences = bench.HELD_OUT[:4] if language == "en" else bench.MANDARIN[1:6]
    voice = "en-us+f2" if language == "en" else "cmn+f2"
    bench.measure(sentences, [voice], route, language, tally)
    row = tally.row()
    assert row["hit_within_a_frame"] >= least_hit, row
    assert row["false_closure"] <= most_false, row
    assert row["largest_step"] <= 0.35
