# SPDX-License-Identifier: GPL-3.0-or-later
"""Small things to test with: a template that renders in no time, clips that flash and beep."""

import json
from pathlib import Path

import numpy as np

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.clip import Clip, save_clip
from templates.mesh import TemplateMesh, save_npz

AUDIO_HZ = 24_000
SHARED_HEADS = Path(__file__).resolve().parents[2].parent / "shared" / "heads"
ICT_NPZ = SHARED_HEADS / "ict_facekit.npz"


def tiny_mesh():
    """A dark plate, 30 cm high, with a white flap behind it that jawOpen brings to the front."""
    square = np.array([[-1, -1.5], [1, -1.5], [1, 1.5], [-1, 1.5]], np.float32) * 0.1
    plate = np.column_stack([square, np.zeros(4)])
    flap = np.column_stack([square * 0.9, np.full(4, -0.05)])
    vertices = np.vstack([plate, flap]).astype(np.float32)
    shapes = np.zeros((len(ARKIT_52), 8, 3), np.float32)
    shapes[CHANNEL_INDEX["jawOpen"], 4:, 2] = 0.1  # half way, at 0.5, it passes the plate
    shapes[CHANNEL_INDEX["mouthSmileLeft"], 1, 0] = 0.05
    return TemplateMesh(
        vertices=vertices,
        polygons=np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.int32),
        polygon_part=np.array([0, 1], np.uint8),
        part_names=("plate", "flap"),
        shapes=shapes,
        missing_shapes=tuple(n for n in ARKIT_52 if n not in ("jawOpen", "mouthSmileLeft")),
    )


def tiny_descriptor(**changes):
    """The template.json that goes with `tiny_mesh`, as plain data."""
    return {
        "schema_version": 1,
        "name": "tiny",
        "title": "A plate and a flap",
        "mesh": "tiny.npz",
        "part_colours": {"plate": [0.0, 0.0, 0.0], "flap": [1.0, 1.0, 1.0]},
        "camera": {"margin": 0.0, "crop_below": 0.0},
        "look": {"light": "FLAT", "antialias": "OFF", "world_colour": [0, 0, 0]},
        "licence": "GPL-3.0-or-later",
        "source": "tests",
        **changes,
    }


def tiny_template(folder, **changes):
    """Write the tiny template into `folder` (created) and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_npz(tiny_mesh(), folder / "tiny.npz")
    (folder / "template.json").write_text(json.dumps(tiny_descriptor(**changes)))
    return folder


def moving_clip(path, seconds=0.5, seed=0):
    """A clip whose channels all wander, over quiet noise; returns `path`."""
    rng = np.random.default_rng(seed)
    rows = round(seconds * 30)
    speed, phase = rng.uniform(0.5, 3, 52), rng.uniform(0, 6, 52)
    wave = np.sin(2 * np.pi * speed * np.arange(rows)[:, None] / 30 + phase)
    audio = rng.uniform(-0.1, 0.1, round(seconds * AUDIO_HZ))
    clip = Clip(audio, AUDIO_HZ, (0.5 + 0.5 * wave).astype(np.float32), fps=30.0)
    save_clip(clip, path)
    return path


def flash_clip(path, rows_on, seconds=2.01, fps=60.0, hold_s=0.2):
    """A clip that beeps and opens the jaw at each row (of `fps`) in `rows_on`, for `hold_s`."""
    rows = int(np.ceil(seconds * fps))
    weights = np.zeros((rows, 52), np.float32)
    audio = np.zeros(round(seconds * AUDIO_HZ), np.float32)
    tone = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(round(hold_s * AUDIO_HZ)) / AUDIO_HZ)
    for row in rows_on:
        weights[row : row + round(hold_s * fps), CHANNEL_INDEX["jawOpen"]] = 1.0
        start = round(row / fps * AUDIO_HZ)
        audio[start : start + len(tone)] = tone[: len(audio) - start]
    save_clip(Clip(audio, AUDIO_HZ, weights, fps=fps), path)
    return path
