# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule 6: a fact lives once, in one module; tables in the docs are the code's."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator

from product_sources import REPO, Source, as_source, product

# Programs for the Python of somebody else, which can't import ours.
ALONE = ("render_jobs.outside.", "exomni_core.listening.sphinx_process")
# The head's sources are hashed into the key of every video, so they change only with the head.
HASHED = ("templates.head.",)
# Names whose equal values are different facts, and what they are.
DIFFERENT_FACTS = {
    "SCHEMA_VERSION": "each kind of file counts its own versions",
    "SCHEMA": "each kind of file counts its own versions",
    "MAX_FILE_BYTES": "each kind of file has its own limit",
    "TIMEOUT_S": "each program has its own",
    "SIDE": "pixels of a matcap, and of a picture of colours",
    "RIGHT": "each drawing has its own margins",
    "ALL": "a row for all languages, and one for all raters",
    "T": "a name for a type in a signature",
}


def constants(source: Source) -> Iterator[tuple[str, str, int]]:
    """(name, value, line) of everything that a module's top sets to plain data or an array type."""
    for node in source.tree.body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        pairs = [(target, node.value)]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(target.elts, node.value.elts, strict=True))
        for name, value in pairs:
            if isinstance(name, ast.Name) and is_fact(value):
                yield name.id.lstrip("_"), ast.unparse(value), node.lineno


def is_fact(value: ast.expr) -> bool:
    """Whether an expression is plain data, a product of numbers, or the type of an array."""
    if any(isinstance(n, ast.Attribute) and n.attr == "NDArray" for n in ast.walk(value)):
        return True
    plain = (ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.BinOp, ast.UnaryOp,
             ast.operator, ast.unaryop, ast.expr_context)  # fmt: skip
    return all(isinstance(node, plain) for node in ast.walk(value))


def told_twice(sources: Iterable[Source]) -> list[str]:
    """The constants that two modules set to the same value."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source in sources:
        for name, value, line in constants(source):
            if name not in DIFFERENT_FACTS and name != "__all__":
                found[name, value].append(f"{source.path}, line {line}")
    return [
        f"{name} = {value:.40}: {'; '.join(places)}"
        for (name, value), places in sorted(found.items())
        if len(places) > 1
    ]


def test_a_constant_stands_once():
    sources = [s for m, s in product().items() if not m.startswith(ALONE + HASHED)]
    found = told_twice(sources)
    assert not found, "\n".join(found)


def test_every_exception_is_one():
    values: dict[str, list[str]] = defaultdict(list)
    for source in product().values():
        for name, value, _ in constants(source):
            values[name].append(value)
    idle = {name for name in DIFFERENT_FACTS if len(values[name]) == len(set(values[name]))}
    assert idle <= {"T"}, f"take them out: {idle}"


def test_the_rule_sees_a_fact_told_twice():
    one = as_source("exomni_core.a", "LIMIT: Final = 3 << 20\nIndex = CHANNELS['a']")
    two = as_source("exomni_core.b", "_LIMIT, OTHER = 3 << 20, 4\nIndex = CHANNELS['a']")
    assert told_twice([one, two]) == [
        "LIMIT = 3 << 20: exomni_core/a.py, line 1; exomni_core/b.py, line 1"
    ]


def test_tables_in_the_docs_are_those_of_the_code():
    done = subprocess.run(
        [sys.executable, str(REPO / "scripts" / "docs_tables.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
