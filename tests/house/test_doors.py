# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules 4 and 5: all that an engine can do stands in the Protocol; plain data crosses a process."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields

import pytest
from product_sources import Source, as_source, product

from exomni_core.engine import Engine, engine_names
from render_jobs.workers.executor import Crew, Step

ENGINES_FILE = "exomni_core/engine.py"
# Files that may write an engine's name, and what else it is there.
OTHER_MEANINGS = {"blender_addon/install.py": "the name of an extra that is installed"}
ABILITIES = {name for name in vars(Engine) if not name.startswith("_")} | {"name"}


def engine_classes() -> dict[str, ast.ClassDef]:
    """The classes that the table of engines names, as "module:class"."""
    text = product()["exomni_core.engine"].text
    found = {}
    for module, name in re.findall(r'"(exomni_core\.[\w.]+):([A-Z]\w*)"', text):
        classes = [n for n in product()[module].tree.body if isinstance(n, ast.ClassDef)]
        found[f"{module}:{name}"] = next(node for node in classes if node.name == name)
    return found


def test_the_table_of_engines_is_found():
    assert len(engine_classes()) >= 2


@pytest.mark.parametrize("name", sorted(engine_classes()))
def test_an_engine_can_only_do_what_the_protocol_tells(name):
    public = {
        node.name
        for node in engine_classes()[name].body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name[0] != "_"
    }
    assert not public - ABILITIES, f"put them into the Protocol: {public - ABILITIES}"


def asked_for(source: Source) -> Iterator[tuple[int, str]]:
    """Where a source asks whether an object has one of an engine's abilities."""
    for node in source.nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
            name = node.args[1] if len(node.args) > 1 else None
            if isinstance(name, ast.Constant) and name.value in ABILITIES - {"name", "close"}:
                yield node.lineno, str(name.value)


def test_nobody_asks_an_engine_whether_it_has_a_method():
    found = [
        f"{source.path}, line {line}: {name}"
        for source in product().values()
        for line, name in asked_for(source)
    ]
    assert not found, "\n".join(found)


def engine_names_in(source: Source) -> Iterator[tuple[int, str]]:
    """Where a source writes an engine's name as a text of its own."""
    for node in source.nodes:
        if isinstance(node, ast.Constant) and node.value in engine_names():
            yield node.lineno, str(node.value)


def test_engine_names_stand_in_one_file():
    found = [
        f"{source.path}, line {line}: {name!r}"
        for source in product().values()
        if source.path not in {ENGINES_FILE, *OTHER_MEANINGS}
        for line, name in engine_names_in(source)
    ]
    assert not found, "\n".join(found)


def tasks_with_code(source: Source) -> Iterator[tuple[int, str]]:
    """Where a source gives a pool or an executor code that can't leave the process.

    That is a lambda, a function defined inside another, or one that a call makes.
    """
    top = {node.name for node in source.tree.body if isinstance(node, ast.FunctionDef)}
    local = {
        node.name
        for node in source.nodes
        if isinstance(node, ast.FunctionDef) and node.name not in top
    }
    for node in source.nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = ast.unparse(node.func.value).lower()
        if node.func.attr != "submit" or not any(w in owner for w in ("pool", "executor")):
            continue
        for given in (*node.args, *(k.value for k in node.keywords)):
            closure = isinstance(given, ast.Name) and given.id in local
            if isinstance(given, (ast.Lambda, ast.Call)) or closure or not node.args:
                yield node.lineno, ast.unparse(given)


def test_plain_data_crosses_a_process():
    found = [
        f"{source.path}, line {line}: {given}"
        for source in product().values()
        for line, given in tasks_with_code(source)
    ]
    assert not found, "\n".join(found)


PLAIN_TYPES = {"str", "int", "Mapping[str, Any]", "Mapping[str, str]", "tuple[str, ...]"}


@pytest.mark.parametrize("kind", [Step, Crew])
def test_what_an_executor_gets_is_plain_data(kind):
    odd = {field.name: field.type for field in fields(kind) if field.type not in PLAIN_TYPES}
    assert not odd, f"{kind.__name__} holds what JSON can't: {odd}"


def test_the_rules_see_what_breaks_them():
    def source(text: str) -> Source:
        return as_source("render_jobs.x", text)

    assert list(asked_for(source("hasattr(engine, 'generate')")))
    assert list(engine_names_in(source(f"if engine.name == {engine_names()[0]!r}: ...")))
    assert list(tasks_with_code(source("pool.submit(lambda w: w.ask({}))")))
    assert list(tasks_with_code(source("def f():\n  def g(): ...\n  self.pool().submit(g)")))
    assert list(tasks_with_code(source("pool.submit(partial(f, 1))")))
    assert not list(tasks_with_code(source("def f(): ...\nexecutor.submit(f, {'a': 1})")))
    assert not list(tasks_with_code(source("executor.submit(step)")))
