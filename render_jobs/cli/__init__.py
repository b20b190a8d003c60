# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines in, calls of the other packages out: `exorender`, one file per verb."""


def main() -> None:
    """Run `exorender`. Installed commands start here, so this name stays."""
    from render_jobs.cli.commands import main as run

    run()
