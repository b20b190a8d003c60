# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user chose on the command line -> options of engines, or one sentence."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import exomni_core.engine
from exomni_core.engine import load_engine
from exomni_core.errors import EnvironmentProblem, InputError
from render_jobs.cli.chosen import engine_settings, parse_size
from render_jobs.cli.commands import main
from render_jobs.cli.engine_options import VERBS_OWN

OMNI_OPTIONS = ("model", "device", "dtype", "quantize", "max_memory", "compat", "align", "rows")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GB", 16_000_000_000),
        ("16 GiB", 16 << 30),
        ("1.5t", 1_500_000_000_000),
        ("800mb", 800_000_000),
        ("4G", 4_000_000_000),
        (" 2 kib ", 2048),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "16", "GB", "-3GB", "0GB", "1e3GB", "16GBs"])
def test_nonsense_is_no_size(text: str) -> None:
    with pytest.raises(InputError, match="such as 16GB, 16GiB or 800MB") as caught:
        parse_size(text)
    assert caught.value.field == "max-memory"


def test_options_that_were_not_given_are_left_to_the_engine() -> None:
    chosen: dict[str, Any] = dict.fromkeys(OMNI_OPTIONS) | {"align": False, "engine": "omni"}
    assert engine_settings(chosen) == {}
    chosen |= {"model": Path("here"), "max_memory": "1GB", "align": True, "rows": 3}
    assert engine_settings(chosen) == {
        "model": str(Path.cwd() / "here"),
        "max_memory_bytes": 1_000_000_000,
        "align": True,
        "rows": 3,
    }


@pytest.mark.parametrize("name", OMNI_OPTIONS)
def test_options_of_the_neural_engine_beside_another_are_refused(name: str) -> None:
    chosen = {"engine": "embedded", name: "1"}
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(InputError, match=f"^{option} is an option of the neural engine; add"):
        engine_settings(chosen)


@pytest.mark.parametrize("verb", ["say", "lipsync", "batch", "reply"])
def test_help_groups_the_options(verb: str) -> None:
    text = CliRunner().invoke(main, [verb, "--help"]).output
    headings = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == [
        "Options:",
        "Speech and face:",
        "Neural engine (--engine omni):",
        "Picture:",
    ]
    engine = text[text.index("Neural engine") : text.index("Picture:")]
    for name in OMNI_OPTIONS:
        option = f"--{name.replace('_', '-')}"
        assert (option in engine) == (name != "rows" or verb == "batch")
    # Nothing that the command takes may be missing from its help.
    for parameter in main.get_command(click.Context(main), verb).params:  # type: ignore[union-attr]
        if isinstance(parameter, click.Option):
            assert f" {parameter.opts[-1]}" in text


def test_missing_packages_are_named_with_the_line_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exomni_core.engine, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r"needs torch and .*pip install '\.\[omni\]'"):
        load_engine("omni")
    load_engine("embedded").close()


def test_a_broken_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("libtorch.so is not there", name=name)

    monkeypatch.setattr(exomni_core.engine, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib, "import_module", lambda _: broken("torch._C"))
    with pytest.raises(EnvironmentProblem, match=r"can't load torch \(libtorch\.so is not there\)"):
        load_engine("omni")
    monkeypatch.setattr(importlib, "import_module", lambda _: broken("exomni_core.nowhere"))
    with pytest.raises(ImportError):  # a fault of ours is not the machine's
        load_engine("omni")


@pytest.mark.parametrize(
    ("verb", "option"),
    [(verb, name) for verb in ("pairs", "systems run") for name in ("--alpha", "--contact-sheet")],
)
def test_options_that_a_verb_could_not_heed_are_refused(verb, option, tmp_path):
    done = CliRunner().invoke(
        main, [*verb.split(), str(tmp_path), str(tmp_path), "-o", "s", option]
    )
    assert done.exit_code == 2
    assert f"No such option '{option}'" in done.stderr


def test_no_option_of_an_engine_hides_one_of_a_verb() -> None:
    """An engine may call its option as it likes; the names of the verbs' own stay theirs."""
    names: set[str] = set()
    for path in ("say", "lipsync", "batch", "reply", "serve", "eval latency"):
        command: Any = main
        for name in path.split():
            command = command.get_command(click.Context(command), name)
        own = [p for p in command.params if isinstance(p, click.Option)]
        names |= {o.removeprefix("--") for p in own for o in p.opts if o.startswith("--")}
    assert names <= VERBS_OWN, names - VERBS_OWN
