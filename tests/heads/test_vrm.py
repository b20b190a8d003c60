# SPDX-License-Identifier: GPL-3.0-or-later
"""VRM files whose morph targets have no names in; their expressions, and a talking head, out."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bpy", reason="needs the bpy wheel")

from exomni_core.arkit import CHANNEL_INDEX
from render_jobs.heads.add import BlenderReader, check_head, read_head
from render_jobs.heads.vrm import read_vrm
from templates.importing.prepare import Wishes

pytestmark = pytest.mark.bpy
GODETTE = Path(__file__).resolve().parents[3] / "shared" / "cases" / "godette_vrm0_ccby.vrm"


def glb(path: Path, data: object) -> Path:
    text = json.dumps(data).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A)
    path.write_bytes(head + text)
    return path


def version_0(groups: list) -> dict:
    return {
        "meshes": [{"name": "Face"}, {"name": "Body"}],
        "extensions": {"VRM": {"blendShapeMaster": {"blendShapeGroups": groups}}},
    }


def test_version_0_binds_meshes_in_hundredths(tmp_path):
    groups = [
        {"presetName": "a", "name": "Aaa", "binds": [{"mesh": 0, "index": 5, "weight": 100}]},
        {"presetName": "unknown", "name": "Jaw", "binds": [{"mesh": 0, "index": 7, "weight": 50}]},
        {"presetName": "neutral", "name": "Neutral", "binds": []},
    ]  # fmt: skip
    path = glb(tmp_path / "a.vrm", version_0(groups))
    found = {row.name: row.binds for row in read_vrm(path).expressions}
    assert found == {"A": {"Face": ((5, 1.0),)}, "Jaw": {"Face": ((7, 0.5),)}}
    assert read_vrm(path).looks_backwards


def test_version_1_binds_nodes_in_shares(tmp_path):
    data = {
        "meshes": [{"name": "Head"}],
        "nodes": [{"name": "root"}, {"name": "h", "mesh": 0}],
        "extensions": {"VRMC_vrm": {"expressions": {
            "preset": {"aa": {"morphTargetBinds": [{"node": 1, "index": 2, "weight": 1.0}]}},
            "custom": {"mine": {"morphTargetBinds": [{"node": 0, "index": 2, "weight": 1.0}]}},
        }}},
    }  # fmt: skip
    path = glb(tmp_path / "a.glb", data)
    (aa,) = read_vrm(path).expressions
    assert (aa.name, aa.binds) == ("aa", {"Head": ((2, 1.0),)})
    assert not read_vrm(path).looks_backwards


@pytest.mark.parametrize(
    "bind",
    [
        {"mesh": -1, "index": 0, "weight": 100},
        {"mesh": 9, "index": 0, "weight": 100},
        {"mesh": True, "index": 0, "weight": 100},
        {"mesh": 0, "index": "0", "weight": 100},
        {"mesh": 0, "index": 1e9, "weight": 100},
        {"mesh": 0, "index": 0, "weight": "much"},
        {"mesh": 0, "index": 0, "weight": 1e300},
        {"mesh": None},
        7,
    ],
)
def test_binds_that_lead_nowhere_are_passed_over(tmp_path, bind):
    path = glb(tmp_path / "a.vrm", version_0([{"presetName": "a", "binds": [bind]}, None, 3]))
    assert read_vrm(path).expressions == ()


def test_files_that_are_none_have_no_expressions(tmp_path):
    for data in (b"", b"glTF", b"PK\x03\x04" + bytes(60), b"glTF" + b"\xff" * 60):
        (tmp_path / "a.vrm").write_bytes(data)
        assert read_vrm(tmp_path / "a.vrm").expressions == ()
    for data in ([], {"extensions": []}, {"extensions": {"VRM": {"blendShapeMaster": 3}}}):
        assert read_vrm(glb(tmp_path / "a.vrm", data)).expressions == ()


@pytest.mark.skipif(not GODETTE.is_file(), reason="the shared cases are not here")
def test_godette_speaks_and_looks_ahead():
    with BlenderReader() as reader:
        raw, _ = read_head(GODETTE, reader)
        report = check_head(str(GODETTE), Wishes(), reader)
    made_of = raw.origin.made_of
    assert made_of["jawOpen"] == (("A", 1.0),)
    assert made_of["eyeBlinkLeft"] == (("Blink_L", 1.0),)
    assert report.axes == ""
    for side, sign in (("Left", 1), ("Right", -1)):
        moved = np.linalg.norm(raw.mesh.shapes[CHANNEL_INDEX[f"eyeBlink{side}"]], axis=1)
        spot = raw.mesh.vertices[moved > 0.5 * moved.max()].mean(axis=0)
        assert sign * spot[0] > 0.03
        assert spot[2] > 0.1
