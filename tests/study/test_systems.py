# SPDX-License-Identifier: GPL-3.0-or-later
"""Systems of every kind against programs that crash, hang, lie and models that are not there."""

from __future__ import annotations

import ast
import csv
import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52, UNITALKER_51
from exomni_core.audio import read_audio, write_wav
from exomni_core.clip import load_clip, save_clip
from exomni_core.errors import InputError
from exomni_core.formats import write_face
from render_jobs.cli_systems import systems as systems_command
from render_jobs.manifest import read_rows
from render_jobs.study.runs import read_run
from render_jobs.system_check import check_system
from render_jobs.system_run import SystemOptions, run_system
from render_jobs.systems import (
    EXAMPLE,
    OUTSIDE,
    AdapterSystem,
    EngineSystem,
    ProgramSystem,
    kind_of,
    read_systems,
)

FACE_PROGRAM = """
import json, os, sys, time, wave
import numpy as np
wav, text, out, mode = sys.argv[1:5]
with wave.open(wav) as f:
    frames = int(np.ceil(f.getnframes() / f.getframerate() * 30))
names = ["jawOpen", "mouthClose"]
coef = np.full((frames, 2), 0.5, np.float32)
if mode == "once" and not os.path.exists("tried"):
    open("tried", "w").close(); print("CUDA is shy today"); sys.exit(3)
if mode == "hang":
    os.system("sleep 60 & echo $! > child; wait")
if mode == "kill": os.kill(os.getpid(), 9)
if mode == "nothing": sys.exit(0)
if mode == "empty": open(out, "w").close(); sys.exit(0)
if mode == "link": os.symlink("/etc/hostname", out); sys.exit(0)
if mode == "nan": coef[1, 0] = np.nan
if mode == "names": names = ["jawOpen", "wiggle"]
if mode == "long": coef = np.tile(coef, (5, 1))
open("text", "w").write(text)
np.savez(out, coef=coef, names=np.array(names), fps=30.0)
"""


def write_prompts(folder: Path, rows: list[dict]) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


@pytest.fixture
def spoken(tmp_path, study_tools):
    """A prompts file with two recordings of 1 s and 1.3 s."""
    _, speech = study_tools
    rows = []
    for k, length_s in enumerate((1.0, 1.3)):
        write_wav(tmp_path / f"s{k}.wav", speech(k, length_s), 16_000)
        rows.append({"id": f"p{k}", "audio": f"s{k}.wav", "transcript": "héllo; rm -rf $HOME \"'",
                     "language": "en"})  # fmt: skip
    return write_prompts(tmp_path, rows)


def program(tmp_path: Path, mode: str, **changes) -> ProgramSystem:
    (tmp_path / "tool").mkdir(exist_ok=True)
    (tmp_path / "tool" / "face.py").write_text(FACE_PROGRAM)
    given = {
        "command": ("{python}", "face.py", "{audio}", "{text}", "{out}", mode),
        "cwd": tmp_path / "tool", "timeout_s": 30.0, "retries": 0,
    }  # fmt: skip
    return ProgramSystem("tool", **(given | changes))


def run(system, prompts, out, **changes):
    return run_system(system, SystemOptions(prompts, out, video=False, **changes))


def test_a_program_makes_a_run_as_batch_does(spoken, tmp_path):
    rows = run(program(tmp_path, "good"), spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["done", "done"]
    clip = load_clip(tmp_path / "run" / "clips" / "p1.clip")
    assert clip.duration_s == pytest.approx(1.3)
    assert np.array_equal(clip.audio, read_audio(tmp_path / "s1.wav").samples)
    assert (clip.channel("jawOpen") == 0.5).all()
    assert (clip.engine, clip.language) == ("tool", "en")
    assert "without browDownLeft" in rows[0].notes[0]
    # The words came as one argument: no shell has read them.
    assert (tmp_path / "tool" / "text").read_text() == "héllo; rm -rf $HOME \"'"
    items = read_run(tmp_path / "run", "tool").items
    assert items["p0"].clip == tmp_path / "run" / "clips" / "p0.clip"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "finished"
    assert not (tmp_path / "run" / ".work").exists()


def test_what_is_finished_is_not_made_again(spoken, tmp_path):
    system = program(tmp_path, "good")
    run(system, spoken, tmp_path / "run")
    (tmp_path / "tool" / "face.py").write_text("raise SystemExit(1)")
    assert [r.status for r in run(system, spoken, tmp_path / "run")] == ["skipped"] * 2
    changed = run(program(tmp_path, "other"), spoken, tmp_path / "run")  # another command
    assert [r.status for r in changed] == ["done"] * 2


def test_a_second_attempt_is_made_and_told(spoken, tmp_path):
    rows = run(program(tmp_path, "once", retries=1), spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["done", "done"]
    assert "it took 2 attempts" in rows[0].notes
    (tmp_path / "tool" / "tried").unlink()
    rows = run(program(tmp_path, "once"), spoken, tmp_path / "again")
    assert [row.status for row in rows] == ["failed", "done"]
    assert rows[0].error == (
        "prompts.jsonl:1: tool failed: it ended with code 3; it said: CUDA is shy today"
    )


BAD = {
    "kill": "ended by signal 9", "nothing": "wrote no out.npz", "empty": "an empty out.npz",
    "link": "wrote no out.npz", "nan": "no finite number", "names": "'wiggle' is not an ARKit",
    "long": "don't belong together",
}  # fmt: skip


@pytest.mark.parametrize("mode", BAD)
def test_bad_output_is_one_sentence_and_harms_only_its_row(mode, spoken, tmp_path):
    rows = run(program(tmp_path, mode), spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["failed", "failed"]
    assert BAD[mode] in rows[0].error
    assert rows[0].error.startswith("prompts.jsonl:1: ")
    assert "\n" not in rows[0].error
    assert not list((tmp_path / "run").glob("clips/*"))


def test_a_hanging_program_ends_with_all_it_has_started(spoken, tmp_path):
    started = time.perf_counter()
    rows = run(program(tmp_path, "hang", timeout_s=1.0), spoken, tmp_path / "run")
    assert "took more than 1 s" in rows[0].error
    assert time.perf_counter() - started < 30
    assert gone(int((tmp_path / "tool" / "child").read_text()))


def test_ctrl_c_ends_the_program_and_keeps_what_is_done(spoken, tmp_path, repo):
    text = """[systems.tool]
kind = "program"
command = ["{python}", "face.py", "{audio}", "{text}", "{out}", "hang2"]
cwd = "tool"
"""
    program(tmp_path, "good")
    tool = tmp_path / "tool" / "face.py"
    hang = 'if mode == "hang2" and frames > 30: os.system("sleep 60 & echo $! > child; wait")\n'
    tool.write_text(FACE_PROGRAM.replace('if mode == "kill"', hang + 'if mode == "kill"'))
    where = ["-o", str(tmp_path / "run"), "--config", str(config(tmp_path, text)), "--no-video"]
    command = [sys.executable, "-m", "render_jobs.cli", "systems", "run", "tool", str(spoken)]
    process = subprocess.Popen([*command, *where], cwd=repo, stderr=subprocess.PIPE)
    child = tmp_path / "tool" / "child"
    for _ in range(600):
        if child.exists() and child.read_text().strip():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told.decode().endswith("Stopped. Run the same command again to go on.\n")
    assert gone(int(child.read_text()))
    rows = read_rows(tmp_path / "run" / "manifest.jsonl")
    assert {key: row.status for key, row in rows.items()} == {"p0": "done"}
    assert not (tmp_path / "run" / ".work").exists()


def gone(pid: int) -> bool:
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or " Z " in stat.read_text():
            return True
        time.sleep(0.05)
    return False


def test_a_program_that_is_not_there(spoken, tmp_path):
    system = program(tmp_path, "good", command=("no-such-program", "{audio}", "{out}"))
    rows = run(system, spoken, tmp_path / "run")
    assert "no-such-program can't be started" in rows[0].error


def test_a_program_may_speak_itself(tmp_path):
    code = (
        "import sys, wave\nimport numpy as np\n"
        "w = wave.open(sys.argv[2], 'wb'); w.setnchannels(1); w.setsampwidth(2)\n"
        "w.setframerate(22050); w.writeframes(b'\\1\\2' * 22050); w.close()\n"
        "np.savez(sys.argv[1], coef=np.zeros((30, 1)), names=['jawOpen'], fps=30)\n"
    )
    (tmp_path / "speak.py").write_text(code)
    command = ("{python}", "speak.py", "{out}", "{out_audio}", "{text}")
    system = ProgramSystem("speaker", command, cwd=tmp_path)
    prompts = write_prompts(tmp_path, [{"id": "a", "text": "hello"}])
    rows = run(system, prompts, tmp_path / "run")
    assert rows[0].status == "done"
    assert load_clip(tmp_path / "run" / "clips" / "a.clip").sample_rate_hz == 22050


def test_ids_cannot_leave_the_folder(tmp_path):
    write_wav(tmp_path / "s.wav", np.zeros(8000, np.float32), 16_000)
    prompts = write_prompts(tmp_path, [{"id": name, "audio": "s.wav"}
                                       for name in ("../up", "/abs", "a/b", "ok")])  # fmt: skip
    rows = run(program(tmp_path, "good"), prompts, tmp_path / "run")
    assert [row.status for row in rows] == ["failed"] * 3 + ["done"]
    assert {p.name for p in (tmp_path / "run" / "clips").iterdir()} == {"ok.clip"}
    assert not (tmp_path / "up.clip").exists()


def test_another_runs_speech_is_shared(spoken, tmp_path, make_clip):
    save_clip(make_clip(1.2, language="zh", text="世界"), tmp_path / "target" / "p1.clip")
    rows = run(program(tmp_path, "good"), spoken, tmp_path / "run", audio_from=tmp_path / "target")
    assert [row.status for row in rows] == ["failed", "done"]
    assert "has no such prompt" in rows[0].error
    clip = load_clip(tmp_path / "run" / "clips" / "p1.clip")
    assert np.array_equal(clip.audio, load_clip(tmp_path / "target" / "p1.clip").audio)
    assert clip.language == "zh"


def test_an_engine_moves_its_lips_to_another_runs_speech(tmp_path, make_clip):
    save_clip(make_clip(1.2, language="en"), tmp_path / "target" / "p1.clip")
    prompts = write_prompts(
        tmp_path, [{"id": "p1", "text": "hello"}, {"id": "p2", "text": "x"}, {"id": "p3", "no": 1}]
    )
    system = EngineSystem("quiet", prompt={"style": "quiet"})
    rows = run(system, prompts, tmp_path / "run", audio_from=tmp_path / "target")
    assert [row.status for row in rows] == ["done", "failed", "failed"]
    clip = load_clip(tmp_path / "run" / "clips" / "p1.clip")
    assert np.array_equal(clip.audio, load_clip(tmp_path / "target" / "p1.clip").audio)
    assert clip.prompt["style"] == "quiet"
    plain = run(system, prompts, tmp_path / "plain")
    assert [row.status for row in plain] == ["done", "done", "failed"]
    assert "unknown field" in plain[2].error
    assert load_clip(tmp_path / "plain" / "clips" / "p2.clip").prompt["style"] == "quiet"


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "systems.toml"
    path.write_text(text, encoding="utf-8")
    return path


def nim_csv(frames: int) -> str:
    """As the sample client of Audio2Face-3D's service writes it, out of pandas."""
    names = [n[0].upper() + n[1:] for n in LIVE_LINK_52] + ["TongueTipUp", "TongueRollDown"]
    lines = [",".join(["", "timeCode", *(f"blendShapes.{n}" for n in names)])]
    for k in range(frames):
        row = [0.3 if n == "JawOpen" else 0.0 for n in names]
        lines.append(",".join(map(str, [k, k / 30, *row])))
    return "\n".join(lines) + "\n"


def test_coefficients_of_every_format_by_name(spoken, tmp_path):
    folder = tmp_path / "faces"
    weights = np.zeros((30, 52), np.float32)
    weights[:, CHANNEL_INDEX["jawOpen"]] = 0.3
    for k, frames in enumerate((30, 39)):
        (folder / f"p{k}").mkdir(parents=True)
        (folder / f"p{k}" / "animation_frames.csv").write_text(nim_csv(frames))
        table = np.resize(weights, (frames, 52))
        write_face(folder / f"p{k}.json", table, 30.0)
        np.save(folder / f"p{k}.npy", table[:, [CHANNEL_INDEX[n] for n in UNITALKER_51]])
    for files, more in (
        ("{id}/animation_frames.csv", ""),
        ("{id}.json", ""),
        ("{id}.npy", 'names = "unitalker-51"\nfps = 30'),
    ):
        text = f'[systems.f]\nkind = "coefficients"\nfolder = "faces"\nfiles = "{files}"\n{more}\n'
        system = read_systems(config(tmp_path, text))["f"]
        rows = run(system, spoken, tmp_path / f"run{Path(files).suffix}")
        assert [row.status for row in rows] == ["done", "done"], rows[0].error
        clip = load_clip(tmp_path / f"run{Path(files).suffix}" / "clips" / "p0.clip")
        assert np.allclose(clip.channel("jawOpen"), 0.3)
        assert clip.weights.sum() == pytest.approx(0.3 * 30, rel=1e-5)
    (folder / "p0.json").unlink()
    text = '[systems.f]\nkind = "coefficients"\nfolder = "faces"\nfiles = "{id}.json"'
    rows = run(read_systems(config(tmp_path, text))["f"], spoken, tmp_path / "lacking")
    assert [row.status for row in rows] == ["failed", "done"]
    assert "p0.json is missing" in rows[0].error


def test_weights_of_the_claire_head_open_the_jaw(spoken, tmp_path):
    (tmp_path / "faces").mkdir()
    for k, frames in enumerate((30, 39)):
        weights = np.zeros((frames, 52), np.float32)
        weights[:, [CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]]] = 0.25, 0.5
        write_face(tmp_path / "faces" / f"p{k}.json", weights, 30.0)
    for word, jaw in (("asis", 0.25), ("claire", 0.75)):
        text = f'[systems.f]\nkind = "coefficients"\nfolder = "faces"\nmouth_close = "{word}"'
        run(read_systems(config(tmp_path, text))["f"], spoken, tmp_path / word)
        clip = load_clip(tmp_path / word / "clips" / "p0.clip")
        assert np.allclose(clip.channel("jawOpen"), jaw)
        assert np.allclose(clip.channel("mouthClose"), 0.5)


def test_an_array_without_names_is_refused(spoken, tmp_path):
    (tmp_path / "faces").mkdir()
    for k in range(2):
        np.save(tmp_path / "faces" / f"p{k}.npy", np.zeros((30, 51), np.float32))
    text = '[systems.f]\nkind = "coefficients"\nfolder = "faces"\nfiles = "{id}.npy"\n'
    rows = run(read_systems(config(tmp_path, text))["f"], spoken, tmp_path / "a")
    assert "without names" in rows[0].error
    text += 'names = "arkit-alphabetical"\nfps = 30\n'  # 52 names for 51 columns
    rows = run(read_systems(config(tmp_path, text))["f"], spoken, tmp_path / "b")
    assert rows[0].status == "failed"


@pytest.fixture
def fakes(repo):
    sys.path.insert(0, str(repo / "tests" / "study"))
    try:
        import fake_checkouts
    finally:
        sys.path.pop(0)
    return fake_checkouts


def emotalk(checkout: Path, **changes) -> AdapterSystem:
    given = {"checkout": checkout, "python": sys.executable, "checkpoint": "EmoTalk.pth",
             "start_s": 60.0, "timeout_s": 60.0, "retries": 0}  # fmt: skip
    return AdapterSystem("emotalk", "emotalk", **(given | changes))


def test_emotalk_driver_in_a_pretended_checkout(fakes, spoken, tmp_path):
    checkout = fakes.make_emotalk(tmp_path / "checkout")
    rows = run(emotalk(checkout, options={"person": 7}), spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["done", "done"], rows
    clip = load_clip(tmp_path / "run" / "clips" / "p1.clip")
    assert len(clip.weights) == 39
    assert (clip.channel("eyeBlinkLeft") == 0.0).all()  # no random blinks
    assert np.ptp(clip.channel("jawOpen")) < 0.35  # smoothed
    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert facts["used"]["person"] == 7
    assert facts["used"]["smoothing"] is True
    assert facts["versions"]["torch"] == "0.0.fake"
    assert len(facts["checkpoint_sha256"]) == 64
    assert facts["keys"]["unexpected"] == ["audio_encoder_cont.lm_head.bias"]
    assert "loading" in (tmp_path / "run" / "driver.log").read_text()


def test_a_fault_of_the_model_harms_its_own_item(fakes, tmp_path, study_tools):
    _, speech = study_tools
    loud = np.clip(speech(1, 1.0), -0.5, 0.5)
    loud[100] = 0.875  # what the pretended model fails at
    write_wav(tmp_path / "a.wav", loud, 16_000)
    write_wav(tmp_path / "b.wav", speech(2, 1.0), 16_000)
    rows = [{"id": "a", "audio": "a.wav"}, {"id": "b", "audio": "b.wav"}, {"id": "c", "text": "x"}]
    prompts = write_prompts(tmp_path, rows)
    rows = run(emotalk(fakes.make_emotalk(tmp_path / "c")), prompts, tmp_path / "run")
    assert [row.status for row in rows] == ["failed", "done", "failed"]
    assert rows[0].error == (
        "prompts.jsonl:1: emotalk: RuntimeError: out of memory on device 0"
    )  # fmt: skip
    assert "there is no speech" in rows[2].error


@pytest.mark.parametrize("model_adds", [True, False])
@pytest.mark.parametrize(("head", "width"), [("D3", 52), ("D6", 51)])
def test_unitalker_driver_in_a_pretended_checkout(fakes, spoken, tmp_path, head, width, model_adds):
    checkout = fakes.make_unitalker(tmp_path / "checkout", model_adds_template=model_adds)
    system = AdapterSystem(
        "d", "unitalker", checkout, sys.executable, "B.pt", start_s=60.0, retries=0,
        options={"head": head, "config": "config.json", "template": f"template{width}.npy"},
    )  # fmt: skip
    rows = run(system, spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["done", "done"], rows
    clip = load_clip(tmp_path / "run" / "clips" / "p0.clip")
    order = ARKIT_52 if head == "D3" else UNITALKER_51
    for name in ("eyeBlinkRight", "jawOpen", "mouthPucker", "cheekSquintRight"):
        expected = min(1.0, order.index(name) / 100 + 0.125)
        assert np.allclose(clip.channel(name), expected, atol=1e-5), name
    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert facts["used"]["template_added_by"] == ("model" if model_adds else "driver")
    assert facts["used"]["template_row"] == (0 if head == "D3" else 4)
    if head == "D6":
        assert "without tongueOut" in rows[0].notes


def test_long_clips_go_in_windows_that_fade_into_each_other(repo):
    sys.path.insert(0, str(OUTSIDE))
    try:
        import unitalker_driver as driver
    finally:
        sys.path.remove(str(OUTSIDE))
    rate = 16_000
    assert driver.windows(24 * rate) == [(0, 24 * rate)]
    assert driver.windows(47 * rate) == [(0, 25 * rate), (20 * rate, 45 * rate),
                                         (40 * rate, 47 * rate)]  # fmt: skip
    calls = []

    def ask(piece, frames):
        calls.append(frames)
        return np.full((frames, 3), len(calls), np.float32)

    table = driver.windowed(ask, np.zeros(47 * rate, np.float32))
    assert table.shape == (1410, 3)
    assert calls == [750, 750, 210]
    assert (table[:600] == 1).all()
    assert (table[750:1200] == 2).all()
    assert (np.diff(table[600:750, 0]) > 0).all()
    constant = driver.windowed(lambda p, n: np.full((n, 1), 0.4, np.float32), np.zeros(61 * rate))
    assert np.allclose(constant, 0.4)


DRIVER = """
import json, sys, time
import numpy as np
job = json.load(open(sys.argv[1]))
mode = job["options"].get("mode")
if mode == "no start": print("no such module", file=sys.stderr); sys.exit(4)
if mode == "slow start": time.sleep(60)
print(json.dumps({"event": "ready"}), flush=True)
for item in job["items"]:
    if mode == "die" and item["id"] == "p0": sys.exit(9)
    if mode == "hang" and item["id"] == "p0": time.sleep(60)
    print("chatter", flush=True)
    if mode != "lie":
        np.savez(item["out"], coef=np.zeros((30 if item["id"] == "p0" else 39, 1)),
                 names=["jawOpen"], fps=30.0)
    print(json.dumps({"id": item["id"]}), flush=True)
"""

ADAPTER_FAULTS = {
    "die": (["failed", "done"], "the driver ended with code 9"),
    "hang": (["failed", "done"], "an item took more than 2 s"),
    "no start": (["failed", "failed"], "code 4; it said: no such module"),
    "slow start": (["failed", "failed"], "loading the model took more than 3 s"),
    "lie": (["failed", "failed"], "can't be read"),
}


@pytest.mark.parametrize("mode", ADAPTER_FAULTS)
def test_a_driver_may_die_hang_and_lie(mode, spoken, tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    limits = {"start_s": 3.0, "timeout_s": 2.0, "retries": 0}
    script = str(tmp_path / "driver.py")
    system = AdapterSystem(
        "own", script, tmp_path, sys.executable, options={"mode": mode}, **limits
    )
    rows = run(system, spoken, tmp_path / "run")
    states, words = ADAPTER_FAULTS[mode]
    assert [row.status for row in rows] == states
    assert words in rows[0].error


def test_a_stopped_adapter_run_keeps_what_it_has(spoken, tmp_path, repo):
    (tmp_path / "driver.py").write_text(
        DRIVER.replace('item["id"] == "p0": time', '"1" in item["id"]: time')
    )
    text = f"""[systems.own]
kind = "adapter"
driver = "driver.py"
checkout = "."
python = "{sys.executable}"
options = {{ mode = "hang" }}
"""
    where = ["-o", str(tmp_path / "run"), "--config", str(config(tmp_path, text)), "--no-video"]
    command = [sys.executable, "-m", "render_jobs.cli", "systems", "run", "own", str(spoken)]
    process = subprocess.Popen([*command, *where], cwd=repo, stderr=subprocess.PIPE)
    clip = tmp_path / "run" / "clips" / "p0.clip"
    for _ in range(600):
        if clip.exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    rows = read_rows(tmp_path / "run" / "manifest.jsonl")
    assert {key: row.status for key, row in rows.items()} == {"p0": "done"}


def test_drivers_are_python_38_and_import_nothing_of_ours():
    for script in sorted(OUTSIDE.glob("*.py")):
        tree = ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(n.startswith(("exomni", "render_jobs", "templates")) for n in names)


def test_the_example_is_valid(tmp_path):
    found = read_systems(EXAMPLE)
    assert {kind_of(system) for system in found.values()} == {
        "engine", "clips", "coefficients", "program", "adapter"}  # fmt: skip
    tables = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))["systems"]
    assert tables.keys() <= found.keys()
    assert {"emotalk", "unitalker_d3", "unitalker_d6", "audio2face"} <= found.keys()
    assert len(set(UNITALKER_51)) == 51
    assert set(ARKIT_52) - set(UNITALKER_51) == {"tongueOut"}
    assert len(read_systems(tmp_path / "systems.toml")) == 3  # none there: what is built in


WRONG = {
    "[systems.x]\nkind = 'magic'": "kind is 'magic'",
    "[systems.x]\nkind = 'clips'": "lacks folder",
    "[systems.x]\nkind = 'clips'\nfolder = 3": "folder must be a path",
    "[systems.x]\nkind = 'clips'\nfolder = 'a'\nfoldr = 'b'": "unknown field 'foldr'",
    "[systems.'a/b']\nkind = 'clips'\nfolder = 'a'": "can't name a system",
    "[systems.x]\nkind = 'program'\ncommand = 'rm {out}'": "command must be a list",
    "[systems.x]\nkind = 'program'\ncommand = ['a', '{out}']": "{audio} or {text}",
    "[systems.x]\nkind = 'program'\ncommand = ['a', '{audio}']": "must hold {out}",
    "[systems.x]\nkind = 'program'\ncommand = ['a', '{audio}', '{out}', '{home}']": "{home}",
    "[systems.x]\nkind = 'program'\ncommand = ['a', '{audio}{', '{out}']": "stray brace",
    "[systems.x]\nkind = 'program'\ncommand = ['a', '{audio.x}', '{out}']": "{audio.x}",
    "[systems.x]\nkind = 'program'\ncommand = ['{audio}', '{out}']\ntimeout_s = 0": "timeout_s is",
    "[systems.x]\nkind = 'program'\ncommand = ['{audio}', '{out}']\noutput = '.exe'": ".exe",
    "[systems.x]\nkind = 'coefficients'\nfolder = 'a'\nfiles = 'face.csv'": "must hold {id}",
    "[systems.x]\nkind = 'coefficients'\nfolder = 'a'\nmouth_close = 'x'": "asis or claire",
    "[systems.x]\nkind = 'coefficients'\nfolder = 'a'\nnames = 'mine'": "known orders are",
    "[systems.x]\nkind = 'adapter'\ndriver = 'nix.py'\ncheckout = '.'": "no driver 'nix.py'",
    "[system.x]\nkind = 'clips'": "[systems.NAME]",
    "[systems.x\n": "broken TOML",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_systems_file_is_one_sentence(text, tmp_path):
    with pytest.raises(InputError) as caught:
        read_systems(config(tmp_path, text))
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_systems_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(InputError) as caught:
        read_systems(tmp_path / "mine.toml")
    assert "mine.toml can't be read (No such file or directory); make one with" in str(caught.value)


def test_commands(spoken, tmp_path, make_clip):
    (tmp_path / "faces").mkdir()
    write_face(tmp_path / "faces" / "p0.json", np.zeros((30, 52), np.float32), 30.0)
    path = config(tmp_path, '[systems.a2f]\nkind = "coefficients"\nfolder = "faces"\n')
    asked = CliRunner(), ["--config", str(path), "--json"]

    def invoke(*arguments):
        return asked[0].invoke(systems_command, [*arguments, *asked[1]])

    listed = json.loads(invoke("list").stdout)["systems"]
    assert [row["name"] for row in listed if not row["name"].startswith("embedded")] == ["a2f"]
    done = invoke("check", "a2f", "--prompts", str(spoken))
    assert done.exit_code == 1
    assert "p1.json is missing" in json.loads(done.stdout)["problems"]["a2f"][0]
    done = invoke("wavs", "a2f", str(spoken), "-o", str(tmp_path / "in"))
    assert json.loads(done.stdout)["wavs"] == 2
    rows = list(csv.DictReader((tmp_path / "in" / "batch.csv").open()))
    assert [row["state"] for row in rows] == ["there", "missing"]
    assert Path(rows[0]["expected"]).samefile(tmp_path / "faces" / "p0.json")
    sound = read_audio(rows[1]["wav"])
    assert (sound.sample_rate_hz, len(sound.samples)) == (16_000, 20_800)
    done = invoke("run", "a2f", str(spoken), "-o", str(tmp_path / "run"), "--no-video")
    assert done.exit_code == 1
    facts = json.loads(done.stdout)
    assert (facts["done"], facts["failed"]) == (1, 1)
    assert read_rows(tmp_path / "run" / "manifest.jsonl")["p1"].status == "failed"
    done = CliRunner().invoke(systems_command, ["example"])
    assert tomllib.loads(done.stdout)["systems"]["emotalk"]["kind"] == "adapter"


def test_the_check_asks_for_the_python_that_a_run_would_take(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no program called python
    command = ("{python}", "face.py", "{audio}", "{out}")
    assert check_system(ProgramSystem("tool", command, cwd=tmp_path), []) == []
    lacking = ProgramSystem("tool", command, cwd=tmp_path, python="python7")
    assert check_system(lacking, []) == ["there is no program python7"]
