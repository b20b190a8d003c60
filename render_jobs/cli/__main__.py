# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments in, an exit code out: `python -m render_jobs.cli` is `exorender`."""

from render_jobs.cli.commands import main

if __name__ == "__main__":
    main()
