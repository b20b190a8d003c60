# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule 1: a folder is one concept; it and each file in it say what goes in and what comes out."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest
from product_sources import REPO, product

MOST_FILES = 18  # with its `__init__`
# Folders that hold more files than that, and why.
LARGER = {
    "render_jobs/cli": "one file a verb; a verb more is a file more",
}
LICENCE = "# SPDX-License-Identifier: GPL-3.0-or-later"


def folders() -> Counter[str]:
    """Every folder of the product that holds Python, with the number of its files."""
    return Counter(source.folder for source in product().values())


@pytest.mark.parametrize("folder", sorted(folders()))
def test_a_folder_says_what_goes_in_and_what_comes_out(folder):
    package = product().get(folder.replace("/", "."))
    if folder == "render_jobs/outside":
        # Programs for the Python of somebody else's checkout, which has no such package.
        assert package is None
        return
    assert package, f"{folder} has no __init__.py"
    assert package.is_package, f"{folder} has no __init__.py"
    line = (ast.get_docstring(package.tree) or "").partition("\n")[0]
    assert says_in_and_out(line), f"{folder}/__init__.py: {line!r} tells no `... in, ... out`"


def says_in_and_out(line: str) -> bool:
    """Whether a line reads `X in, Y out`, `X -> Y` or `X <-> Y`."""
    words = re.findall(r"<?->|[\w'-]+", line)
    both = "in" in words and "out" in words[words.index("in") :]
    return both or "->" in words or "<->" in words


def test_the_rule_reads_lines():
    assert says_in_and_out("A clip in, a video or stills out, through a worker.")
    assert says_in_and_out("tools: prompt -> clip.")
    assert says_in_and_out("JSON <-> plain data.")
    assert not says_in_and_out("Helpers for rendering.")
    assert not says_in_and_out("What is left out in batches.")
    assert not says_in_and_out("Built-in things, taken out.")


@pytest.mark.parametrize("folder", sorted(folders()))
def test_a_folder_holds_few_files(folder):
    count = folders()[folder]
    if folder in LARGER:
        assert count > MOST_FILES, f"{folder} needs no exception any more"
    else:
        assert count <= MOST_FILES, f"{folder} holds {count} files; split it by concept"


def test_every_source_starts_with_its_licence():
    for source in product().values():
        assert source.text.partition("\n")[0] == LICENCE, source.path


def test_every_source_says_what_goes_in_and_what_comes_out():
    first = {
        source.path: (ast.get_docstring(source.tree) or "").partition("\n")[0]
        for source in product().values()
    }
    silent = {path: line for path, line in first.items() if not says_in_and_out(line)}
    assert not silent, f"first docstring lines that tell no `... in, ... out`: {silent}"


def test_no_docstring_is_a_promise():
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    unwritten = [
        f"{source.path}:{getattr(node, 'lineno', 1)}"
        for source in product().values()
        for node in source.nodes
        if isinstance(node, documented) and re.search(r"\bTODO\b", ast.get_docstring(node) or "")
    ]
    assert not unwritten, f"docstrings that still say TODO: {unwritten}"


def test_no_folder_of_the_product_hides_from_these_tests():
    named = {folder.partition("/")[0] for folder in folders()}
    held = {path.parent.name for path in REPO.glob("*/__init__.py")}
    assert held == named
