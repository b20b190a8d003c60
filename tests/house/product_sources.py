# SPDX-License-Identifier: GPL-3.0-or-later
"""The product's files in, their modules and imports out; each file is read and parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PACKAGES = ("exomni_core", "templates", "render_jobs", "blender_addon")


@dataclass(frozen=True)
class Import:
    """One imported module. target: its full name. inside: the function that imports it, or ""."""

    target: str
    line: int
    inside: str = ""


@dataclass(frozen=True, eq=False)
class Source:
    """One file of Python. path: relative to the repository. module: its dotted name."""

    path: str
    module: str
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        """Whether the file is a folder's `__init__`."""
        return self.path.endswith("/__init__.py")

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of its tree."""
        return tuple(ast.walk(self.tree))

    @property
    def folder(self) -> str:
        """The folder that the file lies in."""
        return self.path.rpartition("/")[0]


def read_source(path: Path) -> Source:
    """Read and parse one file below the repository."""
    place = path.relative_to(REPO)
    parts = place.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    text = path.read_text(encoding="utf-8")
    return Source(place.as_posix(), module, text, ast.parse(text))


def as_source(module: str, text: str) -> Source:
    """A source that is no file; for tests of the rules themselves."""
    return Source(module.replace(".", "/") + ".py", module, text, ast.parse(text))


@cache
def product() -> Mapping[str, Source]:
    """All sources of the product, by module."""
    return _sources(PACKAGES)


@cache
def tools() -> Mapping[str, Source]:
    """Programs beside the product that may use it: benchmarks, scripts and examples."""
    return _sources(("benchmarks", "scripts", "examples"))


def _sources(folders: tuple[str, ...]) -> dict[str, Source]:
    found = (path for folder in folders for path in sorted((REPO / folder).rglob("*.py")))
    return {source.module: source for source in map(read_source, found)}


def imports(source: Source, known: Mapping[str, Source]) -> tuple[Import, ...]:
    """Everything that a source imports, wherever it does so, also for types alone.

    A name that is a module of `known` counts as that module, any other as the module it comes from.
    """
    return tuple(_imports(source, known, source.tree, ""))


def _imports(
    source: Source, known: Mapping[str, Source], parent: ast.AST, inside: str
) -> Iterator[Import]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, inside)
        elif isinstance(node, ast.ImportFrom):
            base = _base(source, node)
            for target in {
                name if (name := f"{base}.{alias.name}") in known else base for alias in node.names
            }:
                yield Import(target, node.lineno, inside)
        elif isinstance(node, ast.Call) and (name := _imported_by_call(node)):
            yield Import(name, node.lineno, inside)
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        within = (inside or getattr(node, "name", "lambda")) if is_function else inside
        yield from _imports(source, known, node, within)


def _base(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = source.module.split(".")
    up = node.level - source.is_package
    parts = package[: len(package) - up] if up else package
    return ".".join(parts + ([node.module] if node.module else []))


def _imported_by_call(node: ast.Call) -> str:
    called = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if called in ("import_module", "__import__") and node.args:
        first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            return first.value
    return ""


@cache
def product_imports() -> Mapping[str, tuple[Import, ...]]:
    """For each module of the product: what it imports."""
    known = product()
    return {module: imports(source, known) for module, source in known.items()}


def own(imported: tuple[Import, ...]) -> Iterator[Import]:
    """Those of the imports that are modules of the product."""
    return (one for one in imported if one.target.partition(".")[0] in PACKAGES)
