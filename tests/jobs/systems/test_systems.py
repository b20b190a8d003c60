# SPDX-License-Identifier: GPL-3.0-or-later
"""systems.toml, files that were made elsewhere, and the commands."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from system_tools import config, run

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52, UNITALKER_51
from exomni_core.audio import read_audio
from exomni_core.clip import load_clip
from exomni_core.errors import InputError
from exomni_core.formats.convert import write_face
from render_jobs.batch.folder import read_rows
from render_jobs.cli.systems import systems as systems_command
from render_jobs.systems.check import check_system
from render_jobs.systems.config import EXAMPLE, ProgramSystem, kind_of, read_systems


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


def test_the_example_is_valid(tmp_path):
    found = read_systems(EXAMPLE)
    assert {kind_of(system) for system in found.values()} == {
        "engine",
        "clips",
        "coefficients",
        "program",
        "adapter",
    }
    tables = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))["systems"]
    assert tables.keys() <= found.keys()
    assert {"emotalk", "unitalker_d3", "unitalker_d6", "audio2face"} <= found.keys()
    assert len(set(UNITALKER_51)) == 51
    assert set(ARKIT_52) - set(UNITALKER_51) == {"tongueOut"}
    assert len(read_systems(tmp_path / "systems.toml")) == 3  # none there: what is built in


WRONG = {
    "[systems.x]\nkind = 'magic'": "kind must be one of engine, clips",
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
    "[systems.x]\nkind = 'program'\ncommand = ['{audio}', '{out}']\ntimeout_s = 0": "timeout_s",
    "[systems.x]\nkind = 'program'\ncommand = ['{audio}', '{out}']\noutput = '.exe'": ".exe",
    "[systems.x]\nkind = 'coefficients'\nfolder = 'a'\nfiles = 'face.csv'": "must hold {id}",
    "[systems.x]\nkind = 'coefficients'\nfolder = 'a'\nmouth_close = 'x'": "one of asis, claire",
    "[systems.x]\nkind = 'coefficients'\nfolder = 'a'\nnames = 'mine'": "or a list of channels",
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
