# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender`: options in, one library call per verb, results on stdout, exit code out.

Exit codes: 0 all done, 1 some rows failed, 2 usage or input, 3 environment, 130 interrupted.
Heavy imports happen inside the verbs, so that `--help` is instant.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from exomni_core import __version__
from exomni_core.engine import ENGINE_KINDS
from render_jobs.cli.addon import addon
from render_jobs.cli.batch import batch
from render_jobs.cli.convert import convert
from render_jobs.cli.doctor import doctor
from render_jobs.cli.eval.group import evaluate
from render_jobs.cli.info import info
from render_jobs.cli.models import models
from render_jobs.cli.pairs import pairs
from render_jobs.cli.render import render
from render_jobs.cli.reply import reply
from render_jobs.cli.say_lipsync import lipsync, say
from render_jobs.cli.serve import serve
from render_jobs.cli.study import study
from render_jobs.cli.systems import systems
from render_jobs.cli.templates import templates


class _Group(click.Group):
    """Prints our errors as one line (on stderr, or as JSON) and exits with the documented code."""

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """List the engines that are installed."""
        formatter.write_paragraph()
        formatter.write_text(f"Engines: {', '.join(ENGINE_KINDS.members())}.")

    def invoke(self, ctx: click.Context) -> Any:
        from exomni_core.errors import ExOmniError

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up, then exit
        # Waiting threads that spin take the cores from Blender and from each other. On a
        # busy machine the neural engine then takes ten times as long. Read when torch starts.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            return super().invoke(ctx)
        except ExOmniError as error:
            from render_jobs.cli.console import describe, exit_code, print_json

            if "--json" in sys.argv:
                print_json({"error": describe(error), "exit_code": exit_code(error)})
            else:
                click.echo(f"Error: {describe(error)}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            from render_jobs.cli.console import EXIT_INTERRUPTED

            resumes = {"batch", "run", "suite"}.intersection(sys.argv[1:4])
            again = " Run the same command again to resume." if resumes else ""
            click.echo(f"\nStopped.{again}", err=True)
            sys.exit(EXIT_INTERRUPTED)

    def main(self, *args: Any, **options: Any) -> Any:
        """Run as click does, but print usage errors as JSON if the user passed --json."""
        if "--json" not in sys.argv:
            return super().main(*args, **options)
        from render_jobs.cli.console import EXIT_USAGE, print_json

        try:
            options["standalone_mode"] = False
            sys.exit(super().main(*args, **options) or 0)
        except click.ClickException as error:
            print_json({"error": error.format_message(), "exit_code": EXIT_USAGE})
            sys.exit(EXIT_USAGE)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="exorender")
def main() -> None:
    """Turn lines of text and recordings into talking, animated faces.

    Exit codes: 0 all done, 1 some rows failed, 2 usage or input, 3 environment, 130 stopped.
    """


for _verb in (
    addon,
    batch,
    convert,
    doctor,
    evaluate,
    info,
    lipsync,
    models,
    pairs,
    render,
    reply,
    say,
    serve,
    study,
    systems,
    templates,
):
    main.add_command(_verb)

if __name__ == "__main__":
    main()
