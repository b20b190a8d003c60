# SPDX-License-Identifier: GPL-3.0-or-later
"""The built-in head's shapes -> how landmarks, lids, lips, jaw, tongue and gaze move."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from head_tools import MM, part_vertices, pose, the_head

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from templates.head.targets import LANDMARKS, MOTION, Motion, measure
from templates.mesh import TemplateMesh

ROWS = measure(the_head())
TOLERANCE = 0.25


@pytest.fixture(scope="module")
def head() -> TemplateMesh:
    return the_head()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.shape}-{row.landmark}")
def test_landmarks_move_like_a_real_head(row: Motion) -> None:
    assert row.error <= TOLERANCE, f"wanted {row.wanted}, got {row.got}"


def test_every_shape_is_in_the_table() -> None:
    assert {row.shape for row in ROWS if row.main} == set(ARKIT_52)


def test_table_is_what_was_measured(shared: Path) -> None:
    """The wanted motions are the file's, and the first of each shape is its largest."""
    columns = {
        "chin": "chin", "inner brow": "browInnerL", "outer brow": "browOuterL",
        "tip of nose": "noseTip", "wing of nose": "noseWingL", "upper lid": "upperLidL",
        "lower lid": "lowerLidL", "mouth corner": "mouthCornerL", "upper lip": "upperLipOuterMid",
        "lower lip": "lowerLipOuterMid", "upper lip inside": "upperLipInnerMid",
        "lower lip inside": "lowerLipInnerMid",
    }  # fmt: skip
    assert set(columns) == set(LANDMARKS)
    with open(shared / "heads" / "arkit_landmark_motion.csv", newline="") as handle:
        measured = {line["key"]: line for line in csv.DictReader(handle)}
    seen: set[str] = set()
    for shape, landmark, wanted in MOTION:
        if shape == "tongueOut":
            continue  # the measured head has none
        line = measured[shape]
        given = np.array(line[columns[landmark]].split(), float)
        assert np.allclose(given, wanted, atol=0.051), (shape, landmark)
        if shape not in seen:
            sizes = [np.linalg.norm(np.array(line[c].split(), float)) for c in columns.values()]
            assert np.linalg.norm(given) >= max(sizes) - 0.05, shape
        seen.add(shape)


def test_jaw_opens_the_mouth_and_carries_the_lower_teeth(head: TemplateMesh) -> None:
    points = pose(head, jawOpen=1.0)
    upper, lower = head.lip_aperture_pair
    assert 25 < np.linalg.norm(points[upper] - points[lower]) < 42
    moved = points - pose(head)
    assert moved[part_vertices(head, "teeth_lower")][:, 1].max() < -5
    assert np.abs(moved[part_vertices(head, "teeth_upper")]).max() == 0


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("eyeLookUp", 1, 1), ("eyeLookDown", 1, -1), ("eyeLookOut", 0, 1), ("eyeLookIn", 0, -1)],
)
def test_gaze_turns_the_pupil(head: TemplateMesh, name: str, axis: int, sign: int) -> None:
    pupil = part_vertices(head, "pupil_L")
    moved = (pose(head, **{f"{name}Left": 1.0}) - pose(head))[pupil].mean(0)
    assert 4 < sign * moved[axis] < 9


def test_smile_lifts_the_cheek_and_deepens_the_fold(head: TemplateMesh) -> None:
    moved = head.shapes[CHANNEL_INDEX["mouthSmileLeft"]] * MM
    cheek = moved[head.vertex_groups["cheek_L"]].mean(0)
    assert cheek[1] > 1.5  # up
    fold = np.argmin(np.linalg.norm(head.vertices * MM - [26, -50, 95], axis=1))
    apple = np.argmin(np.linalg.norm(head.vertices * MM - [37, -32, 92], axis=1))
    assert moved[apple, 2] - moved[fold, 2] > 1.0  # the apple comes forward over the fold


def test_funnel_and_pucker_make_the_mouth_narrow_and_full(head: TemplateMesh) -> None:
    rest = pose(head)
    left, right = head.landmarks68[54], head.landmarks68[48]
    for name in ("mouthFunnel", "mouthPucker"):
        points = pose(head, **{name: 1.0})
        assert points[left, 0] - points[right, 0] < 0.84 * (rest[left, 0] - rest[right, 0])
        assert (points - rest)[head.lips, 2].mean() > 5


def test_tongue_comes_out_between_the_lips(head: TemplateMesh) -> None:
    points = pose(head, tongueOut=1.0, jawOpen=0.3)
    tongue = points[part_vertices(head, "tongue")]
    out = tongue[tongue[:, 2] > points[head.lips, 2].max() - 4]
    assert len(out) > 30
    upper, lower = points[head.lip_aperture_pair]
    assert np.ptp(out[:, 0]) < 45
    assert out[:, 1].max() < upper[1] + 2
    assert lower[1] < out[:, 1].max()
