# SPDX-License-Identifier: GPL-3.0-or-later
"""Two styles of the embedded engine, rendered small, become a study."""

from __future__ import annotations

import json

import pytest

from render_jobs.settings import RenderSettings
from render_jobs.study.making.composite import DIVIDER_PX
from render_jobs.study.making.pairs import PairOptions, build_study
from render_jobs.study.plan_file import check_files
from render_jobs.systems.config import EngineSystem
from render_jobs.systems.items import SystemOptions
from render_jobs.systems.run import run_system
from render_jobs.video.mux import probe

LINES = ["Bob met mum.", "Put it by the map.", "Five blue boats.", "We may be home."]


@pytest.mark.bpy
def test_from_prompts_to_a_study(tmp_path):
    pytest.importorskip("bpy")
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"id": f"line{k}", "text": text, "language": "en"} for k, text in enumerate(LINES)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = RenderSettings(width=64, height=96)
    ours, flat = (EngineSystem(style, prompt={"style": style}) for style in ("lively", "quiet"))
    made = run_system(ours, SystemOptions(prompts, tmp_path / "ours", settings=small))
    assert [row.status for row in made] == ["done"] * 4
    shared = SystemOptions(
        prompts, tmp_path / "flat", audio_from=tmp_path / "ours", video=False, settings=small
    )
    assert [row.status for row in run_system(flat, shared)] == ["done"] * 4
    options = PairOptions(
        (tmp_path / "ours", tmp_path / "flat"),
        tmp_path / "study",
        count=1,
        raters=2,
        min_s=0.3,
        contact="x",
        settings=small,
    )
    built = build_study(options)
    check_files(built.study, built.folder)
    assert built.study.dropped == ()
    assert not any("looks other" in note or "rendered with" in note for note in built.notes)
    video = built.folder / "videos" / built.study.pairs[0].stimuli["AB"].files["both"]
    assert (probe(video).width, probe(video).height) == (2 * 64 + DIVIDER_PX, 96)
