# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands `exorender study …`: pairs of videos and their ratings in, a report out."""

from __future__ import annotations

import click

from render_jobs.cli_study_report import power, report


@click.group(name="study", short_help="Human A/B studies: plan, run and report them.")
def study() -> None:
    """Human A/B studies: plan, run and report them."""


study.add_command(power)
study.add_command(report)
