# SPDX-License-Identifier: GPL-3.0-or-later
"""Every `exorender` command in the docs names a verb and options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from render_jobs.cli.commands import main

REPO = Path(__file__).resolve().parents[3]
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
COMMAND = re.compile(r"`(exorender [^`]+)`|^(exorender .+)$", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """(page, command line) of all pages, with continued lines joined."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for inline, block in COMMAND.findall(text):
            line = " ".join((inline or block.split(" #")[0]).split())
            found.append((page.name, line))
    return found


def parsed(line: str) -> tuple[click.Command, list[str]]:
    """The command that the line starts, and the options it passes to it."""
    words = shlex.split(line)[1:]
    command: click.Command = main
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    return command, [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_a_documented_command_exists(page: str, line: str) -> None:
    command, options = parsed(line)
    assert command is not main, f"{page}: {line}"
    if isinstance(command, click.Group):  # named alone, without a verb that it lacks
        assert line.split()[-1] == command.name, f"{page}: {line}"
    context = click.Context(command)
    known = {
        name for p in command.get_params(context) if isinstance(p, click.Option) for name in p.opts
    }
    assert set(options) <= known | {"--help"}, f"{page}: {line}"


def test_all_pages_have_commands() -> None:
    pages = {page for page, _ in commands()}
    assert {"README.md", "addon.md", "evaluation.md", "omni.md", "server.md", "study.md"} <= pages
    assert parsed("exorender batch p.jsonl -o x --nonsense")[1] == ["-o", "--nonsense"]
