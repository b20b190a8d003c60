# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender eval face` as a user runs it: every format, lists, batch runs, and what is wrong."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from exomni_core.arkit import ARKIT_52, LIVE_LINK_52, UNITALKER_51
from exomni_core.clip import Phone, save_clip
from exomni_core.errors import InputError
from exomni_core.formats.convert import write_face
from exomni_core.metrics.faces.table import check_comparable
from render_jobs.cli.commands import main
from templates.mesh import TemplateMesh, save_npz

PARTS = (
    "TipUp", "TipDown", "TipLeft", "TipRight", "RollUp", "RollDown", "RollLeft", "RollRight", "Up",
    "Down", "Left", "Right", "In", "Stretch", "Wide", "Narrow",
)  # fmt: skip
TONGUE = [f"Tongue{part}" for part in PARTS]


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A small head in metres, so that these tests take no time."""
    rng = np.random.default_rng(2)
    vertices = rng.uniform(-0.1, 0.1, (80, 3)).astype(np.float32)
    vertices[:, 1] = np.linspace(-0.12, 0.12, 80)
    mesh = TemplateMesh(
        vertices=vertices,
        polygons=np.array([[0, 1, 2, 3]], np.int32),
        polygon_part=np.zeros(1, np.uint8),
        part_names=("face",),
        shapes=rng.normal(0, 0.003, (52, 80, 3)).astype(np.float32),
        lips=np.arange(10, 24, dtype=np.int32),
        lip_aperture_pair=np.array([10, 20], np.int32),
    )
    path = tmp_path_factory.mktemp("head") / "small.npz"
    save_npz(mesh, path)
    return path


@pytest.fixture
def score(template):
    """A function: arguments of `eval face` in, exit code and the printed JSON out."""

    def run(*arguments: object, code: int = 0) -> dict[str, Any]:
        options = ["--template", template, "--json", "--workers", "1"]
        argv = ["eval", "face", *arguments, *options]
        done = CliRunner().invoke(main, [str(a) for a in argv], standalone_mode=False)
        if error := re.search(r"Error: (.*)", done.output):
            raise InputError(error[1])
        assert done.exit_code == code, done.output
        found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
        return found

    return run


def nim_csv(path: Path, weights: np.ndarray, fps: float) -> None:
    """As Audio2Face-3D's sample client writes it: a data frame with an unnamed index."""
    names = ["".join((n[0].upper(), n[1:])) for n in LIVE_LINK_52]
    with open(path, "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["", "timeCode", *(f"blendShapes.{n}" for n in names + TONGUE)])
        for number, row in enumerate(weights):
            values = [row[ARKIT_52.index(n)] for n in LIVE_LINK_52]
            writer.writerow([number, number / fps, *values, *([0.25] * len(TONGUE))])


def write(path: Path, weights: np.ndarray, fps: float = 30.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, coef=weights.astype(np.float32), names=np.array(ARKIT_52), fps=fps)
    else:
        write_face(path, weights, fps)
    return path


def test_every_format_gives_the_same_numbers(tmp_path, score, curves, make_clip):
    pred, ref = np.clip(curves(60, 1), 0, 1).astype(np.float32), np.clip(curves(60, 2), 0, 1)
    write(tmp_path / "ref" / "one.npz", ref)
    expected = None
    for ending in (".npz", ".json", ".csv", ".npy", ".clip", "nim"):
        folder = tmp_path / f"pred{ending.strip('.')}"
        folder.mkdir()
        if ending == ".clip":
            save_clip(
                make_clip(2.0, weights=pred, phones=(Phone("m", 0.5, 0.6),)), folder / "one.clip"
            )
        elif ending == "nim":
            (folder / "one").mkdir()
            nim_csv(folder / "one" / "animation_frames.csv", pred, 30.0)
            (folder / "one" / "a2f_3d_smoothed_emotion_output.csv").write_text("time_code\n0\n")
        else:
            write(folder / f"one{ending}", pred)
        row = score(folder, tmp_path / "ref")["rows"][0]
        expected = expected or row
        assert row["lve_l2_mm"] == pytest.approx(expected["lve_l2_mm"], rel=1e-6), ending
        assert row["coef_mae_mouth"] == pytest.approx(expected["coef_mae_mouth"], rel=1e-6)
        assert row["bilabial_intervals_used"] == (1 if ending == ".clip" else 0)


def test_an_array_of_another_order_by_list_and_at_60_fps(tmp_path, score, curves):
    ref = np.clip(curves(120, 2), 0, 1)
    ref[:, ARKIT_52.index("tongueOut")] = 0.0
    write(tmp_path / "refs" / "x.npz", ref[::2], 30.0)
    write(tmp_path / "refs" / "y.npz", ref[::2], 30.0)
    columns = [ARKIT_52.index(n) for n in UNITALKER_51]
    np.save(tmp_path / "x.npy", ref[:, columns].astype(np.float32))
    lines = [
        {"id": "x", "system": "d6", "text": "", "face": "x.npy", "face_fps": 60,
         "face_names": "unitalker_51"},
        {"id": "y", "system": "d6", "text": "", "error": "out of memory"},
    ]  # fmt: skip
    (tmp_path / "responses.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    found = score(tmp_path / "responses.jsonl", tmp_path / "refs", code=1)
    assert found["counts"] == {
        "n": 2,
        "n_scored": 1,
        "n_failed": 1,
        "n_skipped_short": 0,
        "frames": 60,
    }
    rows = {row["id"]: row for row in found["rows"]}
    assert rows["x"]["lve_l2_mm"] < 1e-5
    assert rows["x"]["missing_pred"] == ["tongueOut"]
    assert rows["y"]["reason"] == "the prediction failed: out of memory"
    neutral = rows["y"]["baseline_neutral_lve_l2_mm"]
    with_failures = found["metrics"]["lve_with_failures_l2_mm"]
    assert with_failures["n"] == 2
    assert with_failures["mean"] == pytest.approx(neutral / 2, rel=1e-5)
    assert found["settings"]["system"] == "d6"


def test_a_batch_run_against_a_folder_counts_its_failures(tmp_path, score, curves, make_clip):
    run = tmp_path / "run"
    for name in ("a", "b"):
        clip = make_clip(2.0, weights=np.clip(curves(60), 0, 1))
        (run / "clips").mkdir(parents=True, exist_ok=True)
        save_clip(clip, run / "clips" / f"{name}.clip")
        write(tmp_path / "ref" / f"{name}.npz", curves(61, 4))
    rows = [
        {"id": "a", "line": 1, "status": "done", "clip": "clips/a.clip"},
        {"id": "b", "line": 2, "status": "skipped", "clip": "clips/b.clip"},
        {"id": "c", "line": 3, "status": "failed", "clip": None, "error": "no text"},
    ]
    (run / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = score(run, tmp_path / "ref", "-o", tmp_path / "out", code=1)
    assert found["counts"]["n_scored"] == 2
    assert [f["id"] for f in found["failures"]] == ["c"]
    assert "rows" not in found
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [row["id"] for row in written["rows"]] == ["a", "b", "c"]
    assert written["settings"]["lip_count"] == 14
    assert len(written["settings"]["template_sha256"]) == 64
    text = (tmp_path / "out" / "table.md").read_text()
    for told in (
        "Unit: mm",
        "14 vertices",
        "1 failed",
        "frozen mean pose",
        "bootstrap over clips",
        "3 frames late",
        written["settings"]["lip_sha256"][:12],
    ):
        assert told in text
    with open(tmp_path / "out" / "rows.csv") as handle:
        assert [row["status"] for row in csv.DictReader(handle)] == ["scored", "scored", "failed"]


def references(folder: Path, configs: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    lines = []
    for number, config in enumerate(configs):
        write(folder / f"{number}.npz", rng.random((40, 52)))
        lines.append(
            {
                "id": str(number),
                "system": "s",
                "face": f"{number}.npz",
                "fps": 30,
                "model": "multi_v3.2",
                "config_sha256": config,
            }
        )
    (folder / "references.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def test_mixed_references_are_refused(tmp_path, score):
    write(tmp_path / "pred" / "0.npz", np.random.default_rng(1).random((40, 52)))
    write(tmp_path / "pred" / "1.npz", np.random.default_rng(1).random((40, 52)))
    with pytest.raises(InputError, match="made by 2 configurations"):
        score(tmp_path / "pred", references(tmp_path / "mixed", ["aa", "bb"]))
    found = score(tmp_path / "pred", references(tmp_path / "one", ["aa", "aa"]))
    assert found["settings"]["reference_config"] == "model=multi_v3.2, config_sha256=aa, fps=30"


BAD = [
    (lambda f: (f / "x.npy", np.save(f / "x.npy", np.zeros((30, 52))))[0], "columns without names"),
    (lambda f: write_nan(f), "no finite number for jawOpen in frame 3"),
    (lambda f: write_json(f, exportFps=0), "0 as frames per second"),
    (lambda f: write_json(f, facsNames=["jawOpen"] * 52), "jawOpen stands twice"),
    (lambda f: write_json(f, facsNames=[f"x{k}" for k in range(52)]), "is not an ARKit blendshape"),
    (lambda f: write_json(f, weightMat=[], numFrames=0), "holds no frames"),
    (lambda f: write(f / "x.npz", np.zeros((200, 52))), "don't belong together"),
    (lambda f: unnamed_csv(f), "column 3 of 3 has no name"),
]


def write_nan(folder: Path) -> Path:
    weights = np.zeros((60, 52), np.float32)
    weights[3, ARKIT_52.index("jawOpen")] = np.nan
    np.savez(folder / "x.npz", coef=weights, names=np.array(ARKIT_52), fps=30)
    return folder / "x.npz"


def write_json(folder: Path, **changes: Any) -> Path:
    data = {
        "exportFps": 30,
        "numPoses": 52,
        "numFrames": 60,
        "facsNames": list(ARKIT_52),
        "weightMat": [[0.0] * 52] * 60,
    } | changes
    (folder / "x.json").write_text(json.dumps(data))
    return folder / "x.json"


def unnamed_csv(folder: Path) -> Path:
    (folder / "x.csv").write_text("timecode,JawOpen,\n0.0,0.1,0.2\n0.0333,0.1,0.2\n")
    return folder / "x.csv"


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_bad_predictions_get_one_sentence_and_stay_counted(tmp_path, score, make, sentence):
    make(tmp_path)
    pred = tmp_path / "pred"
    pred.mkdir()
    for path in tmp_path.glob("x.*"):
        path.rename(pred / path.name)
    write(pred / "good.npz", np.zeros((60, 52)))
    for name in ("x", "good"):
        write(tmp_path / "ref" / f"{name}.npz", np.random.default_rng(3).random((60, 52)))
    found = score(pred, tmp_path / "ref", code=1)
    assert found["counts"]["n_scored"] == found["counts"]["n_failed"] == 1
    reason = found["failures"][0]["reason"]
    assert sentence in reason
    assert "\n" not in reason
    assert found["metrics"]["lve_with_failures_l2_mm"]["n"] == 2


def test_one_frame_is_skipped_and_counted(tmp_path, score):
    write(tmp_path / "pred" / "x.npz", np.zeros((1, 52)))
    write(tmp_path / "ref" / "x.npz", np.ones((1, 52)))
    found = score(tmp_path / "pred", tmp_path / "ref", code=1)
    assert found["counts"]["n_skipped_short"] == 1
    assert found["failures"][0]["reason"] == "0.03 s is too short to score"
    assert found["metrics"]["lve_l2_mm"] == {"mean": None, "n": 0, "low": None, "high": None}


def test_an_empty_set_a_doubled_id_and_strangers_are_refused(tmp_path, score):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "ref" / "x.npz", np.ones((30, 52)))
    write(tmp_path / "other" / "y.npz", np.ones((30, 52)))
    for pred, sentence in (("empty", "holds no clips"), ("other", "no id is on both sides")):
        with pytest.raises(InputError, match=sentence):
            score(tmp_path / pred, tmp_path / "ref")
    write(tmp_path / "other" / "y.json", np.ones((30, 52), np.float32))
    with pytest.raises(InputError, match="holds 'y' twice"):
        score(tmp_path / "other", tmp_path / "other")


def test_ids_of_lists_lead_out_of_no_folder(tmp_path, score, curves):
    write(tmp_path / "a.npz", np.clip(curves(30), 0, 1))
    (tmp_path / "phones").mkdir()
    (tmp_path / "b.ctm").write_text("not what a CTM line is")
    ids = ("../b", "/b", "..", "b/..")
    lines = (json.dumps({"id": name, "face": "a.npz"}) for name in ids)
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    both = tmp_path / "list.jsonl", tmp_path / "list.jsonl"
    found = score(*both, "--phones", tmp_path / "phones")
    assert found["counts"]["n_scored"] == len(ids)


def test_two_single_files_clip_01_and_phones(tmp_path, score):
    pred = write(tmp_path / "left.npz", np.full((40, 52), 1.5))
    ref = write(tmp_path / "right.npz", np.full((40, 52), 1.0))
    (tmp_path / "phones").mkdir()
    (tmp_path / "phones" / "left.TextGrid").write_text(TEXT_GRID)
    plain = score(pred, ref, "--phones", tmp_path / "phones")
    assert plain["rows"][0]["outside_pred"] == 1.0
    assert any("100% of its values" in w["warning"] for w in plain["warnings"])
    assert plain["rows"][0]["lve_l2_mm"] > 1
    assert plain["rows"][0]["bilabial_intervals_used"] == 1
    clipped = score(pred, ref, "--clip", "01")
    assert clipped["rows"][0]["lve_l2_mm"] == 0.0


TEXT_GRID = """File type = "ooTextFile"
Object class = "TextGrid"
xmin = 0
xmax = 1
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "map"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1
        intervals: size = 3
        intervals [1]:
            xmin = 0.1
            xmax = 0.2
            text = "sil"
        intervals [2]:
            xmin = 0.2
            xmax = 0.3
            text = "M"
        intervals [3]:
            xmin = 0.3
            xmax = 0.5
            text = "AE1"
"""


def test_workers_do_not_change_the_table(tmp_path, template, curves):
    for number in range(60):
        write(tmp_path / "pred" / f"{number}.npz", curves(20, number))
        write(tmp_path / "ref" / f"{number}.npz", curves(20, number + 100))
    (tmp_path / "pred" / "7.npz").write_bytes(b"broken")
    tables = []
    for workers in ("1", "3"):
        out = tmp_path / f"out{workers}"
        done = subprocess.run(
            [sys.executable, "-m", "render_jobs.cli", "eval", "face", tmp_path / "pred",
             tmp_path / "ref", "--template", template, "--workers", workers, "-o", out],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert "Not scored: 7" in done.stderr
        assert "Traceback" not in done.stderr
        tables.append((out / "rows.csv").read_bytes())
    assert tables[0] == tables[1]


def test_the_fixture_command_prints_the_golden_keys(shared, differences):
    folder = shared / "golden" / "lve"
    argv = ["eval", "face", "--fixture", str(folder / "public.npz"), "--json"]
    done = CliRunner().invoke(main, argv)
    expected = json.loads((folder / "expected_public.json").read_text())
    assert done.exit_code == 0, done.output
    assert differences(expected, json.loads(done.output), 1e-9) == []


def test_numpy_alone_is_enough_for_a_fixture(tmp_path, shared, repo):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "from exomni_core.metrics.faces.fixture import score_fixture\n"
        "score_fixture(Path(sys.argv[1]))\n"
        "others = {m.partition('.')[0] for m in sys.modules} & {'scipy', 'bpy', 'soundfile', "
        "'soxr', 'pocketsphinx', 'espeakng_loader', 'click', 'pandas', 'torch'}\n"
        "assert not others, others\n"
    )
    path = shared / "golden" / "lve" / "public.npz"
    subprocess.run([sys.executable, "-I", "-c", code, path, repo], check=True, timeout=60)


def test_results_of_different_references_or_lips_share_no_table(tmp_path, score, curves):
    write(tmp_path / "pred" / "0.npz", curves(40))
    lips = tmp_path / "lips.txt"
    lips.write_text("1, 2\n3")
    a = score(tmp_path / "pred", references(tmp_path / "a", ["aa"]))
    b = score(tmp_path / "pred", references(tmp_path / "b", ["bb"]))
    c = score(tmp_path / "pred", tmp_path / "a", "--lip-ids", lips)
    assert c["settings"]["lip_count"] == 3
    check_comparable([a, a])
    with pytest.raises(InputError, match="differ in reference_config"):
        check_comparable([a, b])
    with pytest.raises(InputError, match="differ in lips, lip_sha256"):
        check_comparable([a, c])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1 2 x", "can't be read as a list of vertex ids"),
        ("", "must hold one list"),
        ("5 500", "names vertices 5 to 500, but the template has 80"),
    ],
)
def test_wrong_lip_lists_are_refused(tmp_path, score, curves, text, sentence):
    write(tmp_path / "0.npz", curves(40))
    (tmp_path / "lips.txt").write_text(text)
    with pytest.raises(InputError, match=sentence):
        score(tmp_path / "0.npz", tmp_path / "0.npz", "--lip-ids", tmp_path / "lips.txt")


def test_claire_is_undone_before_anything_is_clipped(tmp_path, score):
    jaw, close = ARKIT_52.index("jawOpen"), ARKIT_52.index("mouthClose")
    ref, pred = np.zeros((40, 52)), np.zeros((40, 52))
    ref[:, jaw], ref[:, close] = -0.3, 0.5
    pred[:, jaw], pred[:, close] = 0.2, 0.5
    paths = write(tmp_path / "p.npz", pred), write(tmp_path / "r.npz", ref)
    found = score(*paths, "--ref-mouthclose", "claire", "--clip", "01")
    assert found["rows"][0]["lve_l2_mm"] < 1e-5
    assert score(*paths)["rows"][0]["lve_l2_mm"] > 0.1


def test_a_rate_that_contradicts_the_file_is_refused(tmp_path, score, curves):
    write(tmp_path / "ref" / "x.json", np.clip(curves(60), 0, 1), 60.0)
    (tmp_path / "ref" / "references.jsonl").write_text(
        json.dumps({"id": "x", "face": "x.json", "fps": 30, "model": "m"})
    )
    write(tmp_path / "pred" / "x.npz", np.clip(curves(60), 0, 1), 60.0)
    found = score(tmp_path / "pred", tmp_path / "ref", code=1)
    assert "has 60 frames per second, but 30 were told" in found["failures"][0]["reason"]
    np.savez(tmp_path / "pred" / "x.npz", coef=curves(60), names=np.array(ARKIT_52))
    found = score(tmp_path / "pred", tmp_path / "pred", code=1)
    assert "doesn't tell its frame rate" in found["failures"][0]["reason"]
    assert score(tmp_path / "pred", tmp_path / "pred", "--fps", "60")["counts"]["frames"] == 30
