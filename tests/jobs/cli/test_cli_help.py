# SPDX-License-Identifier: GPL-3.0-or-later
"""The help of every verb: it exists, names the place of results alike, and reads plainly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from render_jobs.cli.commands import main

# These take the place of results as an argument, as `cp` does.
POSITIONAL = {("convert",): "target", ("models", "make-tiny"): "folder"}
# These print, serve, or change something in the folder they are given.
WRITE_NOTHING = {
    ("doctor",), ("info",), ("serve",), ("templates",),
    ("eval", "voicebench", "run"),
    ("models", "check"), ("models", "licence"), ("models", "list"), ("models", "pull"),
    ("study", "close"), ("study", "power"), ("study", "serve"), ("study", "status"),
    ("study", "verify"),
    ("systems", "check"), ("systems", "example"), ("systems", "list"),
    ("templates", "add"), ("templates", "check"), ("templates", "remove"),
}  # fmt: skip
WITH_OLD_NAME = (("batch",), ("pairs",), ("systems", "run"), ("systems", "wavs"))
BANNED = re.compile(
    r"\b(anew|babbles?|tells? of|hears? of it|by way of|left to chance|wants? a|shall|"
    r"goes on|go on|be whole|whole stays|prove|says what|under which|whom|hence|thus|upon)\b",
    re.IGNORECASE,
)


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command and group below `group`."""
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def found(path: tuple[str, ...]) -> click.Command:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="exorender")


ALL = sorted(commands(main))


def is_group(path: tuple[str, ...]) -> bool:
    return isinstance(found(path), click.Group)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_is_there_and_plain(path: tuple[str, ...]) -> None:
    done = run(*path, "--help")
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Usage: exorender {' '.join(path)} ")
    text = " ".join(done.output.split())
    assert not (word := BANNED.search(text)), word


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_says_what_it_is(path: tuple[str, ...]) -> None:
    for parameter in found(path).params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.hidden, parameter.opts


@pytest.mark.parametrize("path", [p for p in ALL if not is_group(p)], ids=" ".join)
def test_results_go_to_one_option(path: tuple[str, ...]) -> None:
    options = [p.opts for p in found(path).params if isinstance(p, click.Option)]
    names = [name for opts in options for name in opts]
    assert "--out" not in names  # the older name works, but help doesn't show it
    if path in WRITE_NOTHING:
        assert "--output" not in names
    elif path in POSITIONAL:
        assert POSITIONAL[path] in [p.name for p in found(path).params]
    else:
        assert ["-o", "--output"] in options


@pytest.mark.parametrize("name", ["-o", "--output", "--out"])
def test_the_older_name_of_output_still_works(name: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"id": "a", "text": "Hello."}\n')
    done = run("batch", str(prompts), name, str(tmp_path / "place"), "--no-video", "--quiet")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "place" / "clips" / "a.clip").is_file()


@pytest.mark.parametrize("path", WITH_OLD_NAME, ids=" ".join)
def test_every_verb_that_had_the_older_name_keeps_it(path: tuple[str, ...]) -> None:
    arguments = {"batch": [__file__], "pairs": ["."]}.get(path[-1], ["a", __file__])
    with found(path).make_context(path[-1], [*arguments, "--out", "here"]) as context:
        assert context.params["output"] == Path("here")


def test_a_missing_place_is_asked_for_by_its_name() -> None:
    done = run("pairs", ".")
    assert done.exit_code == 2
    assert "Missing option '-o' / '--output'." in done.stderr
