# SPDX-License-Identifier: GPL-3.0-or-later
"""Events and results in, text for a terminal or JSON for a script out."""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from collections.abc import Mapping
from typing import Any, Final, Literal

import click

from exomni_core.engine import Progress as Step
from exomni_core.errors import EnvironmentProblem, ExOmniError, InputError
from render_jobs.batch.folder import Row
from render_jobs.batch.plan import BatchOptions, Item, Plan
from render_jobs.batch.run import Observer, Summary

_NOTES_SHOWN: Final = 10
EXIT_SOME_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_ENVIRONMENT: Final = 3
EXIT_INTERRUPTED: Final = 130


def exit_code(error: ExOmniError) -> int:
    """The documented exit code for an error that ended the command."""
    if isinstance(error, EnvironmentProblem):
        return EXIT_ENVIRONMENT
    return EXIT_USAGE if isinstance(error, InputError) else EXIT_SOME_FAILED


def describe(error: ExOmniError) -> str:
    """The error's sentence, with the name of the field it is about."""
    culprit = getattr(error, "field", None)
    return f"{culprit}: {error}" if culprit else str(error)


def print_json(data: dict[str, Any]) -> None:
    """One machine-readable line on stdout."""
    click.echo(json.dumps(data, ensure_ascii=False))


def printable(text: str) -> str:
    """`text` without control characters, so that a model's text can't control the terminal."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")


def tell(facts: Mapping[str, Any], *, as_json: bool, quiet: bool) -> None:
    """Print what was made: notes on stderr and files on stdout, or everything as one JSON line."""
    if as_json:
        print_json(dict(facts))
        return
    for note in facts.get("notes", ()):
        click.echo(f"Note: {note}", err=True)
    if quiet:
        return
    made = next(facts[name] for name in ("video", "clip", "target") if name in facts)
    how = ", ".join(str(facts[n]) for n in ("language", "route") if facts.get(n))
    click.echo(f"wrote {made}" + (f" ({how})" if how else ""))
    if "sheet" in facts:
        click.echo(f"wrote {facts['sheet']}")


class ProgressLine:
    """One line on a terminal: first the stage, then a count of frames. A pipe gets nothing.

    Streamed text is shown above that line, also in a pipe.
    """

    def __init__(self, *, quiet: bool, unit: str = "frames") -> None:
        """quiet: show nothing. unit: name of the counted things."""
        self._quiet, self._unit = quiet, unit
        self._open: Literal["", "text", "line"] = ""
        self._frames = 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def text(self, piece: str) -> None:
        """Show the next piece of a streamed text."""
        if not self._open:
            piece = piece.lstrip()
        if piece and not self._quiet:
            self._open = "text"
            click.echo(printable(piece), nl=False, err=True)

    def stage(self, step: Step) -> None:
        """Show the engine's stage."""
        self._show(f"{step.stage} {step.done:.0%}")

    def frames(self, count: int) -> None:
        """Add `count` to the shown number."""
        self._frames += count
        self._show(f"{self._frames} {self._unit}")

    def _show(self, text: str) -> None:
        if sys.stderr.isatty() and not self._quiet:
            if self._open == "text":
                self._end()
            self._open = "line"
            click.echo(f"\r{text:<20}", nl=False, err=True)

    def _end(self) -> None:
        if self._open:
            click.echo(err=True)
        self._open = ""


class QuietDisplay(Observer):
    """Counts a batch run's events and shows nothing."""

    def __init__(self) -> None:
        """Start the clock."""
        self.started = time.perf_counter()
        self.rows_total = self.rows_done = self.again = 0
        self.clips_done = self.clips_total = 0
        self.speech_s = 0.0
        self._to_make: set[int] = set()
        self.frames_done = self.frames_total = 0

    def planned(self, plan: Plan, options: BatchOptions) -> None:  # noqa: ARG002
        """Count the rows and clips of the plan."""
        self.rows_total = len(plan.items) + len(plan.bad)
        self.again = sum(item.again for item in plan.items)
        self._to_make = {item.line for item in plan.items if item.clip_sha256 is None}
        self.clips_total = len(self._to_make)
        self.show()

    def clip_done(self, item: Item, duration_s: float, frames: int) -> None:
        """Count one finished clip."""
        if item.line in self._to_make:
            self.clips_done += 1
            self.speech_s += duration_s
        self.frames_total += frames
        self.show()

    def frames(self, count: int) -> None:
        """Count rendered frames."""
        self.frames_done += count
        self.show()

    def row(self, row: Row) -> None:  # noqa: ARG002
        """Count one finished row."""
        self.rows_done += 1
        self.show()

    def show(self) -> None:
        """Do nothing; visible displays redraw here."""

    def close(self) -> None:
        """Do nothing; visible displays stop here."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the display was made."""
        return time.perf_counter() - self.started

    @property
    def frames_per_s(self) -> float:
        """Frames drawn per second of the whole run so far."""
        return self.frames_done / max(self.elapsed_s, 1e-6)


class LineDisplay(QuietDisplay):
    """For logs and pipes: one line at the start and one per finished row, on stderr."""

    def planned(self, plan: Plan, options: BatchOptions) -> None:
        """Print the number of prompts, because the first row may take a while."""
        super().planned(plan, options)
        todo = len(plan.todo)
        rows = "1 prompt" if self.rows_total == 1 else f"{self.rows_total} prompts"
        click.echo(f"{rows}, {todo} to make with {options.engine}", err=True)

    def row(self, row: Row) -> None:
        """Print how the row ended."""
        super().row(row)
        what = row.error if row.status == "failed" else f"{row.id}: {row.status}"
        click.echo(f"[{self.rows_done}/{self.rows_total}] {what}", err=True)


class LiveDisplay(QuietDisplay):
    """For a terminal: one bar per stage, with counts, speed and time left."""

    def __init__(self) -> None:
        """Open the live area."""
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description:8}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bars = {
            name: self._progress.add_task(name, total=None, speed="", visible=False)
            for name in ("clips", "frames", "rows")
        }
        self._progress.start()

    def show(self) -> None:
        """Redraw the bars of stages that have work."""
        stages = (
            ("clips", self.clips_done, self.clips_total, f"{self.speech_s:.0f} s of speech"),
            ("frames", self.frames_done, self.frames_total, f"{self.frames_per_s:.1f} fps"),
            ("rows", self.rows_done, self.rows_total, ""),
        )
        for name, done, total, speed in stages:
            bar = self._bars[name]
            self._progress.update(
                bar, completed=done, total=total or None, speed=speed, visible=total > 0
            )

    def row(self, row: Row) -> None:
        """Print a failed row at once, above the bars."""
        super().row(row)
        if row.status == "failed":
            self._progress.console.print(f"[red]failed[/red] {_plain(row.error)}", soft_wrap=True)

    def close(self) -> None:
        """Leave the final bars on the screen."""
        self._progress.stop()


def make_display(*, quiet: bool) -> QuietDisplay:
    """Choose the display: bars on a terminal, lines in a log, nothing if quiet."""
    if quiet:
        return QuietDisplay()
    return LiveDisplay() if sys.stderr.isatty() else LineDisplay()


def summary_json(summary: Summary, options: BatchOptions, elapsed_s: float) -> dict[str, Any]:
    """The facts that `batch --json` prints at the end."""
    return {
        "out": str(options.out),
        "done": summary.count("done"),
        "skipped": summary.count("skipped"),
        "failed": summary.count("failed"),
        "frames_rendered": summary.frames_rendered,
        "seconds": round(elapsed_s, 2),
    }


def print_summary(summary: Summary, options: BatchOptions, display: QuietDisplay) -> None:
    """Print where the results are and what failed."""
    counts = [f"{summary.count(s)} {s}" for s in ("done", "skipped", "failed") if summary.count(s)]
    speed = f", {display.frames_per_s:.1f} frames/s" if summary.frames_rendered else ""
    click.echo(f"{', '.join(counts)} in {display.elapsed_s:.1f} s{speed}")
    if summary.count("skipped") and not summary.count("done"):
        click.echo("Nothing to do: an earlier run finished the 'skipped' rows.")
    if display.again:
        click.echo(
            f"{display.again} made again: the prompt, engine, head or picture settings changed "
            f"since the last run, or a file was missing."
        )
    noted = [row for row in summary.rows if row.notes]
    for row in noted[:_NOTES_SHOWN]:
        click.echo(f"  note  {row.id}: {'; '.join(row.notes)}")
    if len(noted) > _NOTES_SHOWN:
        click.echo(f"  {len(noted) - _NOTES_SHOWN} more notes are in the manifest")
    if summary.count("failed"):
        click.echo(f"failed rows: {options.out / 'errors.jsonl'}")
    made = "videos" if options.video else "clips"
    click.echo(f"{made}: {options.out / made}")
    if options.sheets and options.video:
        click.echo(f"contact sheets: {options.out / 'sheets'}")
    click.echo(f"manifest: {options.out / 'manifest.jsonl'}")


def _plain(text: str | None) -> str:
    from rich.markup import escape

    return escape(text or "")
