# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping imported heads: names, folders, descriptors from elsewhere, and the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from exomni_core.errors import InputError
from exomni_core.head_regions import ids_hash
from render_jobs.cli.commands import main
from templates.importing import orient
from templates.importing.store import Label, keep_mesh, remove
from templates.library import find_template, list_user_templates, load_mesh, user_folder
from templates.mesh import save_npz


@pytest.fixture(scope="module")
def head():
    return load_mesh(find_template("head"))


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.setenv("EXOMNI_TEMPLATES", str(tmp_path / "library"))
    return tmp_path / "library"


def shape(mesh, name):
    return mesh.shapes[CHANNEL_INDEX[name]]


def exorender(*words):
    return CliRunner().invoke(main, ["templates", *map(str, words)])


@pytest.fixture
def npz(head, tmp_path):
    save_npz(orient.scale(head, 100), tmp_path / "mine.npz")
    return tmp_path / "mine.npz"


def test_add_list_check_and_remove(npz, library, tmp_path):
    lips = tmp_path / "lips.txt"
    lips.write_text("12, 5 5\n900")
    done = exorender(
        "add", npz, "--name", "mine", "--licence", "CC0", "--lip-ids", lips, "--no-sheet", "--json"
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)["report"]
    assert (report["coverage"], report["lips"], report["lips_auto"]) == (52, 3, False)
    template = find_template("mine")
    assert (template.folder, template.licence) == (library / "mine", "CC0")
    assert template.lips_sha256 == ids_hash(np.array([5, 12, 900]))
    assert "lips" not in template.derived
    assert template.origin["unit"].startswith("cm, guessed")
    listed = exorender()
    assert "mine" in listed.output
    assert "52 of 52" in listed.output
    assert "CC0" in listed.output
    rows = json.loads(exorender("--json").output)["templates"]
    assert [(r["name"], r["kind"]) for r in rows][-1] == ("mine", "yours")
    again = exorender("add", npz, "--name", "mine", "--no-sheet")
    assert again.exit_code == 2
    checked = exorender("check", "mine")
    assert checked.exit_code == 0
    assert "52 of 52" in checked.output
    assert exorender("remove", "mine").exit_code == 0
    assert list_user_templates() == ((), ())
    assert not list(library.iterdir())
    assert exorender("remove", "mine").exit_code == 2


def test_check_of_a_bad_head_says_all_and_fails(head, library, tmp_path):
    order = [CHANNEL_INDEX[mirror_of(name)] for name in ARKIT_52]
    save_npz(replace(head, shapes=head.shapes[order]), tmp_path / "swapped.npz")
    done = exorender("check", tmp_path / "swapped.npz")
    assert done.exit_code == 2
    assert "BAD        left and right are swapped" in done.output
    assert "52 of 52" in done.output
    assert exorender("check", tmp_path / "swapped.npz", "--swap-sides").exit_code == 0


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", ".hidden", "x" * 65, "head", "ä b"])
def test_names_never_leave_the_folder(name, npz, library, tmp_path):
    done = exorender("add", npz, "--name", name, "--no-sheet")
    assert done.exit_code == 2, done.output
    with pytest.raises(InputError):
        remove(name)
    assert not library.exists()
    assert user_folder() == library


def test_remove_and_force_touch_only_templates(head, library, tmp_path):
    (library / "photos").mkdir(parents=True)
    (library / "photos" / "a.txt").write_text("x")
    with pytest.raises(InputError, match="no template 'photos'"):
        remove("photos")
    label = Label("photos", "", "", replace=True)
    with pytest.raises(InputError, match="exists and is not a template"):
        keep_mesh(label, head, colours={}, derived=(), origin={"file": "x"})
    assert (library / "photos" / "a.txt").is_file()


def test_a_descriptor_from_elsewhere_reaches_nothing(head, library):
    label = Label("mine", "", "")
    folder = keep_mesh(label, head, colours={}, derived=(), origin={"file": "x"})
    data = json.loads((folder / "template.json").read_text())
    for changes, words in (
        ({"mesh": "../../secret.npz"}, "mesh must be a file in the template's own folder"),
        ({"mesh": "/etc/passwd.npz"}, "mesh must be a file in the template's own folder"),
        ({"lips": "..\\lips.npy"}, "lips must be a file"),
        ({"channels": {"jawOpens": "x"}}, r"channels\.jawOpens must be under one of"),
        ({"channels": {"jawOpen": [["a", "b"]]}}, r"channels\.jawOpen must be a shape's name"),
        ({"derived": ["nose"]}, r"derived\[0\] must be one of lips"),
        ({"engine": "unreal"}, "engine must be one of auto"),
        ({"lips_sha256": "0" * 64}, "lips_sha256"),
    ):
        (folder / "template.json").write_text(json.dumps(data | changes))
        with pytest.raises(InputError, match=words):
            load_mesh(find_template("mine"))
    _, faults = list_user_templates()
    assert faults == ()  # a wrong hash is found when the mesh is read
    (folder / "template.json").write_text("{")
    assert len(list_user_templates()[1]) == 1
    assert exorender().exit_code == 0


def test_channels_of_a_descriptor_are_followed(head, library):
    folder = keep_mesh(Label("mine", "", ""), head, colours={}, derived=(), origin={"file": "x"})
    data = json.loads((folder / "template.json").read_text())
    wish = {"mouthFunnel": "mouthPucker", "cheekPuff": [["jawOpen", 0.25], ["jawLeft", -1]]}
    (folder / "template.json").write_text(json.dumps(data | {"channels": wish}))
    mesh = load_mesh(find_template("mine"))
    assert np.array_equal(shape(mesh, "mouthFunnel"), shape(head, "mouthPucker"))
    wanted = 0.25 * shape(head, "jawOpen") - shape(head, "jawLeft")
    assert np.allclose(shape(mesh, "cheekPuff"), wanted, atol=1e-7)
    data["channels"] = {"jawOpen": "nobody"}
    (folder / "template.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"no blendshape 'nobody', which its channels\.jawOpen"):
        load_mesh(find_template("mine"))


def test_unusable_paths_and_lists_are_one_sentence(tmp_path, library, npz):
    (tmp_path / "x.obj").write_text("v 0 0 0")
    (tmp_path / "lips.json").write_text('["a"]')
    for words, sentence in (
        (("add", tmp_path / "x.obj", "--name", "a"), "the kinds are .npz, .glb"),
        (("add", tmp_path, "--name", "a"), "is not a head; give"),
        (("add", npz, "--name", "a", "--lip-ids", tmp_path / "lips.json"), "one list of vertex"),
        (("add", npz, "--name", "a", "--unit", "ell"), "'ell' is not a unit"),
        (("check", "nobody"), "there is no template 'nobody'"),
    ):
        done = exorender(*words)
        assert done.exit_code == 2
        assert sentence in done.output, done.output
        assert done.output.count("\n") == 1
