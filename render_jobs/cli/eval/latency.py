# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender eval latency`: prompts in, times of an engine's answers out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from render_jobs.cli.engine_options import engine_options, engine_settings
from render_jobs.cli.eval.shared import FILE, finish, output_option
from render_jobs.cli.options import HeadedCommand, engine_option, json_option, seed_option


@click.command(
    cls=HeadedCommand, short_help="Measure an engine's speed: real-time factor, first audio, face."
)
@click.argument("prompts", type=FILE)
@click.option(
    "--n",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="Number of prompts to measure; --seed selects them.",
)
@click.option(
    "--warmup",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    metavar="N",
    help="Number of prompts to run first without measuring.",
)
@click.option("--stream", is_flag=True, help="Request the answer as a stream.")
@engine_option()
@seed_option("Random seed that selects the prompts; also the seed of prompts that name none.")
@engine_options
@output_option
@json_option
def latency(prompts: Path, **chosen: Any) -> None:
    """Measure the engine's times on PROMPTS (JSON lines), one prompt at a time."""
    from render_jobs.cli.console import ProgressLine
    from render_jobs.evaluation.latency import LatencyRun, evaluate_latency
    from render_jobs.evaluation.latency_text import latency_lines, latency_markdown

    names = ("engine", "n", "warmup", "seed", "stream")
    run = LatencyRun(
        prompts, engine_options=engine_settings(chosen), **{name: chosen[name] for name in names}
    )
    with ProgressLine(quiet=chosen["as_json"], unit="prompts") as line:
        result = evaluate_latency(run, line.frames)
    finish(result, latency_markdown(result), latency_lines(result), chosen)
