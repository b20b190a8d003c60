# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m render_jobs.cli`: the same as `exorender`."""

from render_jobs.cli.commands import main

if __name__ == "__main__":
    main()
