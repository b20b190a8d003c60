# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule 1: a folder is one concept; its `__init__` says what goes in and what comes out."""

from __future__ import annotations

import ast
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
    """Whether a line reads `X in, Y out` or `X -> Y`."""
    words = line.replace(",", " ").replace(":", " ").replace(";", " ").replace(".", " ").split()
    return "->" in words or ("in" in words and "out" in words[words.index("in") :])


def test_the_rule_reads_lines():
    assert says_in_and_out("A clip in, a video or stills out, through a worker.")
    assert says_in_and_out("tools: prompt -> clip.")
    assert not says_in_and_out("Helpers for rendering.")
    assert not says_in_and_out("What is left out in batches.")


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


def test_every_source_says_what_it_is():
    for source in product().values():
        assert ast.get_docstring(source.tree), f"{source.path} has no docstring"


def test_no_folder_of_the_product_hides_from_these_tests():
    named = {folder.partition("/")[0] for folder in folders()}
    held = {path.parent.name for path in REPO.glob("*/__init__.py")}
    assert held == named
