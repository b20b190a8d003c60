# SPDX-License-Identifier: GPL-3.0-or-later
"""Rule 7: tests mirror the packages; what only tests use is no part of the product."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import pytest
from product_sources import REPO, Source, as_source, product, tools

MIRRORS = {
    "tests/core": "exomni_core", "tests/jobs": "render_jobs", "tests/heads": "templates",
    "tests/addon": "blender_addon",
}  # fmt: skip
# Folders of tests that hold programs which tests start, and no tests of a room.
NO_ROOMS = {"tests/addon/scripts", "tests/core/server/recording", "tests/core/server/waiting"}
# Packages whose tests are few files and lie side by side, and rooms that others' tests exercise.
SMALL = {"tests/heads", "tests/addon"}
TESTED_FROM_OUTSIDE = {
    "http": "by the tests of the two servers that share it",
    "outside": "by the tests of the systems and recognisers that it stands for",
    "reporting": "by the tests of the reports that it lays out",
    "heads": "by tests/heads, which adds heads",
}
# Names that no product code mentions: "module:name" or "module:Class.name" -> who uses them.
USED_ELSEWHERE = {
    "exomni_core.omni.training.losses:face_loss": "training's first bricks, held by golden data",
    "exomni_core.omni.training.losses:unit_loss": "training's first bricks, held by golden data",
    "exomni_core.omni.training.splice:splice_batch": "training's first bricks, as above",
    "templates.head.layout:OPENINGS": "a source that is hashed into every video's key",
    "exomni_core.voices.espeak:language_codes": "for now",
    "exomni_core.server.client:ServiceClient.clip_data": "asks for a documented request",
    "exomni_core.server.client:ServiceClient.clip_data_of_bytes": "asks for a documented request",
}
# Methods that a base class of somebody else's calls.
CALLED_BY_OTHERS = {
    "server_bind", "process_request", "handle_error", "handle_one_request", "parse_request",
    "send_error", "handle_expect_100", "process_request_thread", "log_message",
    "seekable", "readinto",
    "do_GET", "do_POST",  # servers
    "poll", "invoke", "execute", "modal", "draw", "draw_item", "draw_header",  # Blender
    "format_options", "format_help", "format_epilog", "make_metavar", "add_to_parser",  # click
    "forward",  # torch
}  # fmt: skip
OFTEN = 10  # a name that is mentioned so often is mentioned by others than itself
# Decorators that leave a function to be called by its name; any other may register it.
PLAIN = {
    "property", "staticmethod", "classmethod", "cached_property", "cache", "lru_cache",
    "contextmanager", "dataclass", "runtime_checkable", "overload", "inference_mode", "no_grad",
    "setter",
}  # fmt: skip


@dataclass(frozen=True)
class Definition:
    """A name that a module or class defines, and the tree that defines it."""

    module: str
    qualified: str
    line: int
    tree: ast.AST

    @property
    def name(self) -> str:
        """The last part of its name: what a caller writes."""
        return self.qualified.rpartition(".")[2]

    @property
    def where(self) -> str:
        """As USED_ELSEWHERE names it."""
        return f"{self.module}:{self.qualified}"


def definitions(source: Source) -> Iterator[Definition]:
    """Functions, classes, methods and constants that a source defines at its top and in classes."""
    yield from _definitions(source, source.tree.body, "")


def _definitions(source: Source, body: Iterable[ast.stmt], owner: str) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.decorator_list and not _only_plain_decorators(node):
                continue  # registered by its decorator
            called = owner and node.name in CALLED_BY_OTHERS
            if not called and not _is_dunder(node.name):
                yield Definition(source.module, owner + node.name, node.lineno, node)
            if isinstance(node, ast.ClassDef):
                yield from _definitions(source, node.body, f"{owner}{node.name}.")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and not owner:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and not _is_dunder(name.id):
                        yield Definition(source.module, name.id, node.lineno, name)


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _only_plain_decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    named = (d.func if isinstance(d, ast.Call) else d for d in node.decorator_list)
    return all(getattr(n, "attr", getattr(n, "id", "")) in PLAIN for n in named)


def mentions(nodes: Iterable[ast.AST]) -> Counter[str]:
    """How often some code uses each name: reads it, asks for it as an attribute, or as text.

    Definitions and imports are no use, but for imports under another name. A text counts where it
    is a name, or "module:name".
    """
    found: Counter[str] = Counter()
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found[node.id] += 1
        elif isinstance(node, ast.Attribute):
            found[node.attr] += 1
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(alias.name for alias in node.names if alias.asname)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            last = node.value.rpartition(":")[2]
            if last.isidentifier():
                found[last] += 1
    return found


@cache
def all_mentions() -> Counter[str]:
    """Of all names, in the product and in the programs beside it, and in the docs' code."""
    found: Counter[str] = Counter()
    for source in (*product().values(), *tools().values()):
        found.update(mentions(source.nodes))
    for path in (REPO / "README.md", REPO / "pyproject.toml", *sorted(REPO.glob("docs/*.md"))):
        found.update(re.findall(r"[A-Za-z_]\w*", " ".join(_code(path.read_text("utf-8")))))
    return found


def _code(text: str) -> list[str]:
    """What stands between backticks, in lines or blocks; all of a file that isn't Markdown."""
    return re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL) or [text]


def unused(sources: Mapping[str, Source], used: Mapping[str, int]) -> list[Definition]:
    """Definitions that nothing but their own body mentions."""
    return [
        one
        for source in sources.values()
        for one in definitions(source)
        if (count := used.get(one.name, 0)) == 0
        or (count < OFTEN and count <= mentions(ast.walk(one.tree))[one.name])
    ]


def test_no_product_code_is_used_by_tests_alone():
    found = [one for one in unused(product(), all_mentions()) if one.where not in USED_ELSEWHERE]
    assert not found, "\n".join(f"{one.where}, line {one.line}" for one in found)


def test_every_exception_is_one():
    found = {one.where for one in unused(product(), all_mentions())}
    assert set(USED_ELSEWHERE) <= found, f"take them out: {set(USED_ELSEWHERE) - found}"


def test_the_rule_sees_what_nobody_uses():
    text = """
LIMIT, SPARE = 1, 2
def called(): return LIMIT
def by_itself(): by_itself()
def by_name(): ...
@command()
def registered(): ...
class Thing:
    def __init__(self): called()
    def used(self): ...
    def unused(self): self.used()
    def draw(self): getattr(self, "by_name")
print(Thing)
"""
    source = as_source("exomni_core.x", text)
    lost = unused({"exomni_core.x": source}, mentions(source.nodes))
    assert [one.qualified for one in lost] == ["SPARE", "by_itself", "Thing.unused"]


def rooms(folder: str) -> set[str]:
    """The folders below a folder that hold Python files, relative to it."""
    top = REPO / folder
    return {path.parent.relative_to(top).as_posix() for path in top.rglob("*.py")} - {"."}


@pytest.mark.parametrize("tests", sorted(MIRRORS))
def test_tests_mirror_the_packages(tests):
    held = {room for room in rooms(tests) if f"{tests}/{room}" not in NO_ROOMS}
    strange = held - rooms(MIRRORS[tests])
    assert not strange, f"{tests} holds {strange}; {MIRRORS[tests]} has no such rooms"


@pytest.mark.parametrize("tests", sorted(MIRRORS))
def test_every_room_has_tests(tests):
    top = {room.partition("/")[0] for room in rooms(MIRRORS[tests])}
    missing = top - {room.partition("/")[0] for room in rooms(tests)} - set(TESTED_FROM_OUTSIDE)
    assert tests in SMALL or not missing, f"{tests} has no room for {missing}"
