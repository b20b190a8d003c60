# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks of the neural engine: rival and engine say the same; the commands run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from exomni_core.omni.decoding.decode_loop import DecodeLoop, Request  # noqa: E402
from exomni_core.omni.nets.face_decoder import frames_of  # noqa: E402
from exomni_core.omni.nets.language_model import TextRule  # noqa: E402
from exomni_core.omni.nets.sampling import TextSampling  # noqa: E402
from exomni_core.omni.nets.speech_generator import UnitRule  # noqa: E402

CPU = torch.device("cpu")
GREEDY = TextSampling(temperature=0.0)


@pytest.fixture(scope="module", autouse=True)
def benchmarks(repo):
    """The folder of the benchmarks on the path."""
    sys.path.insert(0, str(repo / "benchmarks"))
    yield
    sys.path.remove(str(repo / "benchmarks"))


@pytest.fixture(scope="module")
def sides(benchmarks) -> Any:
    """Rivals and packed parts over the same weights."""
    import omni_parts
    import omni_rival

    sizes = omni_parts.SIZES["tiny"]
    parts = omni_parts.make_parts(sizes, CPU, torch.float32)
    rivals = (
        omni_rival.RivalText(parts.llm),
        omni_rival.RivalUnits(parts.generator, greedy=True),
        omni_rival.RivalFace(parts.face),
    )
    given = omni_parts.Inputs(sizes, CPU, torch.float32)
    return SimpleNamespace(sizes=sizes, parts=parts.pack(), rivals=rivals, given=given)


def decoded(backbone: Any, rule: Any, prompt: Any, count: int) -> Any:
    loop = DecodeLoop(backbone, rule, rows=1, room=count, positions=prompt.shape[1])
    return loop.serve([Request(prompt, count, count, 0)], lambda: None)[0]


def close(ours: Any, plain: Any, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(ours, plain, atol=tolerance, rtol=1e-4)


@torch.inference_mode()
def test_both_write_the_same_text(sides):
    given, llm = sides.given, sides.parts.llm
    ids, hidden = sides.rivals[0].write(given.prompt, sides.sizes.tokens, GREEDY)
    ours = decoded(llm.backbone, TextRule(llm, GREEDY), given.prompt, sides.sizes.tokens)
    assert ours.ids.tolist() == ids[0].tolist()
    assert len(set(ids[0].tolist())) > 2
    close(ours.hidden, hidden)


@torch.inference_mode()
def test_both_speak_the_same_units(sides):
    given, generator = sides.given, sides.parts.generator
    units, hidden = sides.rivals[1].speak(given.hidden, given.text, sides.sizes.units)
    prompt = generator.prompt(given.hidden, given.text)
    rule = UnitRule(generator, greedy=True)
    ours = decoded(generator.backbone, rule, prompt, sides.sizes.units)
    assert ours.ids.tolist() == units
    close(ours.hidden, hidden)


@torch.inference_mode()
def test_both_show_the_same_face(sides):
    given = sides.given
    frames = frames_of(sides.sizes.units)
    plain = sides.rivals[2].animate(given.unit_hidden, given.units[0].tolist(), frames)
    close(sides.parts.face(given.unit_hidden, given.units), plain)


@torch.inference_mode()
def test_both_make_the_same_sound(benchmarks):
    import omni_parts
    import omni_rival_decoder

    sizes = omni_parts.SIZES["tiny"]
    flow, vocoder = omni_parts.make_decoder_parts(sizes, CPU, torch.float32)
    vocoder.f0_predictor.classifier.weight.data *= 300  # a voice, now and then
    rival_flow = omni_rival_decoder.RivalFlow(flow)
    rival_vocoder = omni_rival_decoder.RivalVocoder(vocoder)
    given = omni_parts.Inputs(sizes, CPU, torch.float32)
    decoder = omni_parts.as_decoder(flow, vocoder)
    plain = rival_flow(given.sound[0].tolist(), given.mel_noise)
    close(decoder.flow(given.sound, noise=given.mel_noise), plain)
    plain = rival_vocoder(given.mel, given.phases, given.noise)
    ours, _ = decoder.vocoder(given.mel, phases=given.phases, noise=given.noise)
    close(ours, plain, 1e-4)
    assert float(plain.std()) > 1e-3


def test_the_rival_draws_by_the_rule(benchmarks):
    import omni_rival

    scores = torch.tensor([0.3, 0.05, 0.4, 0.15, 0.1]).log()
    torch.manual_seed(0)
    assert {omni_rival.drawn_unit(scores, []) for _ in range(300)} == {2, 0, 3}
    assert {omni_rival.drawn_unit(scores, [0, 2, 3]) for _ in range(300)} == {0, 1, 2, 3, 4}


def run(module: str, repo: Path, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """The command's JSON, which is its last line and its file.

    In a process of its own: the models of all ways together take a gigabyte.
    """
    file = tmp_path / "out.json"
    command = [sys.executable, str(repo / "benchmarks" / f"{module}.py"), "--size", "tiny"]
    done = subprocess.run(
        [*command, "--json", str(file), *arguments],
        cwd=repo,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(file.read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == report
    assert report["benchmark"] == module
    return report


def test_the_cpu_command_reports_every_stage(repo, tmp_path):
    report = run("omni_cpu", repo, tmp_path, "--rounds", "1", "--threads", "1")
    stages = {"text", "units", "face", "flow", "vocoder"}
    for clock in ("seconds", "processor_seconds"):
        assert set(report[clock]) == {"plain", "float32", "bfloat16"}
        assert all(set(times) == stages for times in report[clock].values())
    assert set(report["ratio"]) == set(report["stage_ratio"]) == {"float32", "bfloat16"}
    whole = report["totals"]["plain"]
    assert whole["all"] == pytest.approx(whole["talk"] + whole["sound"], abs=0.01)
    assert report["plain_unused_text_head_s"] >= 0


def test_the_gpu_command_runs_anywhere(repo, tmp_path):
    report = run("omni_gpu", repo, tmp_path, "--rounds", "1", "--device", "cpu")
    assert set(report) == {
        "benchmark", "size", "device", "dtype", "torch", "cuda", "rounds", "lengths", "weights_gb",
        "plain", "ours", "ratio", "stage_ratio", "batches", "stream", "graphs_agree", "took_s",
    }  # fmt: skip
    for way in ("plain", "ours"):
        assert report[way]["rtf"] > 0
        assert report[way]["total_s"] == pytest.approx(
            sum(report[way]["seconds"].values()), abs=0.01
        )
    assert [batch["rows"] for batch in report["batches"]] == [1, 2]
    stream = report["stream"]
    assert 0 < stream["first_text_s"] < stream["first_audio_s"] <= stream["closed_s"]
    assert stream["audio_s"] > 0
    assert report["graphs_agree"] is True
