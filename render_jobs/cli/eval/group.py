# SPDX-License-Identifier: GPL-3.0-or-later
"""The group `exorender eval`: every command of this folder in, one click group out."""

from __future__ import annotations

import click

from render_jobs.cli.eval.consistency import consistency
from render_jobs.cli.eval.face import face
from render_jobs.cli.eval.import_ import import_
from render_jobs.cli.eval.latency import latency
from render_jobs.cli.eval.responses import responses
from render_jobs.cli.eval.suite import suite
from render_jobs.cli.eval.sync import sync
from render_jobs.cli.eval.synthetic_reference import synthetic_reference
from render_jobs.cli.eval.tts import tts
from render_jobs.cli.eval.voicebench import voicebench_files as voicebench
from render_jobs.cli.options import HeadedCommand


class _Group(click.Group):
    command_class = HeadedCommand


@click.group(name="eval", short_help="Measure faces, speech and time.")
def evaluate() -> None:
    """Measure faces, speech and time.

    Tables include baselines, confidence intervals and hashes of the inputs.
    """


for _command in (
    consistency,
    face,
    import_,
    latency,
    responses,
    suite,
    sync,
    synthetic_reference,
    tts,
    voicebench,
):
    evaluate.add_command(_command)
